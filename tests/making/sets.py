"""Datasets made directly, without the gate."""

import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.spaces import Array


def dataset_of(
    lengths: tuple[int, ...], *, seed: int = 0, observation: Array | dict[str, Array] | None = None
) -> Dataset:
    """Random transitions in episodes of the given lengths; three observations, two actions in [-2, 4]."""
    rng, rows = np.random.default_rng(seed), sum(lengths)
    tree = rng.normal(size=(rows, 3)).astype(np.float32) if observation is None else observation
    last = np.zeros(rows, bool)
    last[np.cumsum(lengths) - 1] = True
    return Dataset(
        observation=tree, next_observation=tree, action=rng.uniform(-2, 4, (rows, 2)).astype(np.float32),
        reward=rng.normal(size=rows).astype(np.float32), terminated=last, truncated=np.zeros(rows, bool),
        has_next=~last, episode_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        observation_space=spaces.space_of(tree),
        action_space=spaces.Box((2,), low=(-2.0, -2.0), high=(4.0, 4.0)), source="made",
    )  # fmt: skip
