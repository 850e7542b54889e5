"""The guard: what happens when a member's numbers stop being finite, or leave what the rewards allow.

The program flags the first bad step of a chunk; here the chunk is replayed from its kept first state, to
name the step and the dataset rows and to recover the last good state.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suture.data.stage import Stage
from suture.training.feed import Feed
from suture.training.outcome import Outcome
from suture.training.program import Members, Program, State, sample_rows


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


@jax.jit
def all_finite(state: State) -> Any:
    """Whether every number of each member is finite, (members,)."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(leaf).reshape(len(leaf), -1).all(1) for leaf in leaves]).all(0)


def with_member(state: State, member: int, other: State) -> State:
    """`state`, with one member taken from `other`."""
    return jax.tree.map(lambda leaf, source: leaf.at[member].set(source[member]), state, other)


class Guard:
    """Replays chunks of a program."""

    def __init__(self, program: Program, feed: Feed, stage: Stage, members: Members):
        self.program, self.feed, self.stage, self.members = program, feed, stage, members

    def replay(self, kept: State, member: int, start: int, count: int, bad: int) -> tuple[Failure, State]:
        """Go through a chunk again up to the first bad step of a member: its name and the state before it."""
        good, step = copy(kept), start
        if bad > start:
            rows = self.feed.rows(start, bad - start)
            good, _ = self.program.run(good, self.members, rows, start, bad - start)
            step = bad
        if not bool(all_finite(good)[member]):  # the state broke before its metrics showed it
            good, step = copy(kept), start
        while step < start + count:
            after, chunk = self.program.run(copy(good), self.members, self.feed.rows(step, 1), step, 1)
            sound = bool(all_finite(after)[member]) and all(
                np.isfinite(np.asarray(value)[member]) for value in chunk.metrics.values()
            )
            if not sound or int(chunk.bad_step[member]) >= 0:
                return self._failure(member, step, sound), good
            good, step = after, step + 1
        raise RuntimeError(f"The failure of member {member} between steps {start} and {step} did not recur.")

    def _failure(self, member: int, step: int, sound: bool) -> Failure:
        seed, size = int(self.members.seeds[member]), self.program.algorithm.batch_size
        draws = np.asarray(sample_rows(np.uint32(seed), step, size, self.stage.eligible))
        positions = self.stage.positions(draws).reshape(-1)
        rows, faulty = self._suspects(positions)
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

    def _suspects(self, positions: Any) -> tuple[tuple[int, ...], int]:
        """The first rows of a batch that hold non-finite values, and how many; otherwise its first rows."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(self.stage.at(positions))]
        bad = np.zeros(len(positions), bool)
        for leaf in leaves:
            if np.issubdtype(leaf.dtype, np.inexact):
                bad |= ~np.isfinite(leaf).reshape(len(leaf), -1).all(1)
        chosen = positions[bad] if bad.any() else positions
        return tuple(int(row) for row in self.stage.logged(np.unique(chosen))[:5]), int(bad.sum())
