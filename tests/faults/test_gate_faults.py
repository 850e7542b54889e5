"""Faults D1, D4 to D16 and D25: what is wrong with a log is found at the gate, named, refused or mended."""

import warnings
from typing import Any

import numpy as np
import pytest
from making.logs import built, changed, ids, walk_log

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.findings import Finding
from suture.data.log import Log
from suture.errors import DataRefused


def only(dataset: Dataset, id: str) -> Finding:
    return next(finding for finding in dataset.findings if finding.id == id)


def refusal(log: Log, **reading: Any) -> DataRefused:
    with pytest.raises(DataRefused) as refused:
        built(log, **reading)
    return refused.value


def test_the_clean_log_has_no_complaint() -> None:
    data = built(walk_log((40,) * 12))
    assert ids(data, "error") == set()
    assert ids(data, "warning") == {"terminals-at-one-length"}
    assert ids(built(walk_log((40, 30, 20))), "warning") == set()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", ["observation", "next_observation", "action", "reward"])
def test_d1_what_is_not_finite_is_refused(column: str, bad: float) -> None:
    log = walk_log()
    array = np.array(getattr(log, column), copy=True)
    array[[2, 7]] = bad if array.ndim == 1 else np.where(np.arange(array.shape[1]) == 1, bad, array[[2, 7]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = built(changed(log, **{column: array}))
    finding = next(f for f in data.findings if f.id == "non-finite" and column in f.message)
    assert (finding.count, finding.rows) == (2, (2, 7))
    assert column in finding.message
    with pytest.raises(DataRefused, match="NaN or infinity"):
        data.admit()


def test_d1_the_column_is_named_in_a_dict_observation() -> None:
    log = walk_log()
    tree = {"arm": {"joint": np.array(log.observation)}, "goal": np.zeros(15)}
    tree["arm"]["joint"][3, 2] = np.nan  # type: ignore[index]
    finding = only(built(changed(log, observation=tree, next_observation=None)), "non-finite")
    assert "observation/arm/joint (column 2)" in finding.message


@pytest.mark.parametrize("odd", [np.nan, -1.0, 0.5, 255.0])
def test_d6_a_flag_that_is_neither_0_nor_1_is_refused_and_hides_no_end(odd: float) -> None:
    log = walk_log((5, 4, 6))
    error = refusal(changed(log, terminal=np.where(log.terminal, odd, 0.0)))
    assert [(finding.id, finding.count, finding.rows) for finding in error.findings] == [
        ("flags", 3, (4, 8, 14))
    ]


def test_d4_empty_is_refused_by_index_and_one_step_is_accepted() -> None:
    log = walk_log((1, 3))
    assert built(log).lengths.tolist() == [1, 3]
    none = changed(log, **{c: np.array(getattr(log, c))[:0] for c in _columns(log)})
    assert refusal(none).findings[0].id == "no-rows"
    final = np.array([False, True, True, False])
    empty = refusal(changed(log, terminal=None, final_state=final, next_observation=None))
    assert empty.findings[0].id == "empty-episodes"
    assert "episode 1" in str(empty)


def test_d5_a_time_limit_stored_as_terminal_is_named_and_bootstrapped_after_the_fix() -> None:
    steps, episodes, gamma = 5, 4, 0.9
    rows = steps * episodes
    log = Log(
        source="loop", layout="test", observation=np.ones((rows, 1)), next_observation=np.ones((rows, 1)),
        action=np.zeros((rows, 1), np.int64), reward=np.ones(rows),
        terminal=np.arange(rows) % steps == steps - 1,
    )  # fmt: skip
    as_is, mended = built(log), built(log, ends="time-limit")
    finding = only(as_is, "terminals-at-one-length")
    assert finding.count == episodes
    assert "5 steps" in finding.message
    assert 'ends="time-limit"' in finding.message
    assert _value(as_is, gamma) < 6.0
    assert np.isclose(_value(mended, gamma), 1 / (1 - gamma))
    assert mended.truncated.sum() == episodes


def _value(data: Dataset, gamma: float) -> float:
    """The value of the only state, by fitted iteration over the bootstrappable rows."""
    value, rows = 0.0, data.bootstrappable
    discount = gamma * ~data.terminated[rows]
    for _ in range(400):
        value = float(np.mean(np.asarray(data.reward)[rows] + discount * value))
    return value


def test_d5_terminals_of_differing_length_and_bandits_are_not_suspected() -> None:
    for lengths in ((5, 4, 5), (1, 1, 1, 1), (5,)):
        assert "terminals-at-one-length" not in ids(built(walk_log(lengths)))


def test_d6_a_log_that_does_not_say_where_episodes_end_is_refused() -> None:
    log = changed(walk_log((5, 5, 5)), terminal=None)
    assert "episode_length" in str(refusal(log))
    silent = changed(log, terminal=np.zeros(15), timeout=np.zeros(15))
    assert "terminal, timeout is never set" in str(refusal(silent))
    data = built(silent, episode_length=5)
    assert data.lengths.tolist() == [5, 5, 5]
    assert data.truncated.sum() == 3
    assert built(silent, episode_length=15).episodes == 1
    assert built(silent, episode_length=10**30).episodes == 1


def test_d7_terminal_wins_over_timeout_and_is_counted() -> None:
    log = walk_log((4, 3))
    both = changed(log, timeout=log.terminal)
    data = built(both)
    assert only(data, "both-flags").count == 2
    assert (data.terminated.sum(), data.truncated.sum()) == (2, 0)


def test_d7_done_and_timeout_is_truncated() -> None:
    log = walk_log((4, 3, 5))
    timeout = np.zeros(12)
    timeout[6] = 1.0
    data = built(changed(log, terminal=None, done=np.array(log.terminal, np.float32), timeout=timeout))
    assert np.flatnonzero(data.terminated).tolist() == [3, 11]
    assert np.flatnonzero(data.truncated).tolist() == [6]
    assert only(data, "done-at-time-limits").rows == (6,)


@pytest.mark.parametrize(("shift", "said"), [(1, "own observation"), (-1, "two rows on")])
def test_d8_shifted_next_observations_are_refused(shift: int, said: str) -> None:
    log = walk_log((50, 60, 40))
    data = built(changed(log, next_observation=np.roll(np.array(log.next_observation), shift, axis=0)))
    finding = only(data, "shifted-next-observations")
    assert said in finding.message
    assert finding.count > 140
    with pytest.raises(DataRefused):
        data.admit()


def test_d8_shuffled_rows_are_refused_and_can_be_read_as_transitions() -> None:
    log = walk_log((50, 60, 40))
    order = np.random.default_rng(0).permutation(150)
    shuffled = changed(log, **{name: np.array(getattr(log, name))[order] for name in _columns(log)})
    assert "episode_length=1" in only(built(shuffled), "shifted-next-observations").message
    data = built(shuffled, episode_length=1).admit()
    assert (data.episodes, data.terminated.sum(), data.has_next.all()) == (150, 3, True)


def test_d8_an_unmarked_boundary_is_named() -> None:
    log = walk_log((300, 300))
    terminal = np.array(log.terminal)
    terminal[299] = False
    finding = only(built(changed(log, terminal=terminal)), "next-observation-disagrees")
    assert (finding.severity, finding.rows) == ("warning", (299,))


def test_d8_next_observations_of_the_next_episode_are_not_bootstrapped_from() -> None:
    log = walk_log((6, 5, 7))
    following = np.array(log.next_observation)
    following[[5, 10]] = np.array(log.observation)[[6, 11]]
    following[17] = 0
    data = built(changed(log, terminal=None, timeout=log.terminal, next_observation=following))
    assert only(data, "next-observation-of-next-episode").count == 3
    assert np.flatnonzero(~data.has_next).tolist() == [5, 10, 17]
    np.testing.assert_array_equal(
        np.asarray(data.next_observation)[~data.has_next], np.asarray(data.observation)[~data.has_next]
    )


def test_d8_what_is_not_finite_is_refused_without_a_warning_of_numpy() -> None:
    log = walk_log((60, 50, 70))
    seen, following = (np.array(part) for part in (log.observation, log.next_observation))
    following[[59, 109]] = seen[[60, 110]]
    seen[7] = following[6] = np.inf
    data = built(
        changed(log, terminal=None, timeout=log.terminal, observation=seen, next_observation=following)
    )
    assert "non-finite" in ids(data, "error")


def test_d8_a_state_that_steps_reach_too_is_believed() -> None:
    """A walk on a ring of three cells that resets to cell 0, and is cut there once by chance."""
    cells = np.array([0, 1, 2, 0, 1, 0, 1, 2, 0, 1, 2])
    following = np.array([1, 2, 0, 1, 2, 1, 2, 0, 1, 2, 0])
    log = Log(
        source="ring", layout="test", observation=cells[:, None], next_observation=following[:, None],
        action=np.ones((11, 1), np.float32), timeout=np.isin(np.arange(11), [4, 10]),
    )  # fmt: skip
    assert built(log).has_next.all()


@pytest.mark.parametrize("seed", range(6))
def test_d9_rewards_that_fit_poorly_at_the_edges_are_not_suspected(seed: int) -> None:
    """Starts far from where steps lead: the own model errs there, and so does that of the row before."""
    log = walk_log((30,) * 20, seed=seed)
    start = np.repeat(np.arange(30)[None] == 0, 20, axis=0).reshape(-1)
    reward = np.array(log.reward) - 20.0 * start
    assert "shifted-rewards" not in ids(built(changed(log, reward=reward)))


def test_d9_fits_that_are_all_good_are_not_told_apart() -> None:
    """A column that both alignments explain to one part in ten thousand is no evidence."""
    assert "shifted-rewards" not in ids(built(walk_log((30,) * 20, seed=8, action_dimensions=3)))


@pytest.mark.parametrize("shift", [-1, 1])
def test_d9_rewards_shifted_by_one_are_named(shift: int) -> None:
    log = walk_log((30,) * 20)
    assert "shifted-rewards" not in ids(built(log))
    shifted = changed(log, reward=np.roll(np.array(log.reward), shift))
    finding = only(built(shifted), "shifted-rewards")
    assert finding.severity == "warning"
    assert ("before" if shift > 0 else "after") in finding.message


def test_d10_actions_ten_times_too_large_are_refused_never_clipped() -> None:
    log = walk_log((40, 60))
    action = np.array(log.action)
    action[:, 1] *= 10
    data = built(changed(log, action=action))
    finding = only(data, "actions-out-of-bounds")
    first = int(np.flatnonzero(np.abs(action[:, 1]) > 1)[0])
    assert finding.count == int((np.abs(action[:, 1]) > 1).sum())
    assert f"episode 0, step {first} (dimension 1: {action[first, 1]:.4g})" in finding.message
    np.testing.assert_array_equal(data.action, action.astype(np.float32))
    with pytest.raises(DataRefused, match=r"declared bounds \[-1, 1\]"):
        data.admit()
    accepted = built(changed(log, action=action), action_bounds="observed").admit()
    assert isinstance(accepted.action_space, spaces.Box)
    assert accepted.action_space.high == tuple(map(float, action.astype(np.float32).max(0)))


def test_d10_without_stated_bounds_a_dimension_or_a_row_out_of_scale_is_refused() -> None:
    log = changed(walk_log((100, 100)), action_space=None)
    column, row = np.array(log.action), np.array(log.action)
    column[:, 1] *= 10
    row[17] *= 50
    assert "dimension 1" in only(built(changed(log, action=column)), "action-scale").message
    assert only(built(changed(log, action=row)), "action-outliers").rows == (17,)
    for action in (column, row):
        assert not built(changed(log, action=action), action_bounds="observed").errors


@pytest.mark.parametrize(
    ("dtype", "excess", "accepted"),
    [("f8", 1e-8, True), ("f8", 1e-16, True), ("f4", 1.2e-7, True), ("f2", 9.8e-4, True),
     ("f8", 1e-4, False), ("f4", 1e-4, False), ("f2", 0.05, False)],
)  # fmt: skip
def test_d11_rounding_of_the_storage_dtype_is_accepted(dtype: str, excess: float, accepted: bool) -> None:
    log = walk_log((30, 20))
    action = np.array(log.action, dtype)
    action[4, 0], action[5, 1] = 1 + excess, -1 - excess
    data = built(changed(log, action=action))
    assert ("actions-out-of-bounds" not in ids(data)) == accepted
    assert data.action.dtype == np.float32
    assert (np.abs(data.action).max() <= 1) == accepted


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i8", "u1", "u2", "bool"])
def test_d12_numbers_become_float32(dtype: str) -> None:
    log = walk_log()
    values = (np.array(log.observation) * 3 > 0) if dtype == "bool" else np.abs(np.array(log.observation) * 3)
    data = built(changed(log, observation=values.astype(dtype), next_observation=None))
    assert np.asarray(data.observation).dtype == np.float32
    np.testing.assert_array_equal(data.observation, values.astype(dtype).astype(np.float32))


def test_d12_bool_rewards_and_images() -> None:
    log = walk_log()
    image = np.random.default_rng(0).integers(0, 255, (15, 4, 5, 3)).astype(np.uint8)
    data = built(changed(log, reward=np.arange(15) % 2 == 0, observation=image, next_observation=None))
    assert data.reward is not None
    assert (data.reward.dtype, data.reward.sum()) == (np.float32, 8)
    assert str(data.observation_space) == "image[4, 5, 3] uint8"


@pytest.mark.parametrize("column", ["observation", "action", "reward", "next_observation", "terminal"])
@pytest.mark.parametrize("dtype", [object, "U8", "complex64", "datetime64[s]"])
def test_d12_what_is_no_number_is_refused(column: str, dtype: Any) -> None:
    log = walk_log()
    shape = np.array(getattr(log, column)).shape
    assert f"Column {column}" in str(refusal(changed(log, **{column: np.zeros(shape, dtype)})))


def test_d12_what_overflows_float32_is_refused() -> None:
    log = walk_log()
    reward = np.array(log.reward)
    reward[3] = 1e300
    assert "overflow" in ids(built(changed(log, reward=reward)), "error")


def test_d13_repeated_transitions_and_episodes_are_found_and_dropped_on_request() -> None:
    one = walk_log((5, 4, 6))
    log = changed(one, **{name: np.concatenate([np.array(getattr(one, name))] * 2) for name in _columns(one)})
    data = built(log)
    assert only(data, "duplicate-transitions").count == 15
    assert only(data, "duplicate-episodes").rows == (15, 20, 24)
    assert "50 %" in only(data, "duplicate-episodes").message
    dropped = built(log, drop_duplicates=True)
    assert dropped.lengths.tolist() == [5, 4, 6]
    assert "duplicate-episodes" not in ids(dropped)


def test_d15_constant_columns_are_named() -> None:
    log = walk_log()
    observation = np.array(log.observation)
    observation[:, 1] = 7
    finding = only(built(changed(log, observation=observation, next_observation=None)), "constant-columns")
    assert (finding.count, "observation[1]" in finding.message) == (1, True)


def test_d16_images_stored_as_floats_are_named() -> None:
    log = walk_log()
    image = np.random.default_rng(0).integers(0, 256, (15, 8, 8, 3)).astype(np.float64)
    assert "image-scale" in ids(built(changed(log, observation=image, next_observation=None)), "warning")
    unit = changed(log, observation=image / 255, next_observation=None)
    assert "image-scale" not in ids(built(unit))


def test_d16_images_whose_channels_come_first_are_named() -> None:
    log = walk_log()
    for shape, named in (((3, 8, 8), True), ((8, 8, 3), False), ((4, 4, 3), False)):
        image = np.zeros((15, *shape), np.uint8)
        data = built(changed(log, observation=image, next_observation=None))
        assert ("image-layout" in ids(data, "warning")) == named


def test_d16_columns_far_apart_in_scale_and_clocks_are_named() -> None:
    log = walk_log((40, 50))
    observation = np.array(log.observation)
    observation[:, 0] = np.concatenate([np.arange(40), np.arange(50)])
    observation[:, 2] *= 1e-4
    data = built(changed(log, observation=observation, next_observation=None))
    assert "observation[0] (0 to 49)" in only(data, "drifting-columns").message
    assert "observation[2]" in only(data, "column-scales").message


@pytest.mark.parametrize("bad", [0.0, -0.2, 1.5, np.nan])
def test_d25_propensities_that_are_none_are_named(bad: float) -> None:
    propensity = np.full(15, 0.5)
    log = changed(walk_log(), action=np.arange(15) % 2, action_space=None, propensity=propensity)
    assert "propensities" not in ids(built(log))
    propensity[[1, 4]] = bad
    assert only(built(log), "propensities").rows == (1, 4)


def test_d25_densities_of_continuous_actions_may_exceed_one() -> None:
    assert "propensities" not in ids(built(changed(walk_log(), propensity=np.full(15, 2.5))))


def test_d25_action_probabilities_are_checked_and_give_the_propensity() -> None:
    table = np.tile([0.25, 0.75], (15, 1))
    log = changed(walk_log(), action=np.arange(15) % 2, action_space=None, action_probabilities=table)
    data = built(log)
    assert data.propensity is not None
    np.testing.assert_allclose(data.propensity, np.where(np.arange(15) % 2, 0.75, 0.25))
    assert ids(data) >= {"propensities-logged"}
    assert only(built(changed(log, propensity=np.full(15, 0.25))), "propensity-disagrees").count == 7
    table[3] = [0.5, 0.6]
    assert only(built(log), "action-probabilities").rows == (3,)


def test_d8_pieces_of_one_recording_are_believed() -> None:
    """Cut by a time limit without a reset, the next observation is the next piece's first one, and true."""
    log = walk_log((120,))
    cut = np.arange(120) % 30 == 29
    data = built(changed(log, terminal=None, timeout=cut))
    assert data.has_next.all()
    assert data.truncated.sum() == 4


def _columns(log: Log) -> list[str]:
    names = ("observation", "action", "reward", "next_observation", "terminal")
    return [name for name in names if getattr(log, name) is not None]
