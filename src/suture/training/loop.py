"""The loop: chunks of compiled updates, and between them metrics, checkpoints, signals and the guard.

The guard looks at every step from inside the program. Where something became non-finite or diverged, the
chunk is replayed from its kept first state to name the step and the dataset rows, and to recover the last
good state. In a sweep the other members go on.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from suture.training import guard
from suture.training.feed import Feed
from suture.training.guard import Failure
from suture.training.outcome import Outcome
from suture.training.program import Members, Program, State

CHUNK_SECONDS = 1.0
FIRST_CHUNK = 8
FAILED_SAVES = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the loop calls between chunks.

    log(step, metrics): metrics are means since the last call, (members,) each.
    save(step, state, failures) -> how many saves in a row have failed, with this one: 0 where it is written.
    progress(step): after every chunk.   stop(): the outcome asked for from outside, or None.
    say: one notice.
    """

    log: Callable[[int, dict[str, Any]], None]
    save: Callable[[int, State, tuple[Failure, ...]], int]
    progress: Callable[[int], None]
    stop: Callable[[], Outcome | None]
    say: Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """How the loop ended: after `step` updates in `state`."""

    outcome: Outcome
    step: int
    state: State
    failures: tuple[Failure, ...]


class Loop:
    """Runs a program from step `start` to `steps`, stopping at multiples of `log_every` and `save_every`."""

    def __init__(
        self, program: Program, feed: Feed, members: Members, hooks: Hooks,
        *, steps: int, log_every: int, save_every: int,
    ):  # fmt: skip
        self.program, self.feed, self.members, self.hooks = program, feed, members, hooks
        self.guard = guard.Guard(program, feed, members, hooks.say)
        self.steps, self.log_every, self.save_every = steps, log_every, save_every
        self._pace = float(FIRST_CHUNK)

    def run(self, state: State, start: int, failures: tuple[Failure, ...] = ()) -> Result:
        """Train from `start` to the end, or until something stops it."""
        step, sums, counted = start, dict[str, Any](), 0
        while step < self.steps and len(failures) < len(self.members):
            until = self.feed.prepare(step, state, self.hooks.stop)
            if asked := self.hooks.stop() or self.feed.stopped:
                failed = self.hooks.save(step, state, failures)
                outcome = Outcome.STORAGE if failed else asked
                return Result(outcome=outcome, step=step, state=state, failures=failures)
            count, kept, before = self._length(step, until), guard.copy(state), failures
            state, metrics, found = self._chunk(state, kept, step, count, failures)
            failures += found
            if unstable := self.guard.unstable:
                self.hooks.save(step, kept, before)
                return Result(outcome=Outcome.NON_FINITE, step=step, state=kept, failures=before + unstable)
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
            if step % self.save_every == 0 or step == self.steps:
                failed = self.hooks.save(step, state, failures)
                lost = failed and step == self.steps  # no later save will make up for it
                if lost or failed >= FAILED_SAVES:
                    return Result(outcome=Outcome.STORAGE, step=step, state=state, failures=failures)
        outcome = failures[-1].outcome if failures else Outcome.COMPLETED
        return Result(outcome=outcome, step=step, state=state, failures=failures)

    def _length(self, step: int, until: int) -> int:
        """Steps of the next chunk: about a second's worth, ending where something is due."""
        due = min(self.steps, *((step // every + 1) * every for every in (self.log_every, self.save_every)))
        return max(1, min(min(due, until) - step, self.feed.longest, int(self._pace)))

    def _chunk(
        self, state: State, kept: State, start: int, count: int, failures: tuple[Failure, ...]
    ) -> tuple[State, dict[str, Any], tuple[Failure, ...]]:
        began = time.monotonic()
        state, chunk = self.program.run(state, self.members, self.feed.rows(start, count), start, count)
        bad, finite = np.asarray(chunk.bad_step), np.asarray(guard.all_finite(state))
        rate = count / max(time.monotonic() - began, 1e-9)
        self._pace = min(rate * CHUNK_SECONDS, 4 * self._pace)
        for failure in failures:  # stopped members stay where they were
            state = guard.with_member(state, failure.member, kept)
        metrics = {name: np.array(value) for name, value in chunk.metrics.items()}
        odd = {int(member) for member in np.flatnonzero((bad >= 0) | ~finite)}
        odd -= {failure.member for failure in failures}
        found: list[Failure] = []
        for member, replay in self.guard.settle(kept, sorted(odd), start, count, bad).items():
            state = guard.with_member(state, member, replay.state)
            found += [replay.failure] if replay.failure else []
            for name, mean in replay.metrics.items():
                metrics[name][member] = mean
        return state, metrics, tuple(found)
