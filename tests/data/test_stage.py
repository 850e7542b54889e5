"""From rows to what `update` sees: packed, scaled once, and equal on either way to the device."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from making.sets import dataset_of

from suture.data.dataset import Dataset
from suture.data.normalise import Normaliser
from suture.data.split import split
from suture.data.stage import Stage
from suture.errors import ConfigError

ALL = frozenset({"observation", "action", "reward", "discount", "next_observation"})


def stage_of(data: Dataset, *, needs: frozenset[str] = ALL, rows: Any = None, **scales: Any) -> Stage:
    normaliser = Normaliser.fit(split(data, fraction=0.0, seed=0).train, **scales)
    chosen = np.arange(len(data)) if rows is None else np.asarray(rows)
    return Stage(dataset=data, normaliser=normaliser, needs=needs, rows=chosen)


def mixed(lengths: tuple[int, ...] = (5, 4)) -> Dataset:
    """Joints, a camera and nested parts: floats are packed, bytes stand alone."""
    rng, rows = np.random.default_rng(1), sum(lengths)
    tree: dict[str, Any] = {
        "camera": rng.integers(256, size=(rows, 4, 4, 1)).astype(np.uint8),
        "arm": {"joints": rng.normal(size=(rows, 3)).astype(np.float32),
                "frame": rng.normal(size=(rows, 2, 2)).astype(np.float32)},
    }  # fmt: skip
    return dataset_of(lengths, observation=tree)


def test_columns_come_back_with_their_names_shapes_and_values() -> None:
    data = mixed()
    batch = stage_of(data, observation="none").everything().take(np.array([3, 0, 3]))
    assert batch.keys() == ALL
    seen = batch["observation"]
    for path, array in (("joints", seen["arm"]["joints"]), ("frame", seen["arm"]["frame"])):
        np.testing.assert_array_equal(np.asarray(array), data.observation["arm"][path][[3, 0, 3]])  # type: ignore[index,call-overload]
    camera = np.asarray(seen["camera"])
    assert camera.dtype == np.uint8
    np.testing.assert_array_equal(camera, data.observation["camera"][[3, 0, 3]])  # type: ignore[index,call-overload]


def test_scales_are_applied_once() -> None:
    """Standardised observations, actions in [-1, 1], scaled rewards; a true end has discount 0."""
    data = dataset_of((50, 50))
    batch = stage_of(data, reward_scale=2.0, reward_shift=-1.0).everything().take(np.arange(100))
    observation = np.asarray(batch["observation"])
    np.testing.assert_allclose(observation.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(observation.std(0), 1, atol=5e-3)
    np.testing.assert_allclose(np.asarray(batch["action"]), (data.action + 2) / 3 - 1, atol=1e-6)
    assert data.reward is not None
    np.testing.assert_allclose(np.asarray(batch["reward"]), 2 * data.reward - 1, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(batch["discount"]), 1 - data.terminated.astype(np.float32))


def test_only_what_is_needed_takes_memory() -> None:
    data = dataset_of((10, 10))
    little, much = stage_of(data, needs=frozenset({"observation", "action"})), stage_of(data)
    assert little.bytes == 20 * (3 + 2) * 4
    assert much.bytes == 20 * (3 + 2 + 1 + 1 + 3) * 4
    assert little.everything().take(np.array([0])).keys() == {"observation", "action"}


def test_positions_count_the_eligible_rows_only() -> None:
    data, rows = dataset_of((6, 6)), [1, 4, 7, 11]
    stage = stage_of(data, rows=rows, observation="none")
    every = np.asarray(stage.everything().take(np.arange(4))["observation"])
    np.testing.assert_array_equal(every, np.asarray(data.observation)[rows])
    assert stage.bytes == 4 * 10 * 4


def test_windows_and_next_actions_end_where_steps_are_missing() -> None:
    """Row 2 of the first episode was followed by one that was not recorded."""
    data = dataset_of((6, 3))
    gap = np.arange(9) == 2
    data = dataclasses.replace(data, has_next=data.has_next & ~gap, terminated=np.zeros(9, bool))
    stage = dataclasses.replace(stage_of(data, needs=ALL | {"next_action"}), window=3, chunk=2)
    assert stage.reach.tolist() == [3, 2, 1, 3, 2, 1, 3, 2, 1]
    assert stage.starts is not None
    assert stage.starts.tolist() == [0, 1, 3, 4, 6, 7]
    known = np.asarray(
        dataclasses.replace(stage, window=1).everything().take(np.arange(9))["next_action_known"]
    )
    assert known.tolist() == [1, 1, 0, 1, 1, 0, 1, 1, 0]


def test_rare_rewards_are_drawn_as_often_as_asked_and_equally() -> None:
    """Rows 3 and 8 pay; asked for a half, 8 others stand beside 8 of these; windows reach them earlier."""
    data = sparse((5, 5), [0, 0, 0, 1, 0, 0, 0, 0, 2, 0], ended=(1,))
    stage = dataclasses.replace(stage_of(data), balance=0.5)
    assert stage.starts is not None
    assert np.bincount(stage.starts).tolist() == [1, 1, 1, 4, 1, 1, 1, 1, 4, 1]
    assert stage.eligible == 16
    drawn = stage.everything().draw(np.arange(16))
    assert np.count_nonzero(np.asarray(drawn["reward"])) == 8
    wide = dataclasses.replace(stage, window=3, balance=0.75)
    assert wide.starts is not None
    assert np.bincount(wide.starts).tolist() == [1, 2, 2, 2, 1, 1, 2, 2, 2, 1]
    enough = dataclasses.replace(stage, balance=0.1)
    assert np.sort(enough.starts).tolist() == list(range(10))  # type: ignore[arg-type]


def test_balance_is_for_rewards_that_are_rare() -> None:
    for reward, why in (([0.0, 1, 2, 3], "25.0%"), ([1.0] * 4, "none is rare")):
        with pytest.raises(ConfigError, match=why):
            _ = dataclasses.replace(stage_of(sparse((4,), reward, ended=())), balance=0.5).starts
    silent = dataclasses.replace(dataset_of((4,)), reward=None)
    with pytest.raises(ConfigError, match="has none"):
        _ = dataclasses.replace(stage_of(silent, needs=frozenset({"observation"})), balance=0.5).starts


def sparse(lengths: tuple[int, ...], reward: list[float], ended: tuple[int, ...]) -> Dataset:
    """Episodes of a task that pays 0 or 1; those in `ended` reach their end, the others are cut."""
    data, last = dataset_of(lengths), np.cumsum(lengths) - 1
    terminated, truncated = np.zeros(len(data), bool), np.zeros(len(data), bool)
    terminated[last[list(ended)]] = True
    truncated[last] = ~terminated[last]
    paid = np.asarray(reward, np.float32)
    return dataclasses.replace(data, reward=paid, terminated=terminated, truncated=truncated)


FAR = frozenset({"observation", "action", "reward", "return_to_go"})


def returns_of(data: Dataset, discount: float, penalty: Any = None) -> np.ndarray:
    """The column of a sparse preset, whose rewards are 10 r - 5."""
    stage = stage_of(data, needs=FAR, reward_scale=10.0, reward_shift=-5.0)
    stage = dataclasses.replace(stage, discount=discount, penalty=penalty)
    return np.asarray(stage.everything().take(np.arange(len(data)))["return_to_go"])


def test_a_failure_that_was_cut_is_worth_the_same_from_its_first_row_to_its_last() -> None:
    """1,000 steps of -5 at discount 0.99: -500 everywhere, not -317 a hundred rows before the cut."""
    failed = sparse((1000,), [0.0] * 1000, ended=())
    np.testing.assert_allclose(returns_of(failed, 0.99), -500.0, rtol=1e-6)


def test_only_cut_episodes_with_one_reward_go_on() -> None:
    """A success that ended; a failure that ended; a cut one with two rewards; a cut one of one row."""
    data = sparse((2, 2, 2, 1, 2), [0, 1, 0, 0, 0, 1, 0, 0, 0], ended=(0, 1))
    expected = [-5 + 0.5 * 5, 5, -5 - 0.5 * 5, -5, -5 + 0.5 * 5, 5, -5, -10, -10]
    np.testing.assert_allclose(returns_of(data, 0.5), expected, rtol=1e-6)
    cut = sparse((2,), [0, 0], ended=())
    np.testing.assert_allclose(returns_of(cut, 1.0), [-10, -5], rtol=1e-6)  # there is no such sum


def test_what_lowers_the_rewards_of_a_failure_goes_on_too() -> None:
    data, penalty = sparse((2,), [0, 0], ended=()), np.array([0.5, 1.5], np.float32)
    np.testing.assert_allclose(returns_of(data, 0.5, penalty), [-5.5 - 3.25 - 3, -6.5 - 6], rtol=1e-6)


@pytest.mark.parametrize("make", [lambda: dataset_of((9, 8)), mixed], ids=["vector", "mixed"])
def test_streamed_rows_equal_resident_rows(make: Any) -> None:
    """Repeated and unordered positions, in two dimensions (members x steps)."""
    stage = stage_of(make(), rows=[0, 2, 3, 5, 7])
    positions = np.array([[4, 0, 4], [1, 3, 0]])
    ours, theirs = stage.at(positions), stage.everything()
    assert ours.columns == theirs.columns
    np.testing.assert_array_equal(ours.packed, np.asarray(theirs.packed)[positions])
    for path, array in ours.alone.items():
        np.testing.assert_array_equal(array, np.asarray(theirs.alone[path])[positions])
