"""The guard: what happens when a member's numbers stop being finite, or leave what the rewards allow.

The program flags the first bad step of a chunk; here the chunk is replayed from its kept first state, to
name the step and the dataset rows and to recover the last good state. What does not recur is no failure of
the run, but of the machine.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suture.data.stage import Stage
from suture.spaces import Array as HostArray
from suture.training.feed import Feed
from suture.training.outcome import Outcome
from suture.training.program import Chunk, Members, Program, State

UNSTABLE = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """A member that was stopped.   step: its number of good updates.   rows: dataset rows to look at."""

    member: int
    outcome: Outcome
    step: int
    rows: tuple[int, ...]
    message: str

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {**dataclasses.asdict(self), "outcome": self.outcome.name, "rows": list(self.rows)}

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Failure":
        """What `to_json` wrote."""
        outcome, rows = Outcome[values["outcome"]], tuple(values["rows"])
        return Failure(
            member=values["member"],
            outcome=outcome,
            step=values["step"],
            rows=rows,
            message=values["message"],
        )


@jax.jit
def copy(state: State) -> State:
    """A state of its own, which survives the donation of the first."""
    return jax.tree.map(jnp.copy, state)


def all_finite(state: State) -> Any:
    """Whether every number of each member is finite, (members,).

    On a CPU by NumPy, which reads the arrays where they lie: a program of its own would take as long to
    compile as a run of a thousand chunks saves.
    """
    if jax.default_backend() == "cpu":
        return _all_finite(jax.tree.map(np.asarray, state), np)
    return finite_on_device(state)


def _all_finite(state: State, numpy: Any) -> Any:
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return numpy.stack([numpy.isfinite(leaf).reshape(len(leaf), -1).all(1) for leaf in leaves]).all(0)


@jax.jit
def finite_on_device(state: State) -> Any:
    """`all_finite` where the state is not in the host's memory."""
    return _all_finite(state, jnp)


def with_member(state: State, member: int, other: State) -> State:
    """`state`, with one member taken from `other`."""
    return jax.tree.map(lambda leaf, source: leaf.at[member].set(source[member]), state, other)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replay:
    """What a chunk gave when it was computed again for one member.

    failure: None where it did not recur.   state: the member's is the last good one; others' are not settled.
    metrics: the member's means over the chunk, where it did not recur.
    """

    failure: Failure | None
    state: State
    metrics: dict[str, float]


