"""Where a chunk's rows come from: all of them on the device, or a block of batches streamed from the host."""

import abc
import concurrent.futures
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suture.data.stage import Rows, Stage
from suture.errors import OutOfBudget
from suture.spaces import Array as HostArray
from suture.training.outcome import Outcome
from suture.training.program import Members, State, sample_rows

BLOCK_BYTES = 64 << 20
UNLIMITED = 1 << 30
"""Steps: as many as one likes."""


class Feed(abc.ABC):
    """Rows for a chunk.   longest: the most steps that one chunk may have."""

    longest: int

    @property
    @abc.abstractmethod
    def stage(self) -> Stage:
        """Where drawn rows lie."""
        raise NotImplementedError

    @abc.abstractmethod
    def rows(self, start: int, count: int) -> Rows:
        """What the program needs for `count` steps from `start`."""
        raise NotImplementedError

    def draws(self, seed: int, step: int, size: int) -> HostArray:
        """The draws of one batch, (size,): what `stage.positions` takes."""
        return np.asarray(sample_rows(np.uint32(seed), step, size, self.stage.eligible))

    def recover(self, step: int) -> None:  # noqa: B027 - what is all at hand has nothing to take up
        """Take up work after `step` updates: before a run's first step, and where it is resumed."""

    def prepare(self, step: int, state: State, stop: Callable[[], Outcome | None]) -> int:
        """Get what is needed for the updates after `step`; returns up to which step that serves.

        state: all members', as it is now.   stop: asked in between; where it answers, one may return at once.
        """
        return UNLIMITED

    def metrics(self) -> dict[str, float]:
        """What is told beside the metrics of the updates."""
        return {}

    @property
    def stopped(self) -> Outcome | None:
        """Why there will be no more rows, or None."""
        return None


class Resident(Feed):
    """All rows on the device; the program samples them."""

    def __init__(self, stage: Stage):
        self.longest, self._stage = UNLIMITED, stage
        self._rows = stage.everything()

    @property
    def stage(self) -> Stage:
        return self._stage

    def rows(self, start: int, count: int) -> Rows:
        return self._rows


class Streamed(Feed):
    """The batches of a chunk, gathered on the host in the order in which the program would sample them.

    The next chunk is gathered by a thread while the program computes.
    """

    def __init__(self, stage: Stage, members: Members, batch_size: int, limit: int):
        self._stage, self._members = stage, members
        drawn = batch_size * stage.window * len(members)
        one = drawn * max(1, stage.batch_bytes)
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

    @property
    def stage(self) -> Stage:
        return self._stage

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
