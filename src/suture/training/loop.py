"""The loop: chunks of compiled updates, and between them metrics, checkpoints, signals and the guard.

The guard looks at every step from inside the program. Where something became non-finite or diverged, the
chunk is replayed from its kept first state to name the step and the dataset rows, and to recover the last
good state. In a sweep the other members go on.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suture.data.stage import Stage
from suture.training.feed import Feed
from suture.training.outcome import Outcome
from suture.training.program import Members, Program, State, sample_rows

CHUNK_SECONDS = 1.0
FIRST_CHUNK = 8


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the loop calls between chunks.

    log(step, metrics): metrics are means since the last call, (members,) each.
    save(step, state, failures) -> False where several saves in a row have failed.
    progress(step): after every chunk.   stop(): the outcome asked for from outside, or None.
    """

    log: Callable[[int, dict[str, Any]], None]
    save: Callable[[int, State, tuple[Failure, ...]], bool]
    progress: Callable[[int], None]
    stop: Callable[[], Outcome | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """How the loop ended: after `step` updates in `state`."""

    outcome: Outcome
    step: int
    state: State
    failures: tuple[Failure, ...]


@jax.jit
def _copy(state: State) -> State:
    return jax.tree.map(jnp.copy, state)


@jax.jit
def _finite(state: State) -> Any:
    """Whether every number of each member is finite, (members,)."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(leaf).reshape(len(leaf), -1).all(1) for leaf in leaves]).all(0)


def _with_member(state: State, member: int, other: State) -> State:
    return jax.tree.map(lambda leaf, source: leaf.at[member].set(source[member]), state, other)


class Loop:
    """Runs a program from step `start` to `steps`, stopping at multiples of `log_every` and `save_every`."""

    def __init__(
        self, program: Program, feed: Feed, stage: Stage, members: Members, hooks: Hooks,
        *, steps: int, log_every: int, save_every: int,
    ):  # fmt: skip
        self.program, self.feed, self.stage, self.members, self.hooks = program, feed, stage, members, hooks
        self.steps, self.log_every, self.save_every = steps, log_every, save_every
        self._pace = float(FIRST_CHUNK)

    def run(self, state: State, start: int, failures: tuple[Failure, ...] = ()) -> Result:
        """Train from `start` to the end, or until something stops it."""
        step, sums, counted = start, dict[str, Any](), 0
        while step < self.steps:
            count, kept = self._length(step), _copy(state)
            state, metrics, found = self._chunk(state, kept, step, count, failures)
            failures += found
            if len(failures) == len(self.members):
                last = max(failure.step for failure in failures)
                self.hooks.save(last, state, failures)
                return Result(outcome=failures[-1].outcome, step=last, state=state, failures=failures)
            step, counted = step + count, counted + count
            sums = {name: sums.get(name, 0.0) + count * value for name, value in metrics.items()}
            self.hooks.progress(step)
            if step % self.log_every == 0 or step == self.steps:
                self.hooks.log(step, {name: total / counted for name, total in sums.items()})
                sums, counted = {}, 0
            asked = self.hooks.stop()
            if asked or step % self.save_every == 0 or step == self.steps:
                saved = self.hooks.save(step, state, failures)
                if asked or not saved:
                    outcome = asked or Outcome.STORAGE
                    return Result(outcome=outcome, step=step, state=state, failures=failures)
        outcome = failures[-1].outcome if failures else Outcome.COMPLETED
        return Result(outcome=outcome, step=step, state=state, failures=failures)

    def _length(self, step: int) -> int:
        """Steps of the next chunk: about a second's worth, ending where something is due."""
        due = min(self.steps, *((step // every + 1) * every for every in (self.log_every, self.save_every)))
        return max(1, min(due - step, self.feed.longest, int(self._pace)))

    def _chunk(
        self, state: State, kept: State, start: int, count: int, failures: tuple[Failure, ...]
    ) -> tuple[State, dict[str, Any], tuple[Failure, ...]]:
        began = time.monotonic()
        state, chunk = self.program.run(state, self.members, self.feed.rows(start, count), start, count)
        bad, finite = np.asarray(chunk.bad_step), np.asarray(_finite(state))
        rate = count / max(time.monotonic() - began, 1e-9)
        self._pace = min(rate * CHUNK_SECONDS, 4 * self._pace)
        for failure in failures:  # stopped members stay where they were
            state = _with_member(state, failure.member, kept)
        known = {failure.member for failure in failures}
        found: list[Failure] = []
        for member in np.flatnonzero((bad >= 0) | ~finite):
            if int(member) not in known:
                failure, good = self._replay(kept, int(member), start, count, int(bad[member]))
                state = _with_member(state, int(member), good)
                found.append(failure)
        return state, {name: np.asarray(value) for name, value in chunk.metrics.items()}, tuple(found)

    def _replay(self, kept: State, member: int, start: int, count: int, bad: int) -> tuple[Failure, State]:
        """Go through a chunk again up to the first bad step of a member: its name and the state before it."""
        good, step = _copy(kept), start
        if bad > start:
            good, _ = self.program.run(
                good, self.members, self.feed.rows(start, bad - start), start, bad - start
            )
            step = bad
        if not bool(_finite(good)[member]):  # the state broke before its metrics showed it
            good, step = _copy(kept), start
        while step < start + count:
            after, chunk = self.program.run(_copy(good), self.members, self.feed.rows(step, 1), step, 1)
            finite = bool(_finite(after)[member]) and all(
                np.isfinite(np.asarray(value)[member]) for value in chunk.metrics.values()
            )
            if not finite or int(chunk.bad_step[member]) >= 0:
                return self._failure(member, step, finite), good
            good, step = after, step + 1
        raise RuntimeError(f"The failure of member {member} between steps {start} and {step} did not recur.")

    def _failure(self, member: int, step: int, finite: bool) -> Failure:
        seed, size = int(self.members.seeds[member]), self.program.algorithm.batch_size
        positions = np.asarray(sample_rows(np.uint32(seed), step, size, len(self.stage.rows)))
        rows, faulty = self._suspects(positions)
        listed = ", ".join(map(str, rows))
        where = f"at step {step + 1} of member {member}"
        if finite:
            outcome = Outcome.DIVERGED
            message = (
                f"DIVERGED {where}: values are far beyond what the rewards allow (batch of dataset rows "
                f"{listed} ...). Lower the learning rate or the discount, use a constrained method, or pass "
                "--on-divergence continue to study it."
            )
        else:
            outcome = Outcome.NON_FINITE
            cause = (
                f"{faulty} of its {size} rows hold non-finite values: dataset rows {listed}. Mend the data."
            )
            if not faulty:
                cause = (
                    f"its data is finite (rows {listed} ...). Lower the learning rate or the reward scale."
                )
            message = f"NON_FINITE {where}: {cause}"
        return Failure(member=member, outcome=outcome, step=step, rows=rows, message=message)

    def _suspects(self, positions: Any) -> tuple[tuple[int, ...], int]:
        """The first rows of a batch that hold non-finite values, and how many; otherwise its first rows."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(self.stage.positions(positions))]
        bad = np.zeros(len(positions), bool)
        for leaf in leaves:
            if np.issubdtype(leaf.dtype, np.inexact):
                bad |= ~np.isfinite(leaf).reshape(len(leaf), -1).all(1)
        chosen = positions[bad] if bad.any() else positions
        return tuple(int(row) for row in self.stage.rows[np.unique(chosen)][:5]), int(bad.sum())