class Guard:
    """Replays chunks of a program.   say: one notice.

    passed_over: how many failures did not recur.   unstable: what is said of a machine that is not believed
    any more; nothing after the last chunk's first state is.
    """

    def __init__(self, program: Program, feed: Feed, members: Members, say: Callable[[str], None]):
        self.program, self.feed, self.members, self.say = program, feed, members, say
        self.passed_over, self._in_a_row, self.unstable = 0, 0, tuple[Failure, ...]()

    def settle(
        self, kept: State, members: Sequence[int], start: int, count: int, bad: HostArray
    ) -> dict[int, Replay]:
        """Replay a chunk for each member that went wrong in it; call it without members after a good one.

        A failure that does not recur came from the machine: it is passed over, told once and counted. After
        `UNSTABLE` chunks in a row with such failures the machine is not believed any more.
        bad: (all members,) first bad step, or -1 where only the state shows it.
        """
        replays = {member: self.replay(kept, member, start, count, int(bad[member])) for member in members}
        passed = [member for member, replay in replays.items() if replay.failure is None]
        self._in_a_row = self._in_a_row + 1 if passed else 0
        if passed and not self.passed_over:
            self.say(
                f"Between steps {start + 1} and {start + count} numbers of member {passed[0]} went wrong, "
                "and did not when they were computed again: taken for a fault of the machine, and training "
                "goes on from the good numbers. Further ones are counted; look after memory and accelerator."
            )
        self.passed_over += len(passed)
        if self._in_a_row >= UNSTABLE:
            self.unstable = tuple(_unstable(member, start, count) for member in passed)
        return replays

    def replay(self, kept: State, member: int, start: int, count: int, bad: int) -> Replay:
        """Go through a chunk again: to the first bad step of a member, or to its end."""
        good, step, sums = copy(kept), start, dict[str, float]()
        if bad > start:
            rows = self.feed.rows(start, bad - start)
            good, chunk = self.program.run(good, self.members, rows, start, bad - start)
            step, sums = bad, _sums(chunk, member, bad - start, {})
        if not bool(all_finite(good)[member]):  # the state broke before its metrics showed it
            good, step, sums = copy(kept), start, {}
        while step < start + count:
            after, chunk = self.program.run(copy(good), self.members, self.feed.rows(step, 1), step, 1)
            sums = _sums(chunk, member, 1, sums)
            sound = bool(all_finite(after)[member]) and all(np.isfinite(value) for value in sums.values())
            if not sound or int(chunk.bad_step[member]) >= 0:
                return Replay(failure=self._failure(member, step, sound), state=good, metrics={})
            good, step = after, step + 1
        return Replay(failure=None, state=good, metrics={name: total / count for name, total in sums.items()})

    def _failure(self, member: int, step: int, sound: bool) -> Failure:
        seed, size = int(self.members.seeds[member]), self.program.algorithm.batch_size
        stage = self.feed.stage
        positions = stage.positions(self.feed.draws(seed, step, size)).reshape(-1)
        rows, faulty = _suspects(stage, positions)
        listed = ", ".join(map(str, rows))
        where = f"at step {step + 1} of member {member}"
        if sound:
            outcome = Outcome.DIVERGED
            message = (
                f"DIVERGED {where}: values are far beyond what the rewards allow (batch of dataset rows "
                f"{listed} ...). Lower the learning rate or the discount, use a constrained method, or pass "
                "--on-divergence continue to study it."
            )
        else:
            outcome = Outcome.NON_FINITE
            cause = f"its data is finite (rows {listed} ...). Lower the learning rate or the reward scale."
            if faulty:
                share = f"{faulty} of its {len(positions)} rows"
                cause = f"{share} hold non-finite values: dataset rows {listed}. Mend the data."
            message = f"NON_FINITE {where}: {cause}"
        return Failure(member=member, outcome=outcome, step=step, rows=rows, message=message)


def _suspects(stage: Stage, positions: Any) -> tuple[tuple[int, ...], int]:
    """The first rows of a batch that hold non-finite values, and how many; otherwise its first rows."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(stage.at(positions))]
    bad = np.zeros(len(positions), bool)
    for leaf in leaves:
        if np.issubdtype(leaf.dtype, np.inexact):
            bad |= ~np.isfinite(leaf).reshape(len(leaf), -1).all(1)
    chosen = positions[bad] if bad.any() else positions
    return tuple(int(row) for row in stage.logged(np.unique(chosen))[:5]), int(bad.sum())


def _sums(chunk: Chunk, member: int, count: int, before: dict[str, float]) -> dict[str, float]:
    """One member's metrics, summed over the `count` steps of a chunk and what came before it."""
    return {
        name: before.get(name, 0.0) + count * float(np.asarray(value)[member])
        for name, value in chunk.metrics.items()
    }


def _unstable(member: int, start: int, count: int) -> Failure:
    message = (
        f"NON_FINITE between steps {start + 1} and {start + count} of member {member}: in {UNSTABLE} chunks "
        "in a row numbers went wrong and did not when they were computed again. Neither the data nor the "
        "method is at fault: the hardware is unstable. Check memory, clock and temperature of the host and "
        "the accelerator, then continue with --resume, here or elsewhere: the checkpoint is good."
    )
    return Failure(member=member, outcome=Outcome.NON_FINITE, step=start, rows=(), message=message)
