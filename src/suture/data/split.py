"""Which episodes are learned from, and which are kept to check: whole episodes, never rows.

What is fitted to data (a normaliser, a policy) takes a `TrainPart`, which only a split hands out.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from suture.config import nearest
from suture.data.dataset import Dataset
from suture.data.findings import Finding, first_rows
from suture.data.fingerprints import Hashes, hash_episodes
from suture.errors import ConfigError, DataRefused
from suture.spaces import Array


@dataclasses.dataclass(frozen=True, eq=False)
class TrainPart:
    """The part of a dataset that may be learned from.

    rows: (n,) where each of its rows lies in the whole dataset; None: it is the whole.
    """

    dataset: Dataset
    rows: Array | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Two parts of one dataset without a common episode. `validation` may be empty."""

    train: TrainPart
    validation: Dataset


def split(dataset: Dataset, *, fraction: float = 0.1, seed: int = 0, by: str = "episode") -> Split:
    """Keep about `fraction` of the episodes for validation.

    by: "episode", drawn by `seed`; "entity:COLUMN", whole entities (patients, robots) drawn by `seed`;
    "time:COLUMN", the latest episodes. Identical episodes stay on one side. Both sides keep the order
    of the dataset. Where nothing can be divided (one episode, `fraction=0`) the validation part is empty.
    """
    if not 0.0 <= fraction < 1.0:
        raise ConfigError(f"fraction must be >= 0 and < 1, found {fraction}.")
    if not fraction:
        return _without_validation(dataset)
    kind, _, column = by.partition(":")
    hashes = hash_episodes(dataset)
    if kind == "episode" and not column:
        held = _draw(hashes, fraction, seed)
    elif kind == "entity" and column:
        held = _draw(_per_episode(dataset, column, constant=True), fraction, seed)
    elif kind == "time" and column:
        held = _latest(_per_episode(dataset, column), fraction)
    else:
        known = ", ".join(dataset.columns) or "none"
        raise ConfigError(
            f"by must be 'episode', 'entity:COLUMN' or 'time:COLUMN', found {by!r}. Columns: {known}."
        )
    if not held.any():
        return _without_validation(dataset)
    _refuse_shared(hashes[~held], hashes[held])
    train = dataset.take_episodes(np.flatnonzero(~held))
    rows = np.flatnonzero(~held[dataset.episode_index])
    return Split(TrainPart(train, rows), dataset.take_episodes(np.flatnonzero(held)))


def require_disjoint(train: Dataset, validation: Dataset) -> None:
    """Raise `DataRefused` where an episode occurs in both: a score on it would measure memory (D14)."""
    _refuse_shared(hash_episodes(train), hash_episodes(validation))


def _refuse_shared(train: Hashes, validation: Hashes) -> None:
    shared = np.isin(validation, train)
    if not shared.any():
        return
    count, first = int(shared.sum()), first_rows(shared)
    message = (
        f"{count:,} of {len(validation):,} validation episodes ({count / len(validation):.1%}) "
        f"are also in the training part, first validation episode {first[0]}. A score on them measures "
        "memory. Leave them out of one side, or split the joined log with drop_duplicates=True."
    )
    finding = Finding(id="split-overlap", severity="error", count=count, rows=first, message=message)
    raise DataRefused(message, (finding,))


def _without_validation(dataset: Dataset) -> Split:
    return Split(TrainPart(dataset), dataset.take_episodes(np.zeros(0, np.int64)))


def _draw(labels: Array, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Episodes (E,) of randomly drawn labels that make up about `fraction`; one label at least each side."""
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(sizes))
    before = np.cumsum(sizes[order]) - sizes[order] / 2
    count = int(np.searchsorted(before, fraction * len(labels)))
    return np.isin(group, order[: min(max(count, 1), len(sizes) - 1)])


def _latest(times: Array, fraction: float) -> NDArray[np.bool_]:
    """Episodes (E,) later than the quantile of their start times at `1 - fraction`; ties stay in training."""
    count = len(times) - max(1, round(fraction * len(times)))
    return times > np.sort(times)[max(count - 1, 0)]


def _per_episode(dataset: Dataset, column: str, *, constant: bool = False) -> Array:
    """The value of a column at the first row of each episode, (E,)."""
    if column not in dataset.columns:
        raise ConfigError(f"The log has no column {column!r} to split by.{nearest(column, dataset.columns)}")
    values = dataset.columns[column]
    first = values[dataset.episode_start[:-1]]
    mixed = np.asarray(values != np.repeat(first, dataset.lengths, axis=0))
    if constant and mixed.any():
        episode = int(dataset.episode_index[np.flatnonzero(mixed)[0]])
        raise ConfigError(
            f"Column {column!r} must be constant within an episode to split by it; it changes within "
            f"{len(np.unique(dataset.episode_index[mixed])):,} episodes, first episode {episode}."
        )
    return first
