"""Rewards for a log without them: a classifier learns from a labelled part what success looks like."""

import tempfile
from pathlib import Path

import numpy as np

from suture import spaces
from suture.algorithms.bc import BC
from suture.data.dataset import Dataset
from suture.errors import DataRefused
from suture.spaces import Array, Discrete, Tree
from suture.training.train import train

CLASSIFIER = BC(hidden=(64, 64), batch_size=64, learning_rate=1e-3)
"""Cloning what the labels say of a frame: with two actions that is a classifier, trained by cross-entropy."""
AT_ONCE = 4_096
"""Frames that are classified at once."""


def successes(data: Dataset, labelled: Array, *, steps: int = 1_000, seed: int = 0) -> Array:
    """Which transitions of a log lead to a success, as a classifier of what follows them says, (N,).

    labelled: transitions whose reward tells whether they do (it is above 0) and from which is learned, (N,).
        Successes are shown as often as all others.   steps: updates.
    Raises DataRefused where no labelled transition, or every one, is a success.
    """
    rewarded = np.zeros(len(data), bool) if data.reward is None else np.asarray(data.reward) > 0
    yes, no = np.flatnonzero(labelled & rewarded), np.flatnonzero(labelled & ~rewarded)
    if not len(yes) or not len(no):
        raise DataRefused(
            f"{len(yes):,} of {len(yes) + len(no):,} labelled transitions of {data.source} are successes: a "
            "classifier learns from both kinds. Label more of the log, or record a longer one."
        )
    often = max(len(yes), len(no))
    shown = _frames(data, np.r_[np.resize(yes, often), np.resize(no, often)], often)
    with tempfile.TemporaryDirectory() as folder:
        run = train(CLASSIFIER, shown, out=Path(folder) / "run", steps=steps, seed=seed)
        parts = [
            run.policies.act(_rows(data.next_observation, slice(first, first + AT_ONCE), lead=True))[0]
            for first in range(0, len(data), AT_ONCE)
        ]
    return np.concatenate(parts) == 1


def _frames(data: Dataset, rows: Array, successes: int) -> Dataset:
    """What follows some transitions, each frame by itself; the action is whether it is a success."""
    frames, count = _rows(data.next_observation, rows), len(rows)
    return Dataset(
        observation=frames, next_observation=frames, action=(np.arange(count) < successes).astype(np.int32),
        reward=None, terminated=np.zeros(count, bool), truncated=np.ones(count, bool),
        has_next=np.zeros(count, bool), episode_start=np.arange(count + 1), source=data.source,
        observation_space=data.observation_space, action_space=Discrete(2), names=data.names,
    )  # fmt: skip


def _rows(tree: Tree, rows: Array | slice, *, lead: bool = False) -> Tree:
    return spaces.map_arrays(lambda array: array[rows][None] if lead else array[rows], tree)
