"""From dataset rows to device arrays, normalised once: what `update` sees is made here and nowhere else.

All float columns of a row stand side by side in one matrix, so that sampling a batch is one gather.
"""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.history import BACK, images_back
from suture.data.normalise import Normaliser
from suture.data.returns import effective_horizon, monotonous, returns_to_go
from suture.errors import ConfigError
from suture.spaces import Array as HostArray


@dataclasses.dataclass(frozen=True)
class Column:
    """Where a column lies. `start` is its offset in the packed matrix, or None where it stands alone.

    stack: how many images of an episode one row stands for, of which it holds the last.
    """

    path: str
    shape: tuple[int, ...]
    start: int | None
    stack: int = 1

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


def window_positions(first: Any, reach: Any, window: int) -> Any:
    """The positions of `window` rows from each first one, (*batch, window); a run's last row is repeated.

    reach: how many rows may be read from each first one, itself included, (*batch,).
    """
    offsets, last = np.arange(window), reach[..., None] - 1
    inside = offsets <= last
    return first[..., None] + offsets * inside + last * ~inside


class Growth(eqx.Module):
    """Rows that came since, behind those of the log, and how batches are mixed of both.

    filled: how many draws there are among them.   first, last, over: their share of a batch goes from `first`
    to `last` in `over` updates.   stretch: by how much their rewards exceed the limit that is known.
    All are scalars and may be traced: a program serves however many rows there are.
    """

    filled: Any
    first: Any
    last: Any
    over: Any
    stretch: Any

    def share(self, step: Any) -> Any:
        """The share at one update."""
        return self.first + (self.last - self.first) * jnp.clip(step / self.over, 0.0, 1.0)


class Rows(eqx.Module):
    """Rows of a dataset on the device.

    packed: (n, width) float32.   alone: images and choices, by path.
    starts: the positions that may be drawn, or None for all of them.
    window: how many rows belong to each drawn one, itself included.
    growth: of rows that came since, or None where all are of the log.
    """

    packed: Any
    alone: dict[str, Any]
    columns: tuple[Column, ...] = eqx.field(static=True)
    starts: Any = None
    window: int = eqx.field(static=True, default=1)
    growth: Growth | None = None

    def draw(self, draws: Any) -> dict[str, Any]:
        """The columns of drawn rows, (batch, ...); with a window, (batch, window, ...)."""
        first = draws if self.starts is None else _rows(self.starts, draws)
        if self.window == 1:
            return self.take(first)
        return self.take(window_positions(first, _rows(self.alone["reach"], first), self.window))

    def take(self, index: Any) -> dict[str, Any]:
        """The columns of some rows as nested trees: {'observation': ..., 'action': ..., ...}."""
        matrix = _rows(self.packed, index)
        named: dict[str, Any] = {}
        for column in self.columns:
            if column.path == BACK:
                continue
            if column.stack > 1:
                value = images_back(self.alone, column.path, index, column.stack, _rows, jnp)
            elif column.start is None:
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


def rare(data: Dataset) -> HostArray:
    """Transitions that pay anything but the commonest reward, (N,).

    Raises ConfigError where there is no such thing: without rewards, or where less than half pay the same.
    """
    where = data.source or "the log"
    if data.reward is None:
        raise ConfigError(f"balance needs rewards, and {where} has none. Leave out --balance.")
    values, counts = np.unique(data.reward, return_counts=True)
    if 2 * counts.max() < len(data):
        raise ConfigError(
            f"balance is for rewards that are rare beside one that most transitions pay; in {where} the "
            f"commonest is paid by {counts.max() / len(data):.1%}. Leave out --balance."
        )
    if len(values) == 1:
        raise ConfigError(f"balance: every transition of {where} pays {values[0]:g}, so that none is rare.")
    return data.reward != values[counts.argmax()]


