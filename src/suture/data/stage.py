"""From dataset rows to device arrays, normalised once: what `update` sees is made here and nowhere else.

All float columns of a row stand side by side in one matrix, so that sampling a batch is one gather.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.normalise import Normaliser
from suture.spaces import Array as HostArray


@dataclasses.dataclass(frozen=True)
class Column:
    """Where a column lies. `start` is its offset in the packed matrix, or None where it stands alone."""

    path: str
    shape: tuple[int, ...]
    start: int | None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class Rows(eqx.Module):
    """Rows of a dataset on the device.   packed: (n, width) float32.   alone: images and choices, by path."""

    packed: Any
    alone: dict[str, Any]
    columns: tuple[Column, ...] = eqx.field(static=True)

    def take(self, index: Any) -> dict[str, Any]:
        """The columns of some rows as nested trees: {'observation': ..., 'action': ..., ...}."""
        matrix = _rows(self.packed, index)
        named: dict[str, Any] = {}
        for column in self.columns:
            if column.start is None:
                value = _rows(self.alone[column.path], index)
            else:
                value = matrix[..., column.start : column.start + column.size]
                value = value.reshape(*matrix.shape[:-1], *column.shape)
            *folders, leaf = column.path.split("/")
            place = named
            for folder in folders:
                place = place.setdefault(folder, {})
            place[leaf] = value
        return named


def _rows(array: Any, index: Any) -> Any:
    """Rows that are known to exist: nothing is clamped or wrapped."""
    return jnp.asarray(array).at[index].get(mode="promise_in_bounds")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """How the eligible rows of a dataset become `Rows`.

    rows: (n,) the dataset rows that may be sampled, ascending; sampling draws positions 0 to n - 1.
    origin: (N,) where each dataset row lies in the log that it was split from; None: it is the log.
    """

    dataset: Dataset
    normaliser: Normaliser
    needs: frozenset[str]
    rows: HostArray
    origin: HostArray | None = None

    def logged(self, positions: HostArray) -> HostArray:
        """The rows of the log at some positions: what people can look up."""
        rows = self.rows[positions]
        return rows if self.origin is None else self.origin[rows]

    @property
    def bytes(self) -> int:
        """Memory that all eligible rows take on the device."""
        one = self.gather(self.rows[:1])
        return len(self.rows) * sum(int(leaf.nbytes) for leaf in jax.tree.leaves(one))

    def everything(self) -> Rows:
        """All eligible rows, on the device."""
        rows = slice(None) if len(self.rows) == len(self.dataset) else self.rows
        return jax.tree.map(jnp.asarray, self.gather(rows))

    def positions(self, positions: HostArray) -> Rows:
        """Some eligible rows, on the host (for streaming). A memory map is read row by row, in order."""
        unique, inverse = np.unique(positions, return_inverse=True)
        gathered = self.gather(self.rows[unique])
        return jax.tree.map(lambda leaf: leaf[inverse.reshape(positions.shape)], gathered)

    def gather(self, rows: Any) -> Rows:
        """Normalise and pack dataset rows, as NumPy arrays."""
        columns, parts, alone = list[Column](), list[HostArray](), dict[str, HostArray]()
        start = 0
        for path, array in self._columns(rows).items():
            if array.dtype == np.float32:
                column = Column(path, array.shape[1:], start)
                parts.append(array.reshape(len(array), column.size))
                start += column.size
            else:
                column, alone[path] = Column(path, array.shape[1:], None), np.ascontiguousarray(array)
            columns.append(column)
        count = len(next(iter(alone.values()))) if alone else 0
        packed = np.concatenate(parts, axis=1) if parts else np.zeros((count, 0), np.float32)
        return Rows(packed, alone, tuple(columns))

    def _columns(self, rows: Any) -> dict[str, HostArray]:
        data, scale = self.dataset, self.normaliser
        found: dict[str, HostArray] = {}
        for name, tree in (("observation", data.observation), ("next_observation", data.next_observation)):
            if name in self.needs:
                taken = spaces.map_arrays(lambda array: array[rows], tree)
                found |= spaces.arrays_of(scale.normalise(taken), name)
        found["action"] = scale.to_unit(data.action[rows])
        if "reward" in self.needs and data.reward is not None:
            found["reward"] = scale.scale_reward(data.reward[rows])
        if "discount" in self.needs:
            found["discount"] = 1 - data.terminated[rows].astype(np.float32)
        return found
