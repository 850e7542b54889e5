"""Small logs with known contents, for the tests of the gate and of what stands on it."""

import dataclasses
from typing import Any

import numpy as np

from suture import spaces
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.log import Log, Reading


def walk_log(
    lengths: tuple[int, ...] = (5, 4, 6),
    *,
    seed: int = 0,
    dimensions: int = 3,
    action_dimensions: int = 2,
    scale: float = 1.0,
) -> Log:
    """Episodes of a linear system driven by random actions; every episode ends by `terminal`.

    The state moves by the action, so rewards (minus the squared next state) follow the transition.
    """
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(action_dimensions, dimensions))
    columns: dict[str, list[Any]] = {"s": [], "a": [], "r": [], "n": [], "end": []}
    for length in lengths:
        state = rng.normal(size=dimensions)
        for step in range(length):
            action = rng.uniform(-1, 1, action_dimensions)
            following = 0.9 * state + 0.3 * action @ mix
            reward = -float(np.square(following).sum())
            values = (state, action, reward, following, step == length - 1)
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
            state = following
    return Log(
        source="walk", layout="test",
        observation=scale * np.array(columns["s"]), action=np.array(columns["a"]),
        reward=np.array(columns["r"]), next_observation=scale * np.array(columns["n"]),
        terminal=np.array(columns["end"]),
        action_space=spaces.Box((action_dimensions,), low=(-1.0,) * action_dimensions,
                                high=(1.0,) * action_dimensions),
    )  # fmt: skip


def changed(log: Log, **columns: Any) -> Log:
    """A copy of a log with some columns replaced."""
    return dataclasses.replace(log, **columns)


def ids(dataset: Dataset, severity: str | None = None) -> set[str]:
    """The ids of what the gate found, all or of one severity."""
    return {f.id for f in dataset.findings if severity in (None, f.severity)}


def built(log: Log, **reading: Any) -> Dataset:
    return build(log, Reading(**reading))
