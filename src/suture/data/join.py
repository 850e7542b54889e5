"""Several datasets as one: a log, and what was collected after it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.errors import DataRefused
from suture.spaces import Array


def join(parts: Sequence[Dataset]) -> Dataset:
    """The episodes of all parts, in their order. Of one part, it is that part.

    Further columns, behaviour probabilities and names stay where all parts have them, findings where there
    are any; their rows are those of their part. Raises DataRefused where observations or actions differ.
    """
    first, *others = parts
    for other in others:
        if _kinds(first) != _kinds(other):
            raise DataRefused(
                f"{other.source} cannot be joined with {first.source}: it holds {_kinds(other)}, the other "
                f"{_kinds(first)}. Learn from one of them."
            )
    if not others:
        return first

    def joined(name: str) -> Any:
        trees = [getattr(part, name) for part in parts]
        if any(tree is None for tree in trees):
            return None
        return spaces.map_arrays(lambda *arrays: np.concatenate(arrays), *trees)

    lengths = np.concatenate([part.lengths for part in parts])
    shared = set(first.columns).intersection(*(other.columns for other in others))
    rows = (
        "observation", "action", "reward", "next_observation", "terminated", "truncated", "has_next",
        "propensity", "action_probabilities",
    )  # fmt: skip
    return Dataset(
        **{name: joined(name) for name in rows},
        episode_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        observation_space=first.observation_space, action_space=first.action_space,
        source=first.source, layout=first.layout,
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in sorted(shared)},
        findings=tuple(finding for part in parts for finding in part.findings),
        names=first.names if all(part.names == first.names for part in others) else {}, schema=first.schema,
    )  # fmt: skip


def _kinds(data: Dataset) -> dict[str, str]:
    """Name -> shape and dtype of a row."""
    named: dict[str, Array] = {
        name: array
        for part in ("observation", "action")
        for name, array in spaces.arrays_of(getattr(data, part), part).items()
    }
    kinds = {name: f"{array.dtype}{list(array.shape[1:])}" for name, array in named.items()}
    return kinds | {"reward": "none" if data.reward is None else "known"}