def balanced(starts: HostArray, chosen: HostArray, share: float) -> HostArray:
    """Starts (n,) with the chosen ones repeated, about equally, until they are at least `share` of all."""
    wanted = round(share / (1 - share) * int((~chosen).sum()))
    often = np.resize(starts[chosen], max(wanted, int(chosen.sum()))) if chosen.any() else starts[:0]
    return np.concatenate([starts[~chosen], often])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """How the eligible rows of a dataset become `Rows`.

    rows: (n,) the dataset rows that may be used, ascending; a position is a place in it, 0 to n - 1.
    origin: (N,) where each dataset row lies in the log that it was split from; None: it is the log.
    window: rows that one element of a batch spans; they are of one episode and follow each other.
    chunk: a drawn row is followed by so many rows, itself included, or by the true end of its episode.
    discount: of the column `return_to_go`.
    penalty: (N,) what each dataset row's scaled reward is lowered by, or None.
    balance: at least this share of what is drawn pays anything but the commonest reward; 0: as in the log.
    stack: how many images of an episode a row sees, its own included; each is kept once.
    """

    dataset: Dataset
    normaliser: Normaliser
    needs: frozenset[str]
    rows: HostArray
    origin: HostArray | None = None
    window: int = 1
    chunk: int = 1
    discount: float = 1.0
    penalty: HostArray | None = None
    balance: float = 0.0
    stack: int = 1

    @functools.cached_property
    def reach(self) -> HostArray:
        """How many rows may be read from each dataset row on, itself included, (N,) int32.

        They follow each other: no end of an episode lies between them, and no row that was not recorded.
        """
        place = np.arange(len(self.rows))
        ends = np.flatnonzero(np.append(~self._linked, True))
        reach = np.zeros(len(self.dataset), np.int32)
        reach[self.rows] = ends[np.searchsorted(ends, place)] - place + 1
        return reach

    @functools.cached_property
    def back(self) -> HostArray:
        """How many rows lead up to each dataset row in the same way, itself not included, (N,) int32."""
        place = np.arange(len(self.rows))
        begins = np.flatnonzero(np.append(True, ~self._linked))
        back = np.zeros(len(self.dataset), np.int32)
        back[self.rows] = place - begins[np.searchsorted(begins, place, "right") - 1]
        return back

    @functools.cached_property
    def _linked(self) -> HostArray:
        """Whether an eligible row is what followed the one before it, (n - 1,)."""
        rows, episode = self.rows, self.dataset.episode_index[self.rows]
        follows = (rows[1:] == rows[:-1] + 1) & (episode[1:] == episode[:-1])
        return follows & self.dataset.has_next[rows[:-1]]

    @functools.cached_property
    def starts(self) -> HostArray | None:
        """The positions that may be drawn, some of them repeatedly, or None for all of them, once."""
        if self.chunk == 1 and not self.balance:
            return None
        reach = self.reach[self.rows]
        ends = self.dataset.terminated[self.rows + reach - 1]
        starts = np.flatnonzero((reach >= self.chunk) | ends).astype(np.int32)
        return balanced(starts, self._pays[starts], self.balance) if self.balance else starts

    @functools.cached_property
    def _pays(self) -> HostArray:
        """Whether anything but the commonest reward is paid within the window from each eligible row on."""
        before = np.append(0, np.cumsum(rare(self.dataset)))
        return before[self.rows + np.minimum(self.window, self.reach[self.rows])] > before[self.rows]

    @property
    def eligible(self) -> int:
        """How many rows may be drawn: draws are numbers from 0 to this."""
        return len(self.rows) if self.starts is None else len(self.starts)

    def positions(self, draws: HostArray) -> HostArray:
        """Where drawn rows lie, (*batch,); with a window, (*batch, window)."""
        first = draws if self.starts is None else self.starts[draws]
        if self.window == 1:
            return first
        return window_positions(first, self.reach[self.rows[first]], self.window)

    def logged(self, positions: HostArray) -> HostArray:
        """The rows of the log at some positions: what people can look up."""
        rows = self.rows[positions]
        return rows if self.origin is None else self.origin[rows]

    @property
    def bytes(self) -> int:
        """Memory that all eligible rows take on the device."""
        one = self.gather(self.rows[:1])
        return len(self.rows) * sum(int(leaf.nbytes) for leaf in jax.tree.leaves(one))

    @property
    def batch_bytes(self) -> int:
        """Memory that one row of a batch takes: all of its images, where they are stacked."""
        return sum(int(leaf.nbytes) for leaf in jax.tree.leaves(self.at(np.zeros(1, np.int64))))

    def everything(self) -> Rows:
        """All eligible rows, on the device. Column by column: what the host held of one goes at once.

        What was read for this alone is handed over with one copy at most; what is the dataset's, such as a
        memory map, whose file may change, by `jnp.asarray`, which makes two.
        """
        rows = slice(None) if len(self.rows) == len(self.dataset) else self.rows
        gathered, alone = self.gather(rows), dict[str, Any]()
        for path in tuple(gathered.alone):
            array = gathered.alone.pop(path)
            put = jax.device_put if array.flags.owndata else jnp.asarray
            alone[path] = jax.block_until_ready(put(array))
        whole = Rows(gathered.packed, alone, gathered.columns, self.starts, self.window)
        return jax.tree.map(jnp.asarray, whole)

    def at(self, positions: HostArray) -> Rows:
        """Some eligible rows, on the host (for streaming). A memory map is read row by row, in order."""
        if self.stack > 1:
            return self._stacked_at(positions)
        unique, inverse = np.unique(positions, return_inverse=True)
        gathered = self.gather(self.rows[unique])
        return jax.tree.map(lambda leaf: leaf[inverse.reshape(positions.shape)], gathered)

    def _stacked_at(self, positions: HostArray) -> Rows:
        """`at` with every row's images: what is before a row lies before it here, too, and is read once."""
        back = np.minimum(self.back[self.rows[positions]], self.stack - 1)
        unique = np.unique([positions - np.minimum(step, back) for step in range(self.stack)])
        gathered, index = self.gather(self.rows[unique]), np.searchsorted(unique, positions)

        def rows(column: HostArray, index: HostArray) -> HostArray:
            return column[index]

        alone = {
            column.path: images_back(gathered.alone, column.path, index, column.stack, rows, np)
            if column.stack > 1
            else gathered.alone[column.path][index]
            for column in gathered.columns
            if column.start is None and column.path != BACK
        }
        whole = (dataclasses.replace(column, stack=1) for column in gathered.columns if column.path != BACK)
        return Rows(gathered.packed[index], alone, tuple(whole))

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
                seen = path.split("/")[0] in ("observation", "next_observation")
                is_image = seen and array.dtype == np.uint8 and array.ndim == 4
                column = Column(path, array.shape[1:], None, self.stack if is_image else 1)
                alone[path] = np.ascontiguousarray(array)
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
            found["reward"] = self._rewards(rows)
        if "return_to_go" in self.needs and data.reward is not None:
            found["return_to_go"] = self._returns[rows]
        if "discount" in self.needs:
            found["discount"] = 1 - data.terminated[rows].astype(np.float32)
        if "next_action" in self.needs:
            following = self._following[rows]
            found["next_action"] = scale.to_unit(data.action[following])
            found["next_action_known"] = (following != np.arange(len(data))[rows]).astype(np.float32)
        if self.window > 1:
            found["reach"] = self.reach[rows]
        if self.stack > 1:
            found[BACK] = self.back[rows]
        return found

    def _rewards(self, rows: Any) -> HostArray:
        scaled = self.normaliser.scale_reward(np.asarray(self.dataset.reward)[rows])
        return scaled if self.penalty is None else scaled - self.penalty[rows]

    @functools.cached_property
    def _returns(self) -> HostArray:
        """Where an episode was cut and paid the same all along, it is taken to go on like that for ever.

        Source: Nakamoto et al. 2023 (arXiv:2303.05479), the authors' code (for failures in sparse tasks).
        """
        data, reward = self.dataset, self._rewards(slice(None))
        start, after = data.episode_start, None
        if self.discount < 1:
            going_on = monotonous(np.asarray(data.reward), data.truncated, start)
            mean = np.add.reduceat(reward, start[:-1], dtype=np.float64) / data.lengths
            after = going_on * mean * effective_horizon(self.discount)
        return returns_to_go(reward, start, self.discount, after).astype(np.float32)

    @functools.cached_property
    def _following(self) -> HostArray:
        """The row after each one; itself where an episode ends, or where what followed was not recorded."""
        rows = np.arange(len(self.dataset)) + 1
        ends = ~self.dataset.has_next
        ends[self.dataset.episode_start[1:] - 1] = True
        rows[ends] -= 1
        return rows
