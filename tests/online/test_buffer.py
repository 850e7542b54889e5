"""Rows that grow: drawn as if log and rounds had been one dataset from the start, by one compiled program."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from making.sets import dataset_of

from suture.algorithms.base import Algorithm
from suture.algorithms.bc import BC
from suture.algorithms.cql import CalQL
from suture.algorithms.rebrac import ReBRAC
from suture.algorithms.td3 import TD3
from suture.data.dataset import Dataset
from suture.data.join import join
from suture.data.normalise import Normaliser
from suture.data.stage import Growth, Stage
from suture.errors import DataRefused
from suture.online.buffer import BLOCK, Buffer
from suture.training.program import sample_rows

METHODS: dict[str, Algorithm[Any]] = {
    "bc": BC(), "images": BC(), "images back": TD3(), "next actions": ReBRAC(),
    "returns": CalQL(), "steps": TD3(n_step=3), "chunks": TD3(chunk=4),
}  # fmt: skip
LOG, ROUNDS = (9, 7), ((5,), (3, 8), (2,), (BLOCK + 5,))


def staged(algorithm: Algorithm[Any], data: Dataset, stack: int = 1) -> Stage:
    return Stage(
        dataset=data, normaliser=Normaliser(reward_scale=3.0), needs=algorithm.needs,
        rows=np.flatnonzero(algorithm.rows(data)), window=algorithm.window, chunk=algorithm.decision_steps,
        discount=0.9, stack=stack,
    )  # fmt: skip


def pictures(rows: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    camera = rng.integers(0, 255, (rows, 4, 4, 3), np.uint8)
    return {"camera": camera, "hand": rng.normal(size=(rows, 2)).astype(np.float32)}


@pytest.mark.parametrize("name", METHODS)
def test_rows_that_came_since_are_those_of_one_dataset(name: str) -> None:
    """Also where more comes than was reserved: the place is doubled, more than once."""
    algorithm, seen, stack = METHODS[name], name.startswith("images"), 3 if name == "images back" else 1
    parts = [
        dataset_of(lengths, seed=seed, observation=pictures(sum(lengths), seed) if seen else None)
        for seed, lengths in enumerate((LOG, *ROUNDS))
    ]
    buffer = Buffer(staged(algorithm, parts[0], stack), algorithm, capacity=20)
    for part in parts[1:]:
        buffer.add(part)
    together = staged(algorithm, join(parts), stack)
    ours, theirs = buffer.rows(0.5, 0.5, 1, 1.0), together.everything()
    assert ours.growth is not None
    assert buffer.stage.eligible + int(ours.growth.filled) == together.eligible
    every = np.arange(together.eligible)
    for one, other in zip(
        jax.tree.leaves(ours.draw(every)), jax.tree.leaves(theirs.draw(every)), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_nothing_is_compiled_anew_as_rows_come(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = TD3(n_step=3)
    buffer, traced = Buffer(staged(algorithm, dataset_of(LOG)), algorithm, capacity=500), list[int]()

    @jax.jit
    def drawn(rows: Any, step: Any) -> Any:
        traced.append(1)
        return rows.draw(sample_rows(0, step, 16, buffer.stage.eligible, rows.growth))

    for step, lengths in enumerate(ROUNDS):
        buffer.add(dataset_of(lengths, seed=step + 1))
        drawn(buffer.rows(0.5, 0.6, 100, 1.0), step)
    assert len(traced) == 1


def test_draws_are_of_what_there_is_with_the_share_of_the_moment() -> None:
    """Exact bounds, and counts within four standard errors: 200 batches of 64."""
    growth = Growth(
        filled=np.int32(30), first=np.float32(0.1), last=np.float32(0.7), over=np.float32(100),
        stretch=np.float32(1),
    )  # fmt: skip
    sample = jax.jit(jax.vmap(lambda seed, step: sample_rows(seed, step, 64, 50, growth), (0, None)))
    for step, share in ((0, 0.1), (50, 0.4), (100, 0.7), (1_000, 0.7)):
        drawn = np.asarray(sample(np.arange(200, dtype=np.uint32), step)).ravel()
        since = drawn[drawn >= 50]
        assert drawn.min() == 0
        assert drawn.max() == 50 + 30 - 1
        assert abs(len(since) / len(drawn) - share) < 4 * np.sqrt(share * (1 - share) / len(drawn))
        counts = np.bincount(since - 50, minlength=30)
        assert np.abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())


def test_nothing_is_drawn_of_what_is_not_there() -> None:
    """Rounds that are shorter than a chunk, and not over: no row of them may be drawn."""
    algorithm = METHODS["chunks"]
    buffer = Buffer(staged(algorithm, dataset_of(LOG)), algorithm, capacity=20)
    short = dataset_of((2,), seed=5)
    cut = dataclasses.replace(short, terminated=np.zeros(2, bool), truncated=np.array([False, True]))
    buffer.add(cut)
    rows = buffer.rows(1.0, 1.0, 1, 1.0)
    assert (sample_rows(0, 3, 64, buffer.stage.eligible, rows.growth) < buffer.stage.eligible).all()


def test_larger_rewards_stretch_the_limit() -> None:
    data = dataset_of(LOG)
    buffer = Buffer(staged(TD3(), data), TD3(), capacity=20)
    limit = 3.0 * float(np.abs(np.asarray(data.reward)).max())
    assert buffer.rows(0.5, 0.5, 1, limit).growth.stretch == 1.0  # pyright: ignore
    large = dataclasses.replace(data, reward=np.asarray(data.reward) * 7)
    buffer.add(large)
    stretch = float(buffer.rows(0.5, 0.5, 1, limit).growth.stretch)  # pyright: ignore
    assert stretch == pytest.approx(7.0 * limit / max(limit, 1.0), rel=1e-5)


def test_other_observations_are_not_joined() -> None:
    with pytest.raises(DataRefused, match="cannot be joined"):
        join([dataset_of(LOG), dataset_of(LOG, observation=np.zeros((sum(LOG), 5), np.float32))])
