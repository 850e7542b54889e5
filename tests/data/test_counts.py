"""Counts of pairs against plain loops, and the penalty where training sees it: in the rewards."""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.runs import Toy
from making.sets import dataset_of

from suture.algorithms.bc import BC
from suture.data.counts import CHUNK_ROWS, Counts
from suture.data.dataset import Dataset
from suture.data.normalise import Normaliser
from suture.data.split import TrainPart, split
from suture.data.stage import Stage
from suture.errors import ConfigError, DataRefused
from suture.spaces import Discrete
from suture.training.settings import Settings
from suture.training.train import train

PLAIN = Normaliser()


def tabular(lengths: tuple[int, ...] = (30, 20), choices: int = 3) -> Dataset:
    """One-hot observations of four states and discrete actions."""
    generator, rows = np.random.default_rng(0), sum(lengths)
    observation = np.eye(4, dtype=np.float32)[generator.choice(4, rows, p=[0.6, 0.3, 0.08, 0.02])]
    data = dataset_of(lengths, observation=observation)
    action = generator.integers(choices, size=rows).astype(np.int32)
    return dataclasses.replace(data, action=action, action_space=Discrete(choices))


def test_pairs_are_counted() -> None:
    data = tabular()
    pairs = list(zip(np.asarray(data.observation).argmax(1).tolist(), data.action.tolist(), strict=True))
    by_hand = Counter(pairs)
    counts = Counts.of(data, PLAIN)
    assert counts.of_row.tolist() == [by_hand[pair] for pair in pairs]
    assert counts.to_json() == {
        "pairs": len(by_hand), "most": max(by_hand.values()),
        "seen_once": sum(by_hand[pair] == 1 for pair in pairs) / len(pairs),
    }  # fmt: skip
    np.testing.assert_allclose(counts.penalty(2.0), [2 / np.sqrt(by_hand[pair]) for pair in pairs], rtol=1e-6)


def test_long_logs_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tabular((500, 300))
    whole = Counts.of(data, PLAIN).of_row
    assert CHUNK_ROWS > 800
    monkeypatch.setattr("suture.data.counts.CHUNK_ROWS", 7)
    np.testing.assert_array_equal(Counts.of(data, PLAIN).of_row, whole)


def test_every_part_of_an_observation_tells_rows_apart() -> None:
    rows = {"camera": np.zeros((4, 2, 2, 1), np.uint8), "joints": np.zeros((4, 2), np.float32)}
    rows["camera"][1, 0, 0, 0] = 1
    rows["joints"][2, 1] = -0.0  # the same number as 0
    data = dataclasses.replace(
        dataset_of((4,), observation=rows), action=np.array([0, 0, 0, 1], np.int32), action_space=Discrete(2)
    )
    assert Counts.of(data, PLAIN).of_row.tolist() == [2, 1, 2, 1]


def test_a_grid_makes_numbers_alike_in_the_scale_of_the_networks() -> None:
    """Observations in standard deviations, actions in half ranges: cells of 0.5 around multiples of 0.5."""
    data = dataset_of((400,))
    normaliser = Normaliser.fit(TrainPart(data))
    cells = [
        tuple(np.rint(np.append(seen, action) / 0.5).astype(int))
        for seen, action in zip(
            normaliser.normalise(data.observation), normaliser.to_unit(data.action), strict=True
        )
    ]
    by_hand = Counter(cells)
    assert max(by_hand.values()) > 1
    assert Counts.of(data, normaliser, grid=0.5).of_row.tolist() == [by_hand[cell] for cell in cells]


@pytest.mark.parametrize(
    ("grid", "said"), [(None, "are equal"), (1e-6, "multiples of 1e-06.*a larger --count-grid")]
)
def test_where_nothing_occurs_twice_counting_is_refused(grid: Any, said: str) -> None:
    with pytest.raises(DataRefused, match=said):
        Counts.of(dataset_of((20, 20)), PLAIN, grid=grid)


NEEDS = frozenset({"observation", "action", "reward", "return_to_go", "discount", "next_observation"})


@pytest.mark.parametrize("streamed", [False, True])
def test_training_sees_the_lowered_rewards(streamed: bool) -> None:
    """Scaled first, lowered then; returns to go are of lowered rewards. The log itself is as it was."""
    data = tabular()
    normaliser = Normaliser.fit(TrainPart(data), reward_scale=3.0, reward_shift=1.0)
    penalty = Counts.of(data, normaliser).penalty(0.7)
    rows = np.arange(3, 50, 2)
    stage = Stage(dataset=data, normaliser=normaliser, needs=NEEDS, rows=rows, discount=0.9, penalty=penalty)
    order = np.arange(len(rows))
    batch = (stage.at(order) if streamed else stage.everything()).take(order)
    assert data.reward is not None
    lowered = 3 * data.reward + 1 - penalty
    np.testing.assert_allclose(batch["reward"], lowered[rows], rtol=1e-5, atol=1e-5)
    exact, total = np.zeros(50), 0.0
    for row in reversed(range(50)):
        total = lowered[row] + 0.9 * (0.0 if row in (29, 49) else total)
        exact[row] = total
    np.testing.assert_allclose(batch["return_to_go"], exact[rows], rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("compiled_once")
def test_a_run_says_what_it_counted_and_resumes_with_it(tmp_path: Path) -> None:
    """Counts are those of the training part; the limit of values allows for the largest penalty."""
    data = tabular((10,) * 20)
    options: dict[str, Any] = {"validation": 0.3, "steps": 4, "out": tmp_path / "run"}
    run = train(Toy(), data, count_penalty=0.5, **options)
    part = split(data, fraction=0.3, seed=0).train.dataset
    written = json.loads((tmp_path / "run" / "dataset.json").read_text())
    assert written["counts"] == Counts.of(part, run.recipe.normaliser).to_json()
    assert run.recipe.counts == written["counts"]
    assert part.reward is not None
    assert written["reward_limit"] == pytest.approx(float(np.abs(part.reward).max()) + 0.5)
    again = train(Toy(), data, count_penalty=0.5, resume=True, **(options | {"steps": 8}))
    assert again.newest.step == 8
    plain = train(Toy(), data, **(options | {"out": tmp_path / "plain"}))
    assert "counts" not in json.loads((tmp_path / "plain" / "dataset.json").read_text())
    assert plain.recipe.counts is None


@pytest.mark.parametrize("settings", [{"count_penalty": 1.0}, {"balance": 0.5}])
def test_methods_without_rewards_refuse_settings_of_them(tmp_path: Path, settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="bc does not learn from rewards"):
        train(BC(hidden=(4,)), tabular(), steps=1, out=tmp_path / "run", **settings)


@pytest.mark.parametrize("fields", [{"count_penalty": -1.0}, {"count_grid": 0.0}])
def test_settings_out_of_bounds_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Settings(**fields)  # type: ignore[arg-type]
