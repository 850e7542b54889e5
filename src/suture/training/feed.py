"""Where a chunk's rows come from: all of them on the device, or a block of batches streamed from the host."""

import abc
import concurrent.futures
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suture.data.stage import Rows, Stage
from suture.errors import OutOfBudget
from suture.training.program import Members, sample_rows

BLOCK_BYTES = 64 << 20


class Feed(abc.ABC):
    """Rows for a chunk.   longest: the most steps that one chunk may have."""

    longest: int

    @abc.abstractmethod
    def rows(self, start: int, count: int) -> Rows:
        """What the program needs for `count` steps from `start`."""
        raise NotImplementedError


class Resident(Feed):
    """All rows on the device; the program samples them."""

    def __init__(self, stage: Stage):
        self.longest = 1 << 30
        self._rows = stage.everything()

    def rows(self, start: int, count: int) -> Rows:
        return self._rows


class Streamed(Feed):
    """The batches of a chunk, gathered on the host in the order in which the program would sample them.

    The next chunk is gathered by a thread while the program computes.
    """

    def __init__(self, stage: Stage, members: Members, batch_size: int, limit: int):
        self._stage, self._members = stage, members
        drawn = batch_size * stage.window * len(members)
        one = drawn * max(1, stage.bytes // max(1, len(stage.rows)))
        if one > limit // 4:
            raise OutOfBudget(
                f"One step's batches take {one:,} bytes and two blocks of them must fit into half of the "
                f"memory limit of {limit:,} bytes. Raise --memory-limit above {4 * one:,}, "
                "or lower --batch-size."
            )
        self.longest = max(1, min(limit // 4 // one, BLOCK_BYTES // one, 1024))

        def draws(seed: Any, steps: Any) -> Any:
            return jax.vmap(lambda step: sample_rows(seed, step, batch_size, stage.eligible))(steps)

        self._draws = jax.jit(jax.vmap(draws, in_axes=(0, None)))
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._next: tuple[int, int, concurrent.futures.Future[Rows]] | None = None

    def rows(self, start: int, count: int) -> Rows:
        """The block from step `start`, of which the chunk uses `count` steps; the next one is begun."""
        expected, self._next = self._next, None
        if expected and expected[0] == start and expected[1] >= count:
            rows = expected[2].result()
        else:
            rows = self._gather(start)
        self._next = (start + count, self.longest, self._thread.submit(self._gather, start + count))
        return rows

    def _gather(self, start: int) -> Rows:
        """Batches of `longest` steps: (members, steps * batch * window, ...), always one shape."""
        steps = jnp.arange(start, start + self.longest)
        draws = np.asarray(self._draws(jnp.asarray(self._members.seeds, jnp.uint32), steps))
        positions = self._stage.positions(draws)
        gathered = self._stage.at(positions.reshape(len(self._members), -1))
        return jax.tree.map(jnp.asarray, gathered)
