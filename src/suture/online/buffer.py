"""Rows on the device that become more: allocated once, filled from behind the log's, drawn by a count.

The count of what there is is an argument of the program, so that nothing is compiled anew as data grow. Only
where more comes than was allocated, the place for it is doubled.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suture.algorithms.base import Algorithm
from suture.data.dataset import Dataset
from suture.data.stage import Growth, Rows, Stage
from suture.spaces import Array

BLOCK = 256
"""Rows that are written at once: one shape, one program."""


def _write(held: Any, block: Any, at: Any) -> Any:
    def put(whole: Any, part: Any) -> Any:
        return jax.lax.dynamic_update_slice_in_dim(whole, part, at, 0)

    return jax.tree.map(put, held, block)


class Buffer:
    """The log's rows and, behind them, `capacity` places for further ones.

    stage: of the log.   largest: absolute reward of the further rows, as critics see it.
    """

    def __init__(self, stage: Stage, algorithm: Algorithm[Any], capacity: int):
        self.stage, self.algorithm, self.capacity = stage, algorithm, capacity
        self.kept, self.filled, self.drawable, self.largest = list[Array](), 0, 0, 0.0
        self._seen = 0
        log = stage.gather(stage.rows)
        self._columns, self._log = log.columns, len(stage.rows)
        # Pictures are let go of one column after the other: a log of them fits into memory only so often.
        alone = {name: self._room(log.alone.pop(name), self._log) for name in list(log.alone)}
        self._held = self._room(log.packed, self._log), alone
        starts = stage.starts
        self._starts = None if starts is None else self._room(starts, len(starts))
        self._put = jax.jit(_write, donate_argnums=0)

    def _room(self, array: Array, used: int) -> Any:
        """A device array with places for more behind `used` rows."""
        rest = np.zeros((self.capacity + BLOCK, *array.shape[1:]), array.dtype)
        return jnp.asarray(np.concatenate([array[:used], rest]))

    def add(self, data: Dataset) -> None:
        """Add what some whole episodes hold."""
        rows = np.flatnonzero(self.algorithm.rows(data))
        stage = dataclasses.replace(self.stage, dataset=data, rows=rows, origin=None, penalty=None)
        self.kept.append(self._seen + rows)
        self._seen += len(data)
        while self.filled + len(rows) > self.capacity:
            self._double()
        gathered, starts = stage.gather(rows), stage.starts
        self._held = self._behind(self._held, (gathered.packed, gathered.alone), self._log + self.filled)
        if self._starts is not None and starts is not None:
            further = starts + self._log + self.filled
            self._starts = self._behind(self._starts, further, self.stage.eligible + self.drawable)
        self.filled, self.drawable = self.filled + len(rows), self.drawable + stage.eligible
        if "reward" in self.stage.needs and data.reward is not None:
            scaled = np.abs(self.stage.normaliser.scale_reward(np.asarray(data.reward)))
            self.largest = max(self.largest, float(scaled.max(initial=0.0)))

    def _behind(self, held: Any, parts: Any, at: int) -> Any:
        """What is held with `parts` written at a place, block by block."""
        count = len(jax.tree.leaves(parts)[0])
        for start in range(0, count, BLOCK):

            def block(array: Array, start: int = start) -> Array:
                taken = array[start : start + BLOCK]
                return np.concatenate([taken, np.zeros((BLOCK - len(taken), *taken.shape[1:]), taken.dtype)])

            held = self._put(held, jax.tree.map(block, parts), np.int32(at + start))
        return held

    def _double(self) -> None:
        more = self.capacity
        self.capacity += more

        def longer(array: Any) -> Any:
            return jnp.concatenate([array, jnp.zeros((more, *array.shape[1:]), array.dtype)])

        self._held = jax.tree.map(longer, self._held)
        self._starts = None if self._starts is None else longer(self._starts)

    def rows(self, first: float, last: float, over: int, limit: float | None) -> Rows:
        """What the program samples.   first, last, over: see `Growth`.   limit: largest reward of the log."""
        packed, alone = self._held
        some = bool(self.drawable)
        growth = Growth(
            filled=np.int32(self.drawable), first=np.float32(first * some), last=np.float32(last * some),
            over=np.float32(over), stretch=np.float32(max(1.0, self.largest / max(limit or 0.0, 1.0))),
        )  # fmt: skip
        return Rows(packed, alone, self._columns, self._starts, self.stage.window, growth)
