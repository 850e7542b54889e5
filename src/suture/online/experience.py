"""What a fine-tuning learns from: the log, and what the policy does meanwhile, journalled.

RUN/online/ is a store (`suture.load` opens it), of which `rounds.jsonl` says what was played when:

    {"round": 2, "step": 400, "steps": 600, "lengths": [200], "returns": [-310.5], "successes": null, ...}

A round is played by the state after `step` updates, and belongs to a state after more than these. So a run
that is resumed from a checkpoint knows what it had seen; what was played later is played again, alike.
"""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from suture.data.dataset import Dataset
from suture.data.formats import native
from suture.data.join import join
from suture.data.stage import Rows, Stage
from suture.errors import FormatError, OutOfBudget
from suture.online.buffer import Buffer
from suture.online.collect import Collector
from suture.online.settings import Online
from suture.online.summary import Summary, summarise
from suture.spaces import Array
from suture.storage import atomic, manifest
from suture.training import device
from suture.training.feed import UNLIMITED, Feed
from suture.training.outcome import Outcome
from suture.training.program import State, sample_rows
from suture.training.run import Recipe
from suture.training.settings import bytes_of

JOURNAL, SUMMARY = "rounds.jsonl", "summary.json"


def journal(folder: Path) -> list[dict[str, Any]]:
    """What RUN/online says of its rounds, as far as lines are whole. Raises FormatError for a damaged one."""
    path = folder / JOURNAL
    lines, found = atomic.whole_lines(path)[0] if path.is_file() else [], list[dict[str, Any]]()
    for number, text in enumerate(lines):
        where = f"{path}, line {number + 1}"
        line = manifest.object_of(manifest.parse_json(text.encode(), where), where)
        if not line.keys() >= {"step", "lengths", "returns", "shard"} or line.get("round") != number:
            raise FormatError(f"{where} is damaged: {text:.80}. Restore the file, or fine-tune anew.")
        found.append(line)
    return found


class Experience(Feed):
    """The log's rows and those of the rounds so far.

    stage: of the log, or of the part that is learned from.   folder: RUN/online.
    logged: rows of the whole log; those of the rounds are numbered behind them.
    """

    longest = UNLIMITED

    def __init__(
        self, recipe: Recipe, stage: Stage, online: Online, folder: Path, collector: Collector, logged: int
    ):
        self.recipe, self.online, self.folder, self.collector = recipe, online, folder, collector
        self.log, self.logged = stage, logged
        self.rounds = list[dict[str, Any]]()
        self._buffer: Buffer | None = None

    @property
    def buffer(self) -> Buffer:
        """The rows on the device."""
        assert self._buffer is not None, "call allocated() first"
        return self._buffer

    def allocated(self) -> "Experience":
        """This, with room on the device for the log and what is to come. Raises OutOfBudget."""
        log, text = self.log, self.recipe.settings.memory_limit
        limit = device.memory_for_data() if text is None else bytes_of(text)
        capacity = self.online.steps + max(1_000, self.online.steps // 4)
        one = log.bytes / max(1, len(log.rows))
        needed = int(one * (len(log.rows) + capacity))
        if needed > limit:
            raise OutOfBudget(
                f"The log and {capacity:,} further rows take {needed:,} bytes, more than the limit of "
                f"{limit:,}; what grows is not streamed. Raise --memory-limit, learn for fewer "
                "--steps, or from a part of the log."
            )
        self._buffer = Buffer(log, self.recipe.algorithm, capacity)
        return self

    @property
    def returns(self) -> list[float]:
        """Of each episode so far."""
        return [value for line in self.rounds for value in line["returns"]]

    @property
    def lengths(self) -> list[int]:
        """Of each episode so far."""
        return [value for line in self.rounds for value in line["lengths"]]

    def summary(self) -> Summary:
        """What became of the return."""
        return summarise(self.returns, self.lengths, self.online.window, self.online.first)

    def due(self) -> int:
        """How many updates the environment steps so far allow."""
        steps = sum(self.lengths[self.online.first :])
        allowed = math.floor(steps * self.online.updates_per_step + 1e-9)
        return min(allowed, self.recipe.settings.steps)

    def prepare(self, step: int, state: State, stop: Callable[[], Outcome | None]) -> int:
        while self.due() <= step and not self.stopped and self._play(step, state, stop):
            pass
        return self.due()

    @property
    def stopped(self) -> Outcome | None:
        least, last = self.online.least_return, self.returns[-self.online.window :]
        if least is None or len(last) < self.online.window:
            return None
        return Outcome.UNSAFE if np.mean(last) < least else None

    def metrics(self) -> dict[str, float]:
        last = self.returns[-self.online.window :]
        told = {"online/episodes": len(self.returns), "online/steps": sum(self.lengths)}
        return {"online/return": float(np.mean(last)), **{name: float(count) for name, count in told.items()}}

    def _play(self, step: int, state: State, stop: Callable[[], Outcome | None]) -> bool:
        """Play the next round and keep it, first of all on the disk; False where it was given up."""
        found = self.collector.play(state, len(self.returns), self.online.at_once, stop)
        if found is None:
            return False
        data, played = found
        number = len(self.rounds)
        successes = None if played.successes is None else played.successes[0].tolist()
        line: dict[str, Any] = {
            "round": number, "step": step, "steps": sum(self.lengths) + len(data),
            "lengths": played.lengths[0].tolist(), "returns": played.returns[0].tolist(),
            "successes": successes,
            "shard": native.write_shard(data, self.folder, number, point="round"),
        }  # fmt: skip
        atomic.crash_point("round.before_line")
        atomic.append_line(self.folder / JOURNAL, json.dumps(line), sync=True)
        atomic.crash_point("round.after_line")
        self._take(line, data)
        return True

    def _take(self, line: dict[str, Any], data: Dataset) -> None:
        self.rounds.append(line)
        self.buffer.add(data)

    def rows(self, start: int, count: int) -> Rows:
        online, buffer = self.online, self.buffer
        first, last = online.share_first, online.share_last
        if online.pooled:
            first = last = buffer.drawable / (buffer.drawable + self.log.eligible)
        over = online.share_over or self.recipe.settings.steps
        return buffer.rows(first, last, over, self.recipe.reward_limit)

    def recover(self, step: int) -> None:
        """Take up what was played before the update after `step`; what was played later is removed."""
        atomic.make_folder(self.folder)
        atomic.sweep_temporary(self.folder)
        kept = [line for line in journal(self.folder) if line["step"] < step]
        names = {line["shard"]["file"] for line in kept}
        self.seal(kept)
        for shard in self.folder.glob("shard-*"):
            if shard.name not in names:
                shard.unlink()
        lines = "".join(f"{json.dumps(line)}\n" for line in kept)
        atomic.write_file(self.folder / JOURNAL, lines.encode(), point="journal")
        (self.folder / SUMMARY).unlink(missing_ok=True)
        data = native.open(self.folder) if kept else None
        first = 0
        for line in kept:
            assert data is not None
            last = first + len(line["lengths"])
            self._take(line, data.take_episodes(np.arange(first, last)))
            first = last

    def seal(self, rounds: list[dict[str, Any]] | None = None) -> None:
        """Make the folder a store of the rounds so far (or of these)."""
        rounds = self.rounds if rounds is None else rounds
        if not rounds:
            (self.folder / native.MANIFEST).unlink(missing_ok=True)
            return
        native.seal(self._empty(), self.folder, [line["shard"] for line in rounds])

    def _empty(self) -> Dataset:
        """A dataset without episodes, of the kind that is collected."""
        none = self.log.dataset.take_episodes(np.zeros(0, np.int64))
        return dataclasses.replace(
            none, reward=np.zeros(0, np.float32), propensity=None, action_probabilities=None, columns={},
            findings=(), schema=None, source=self.collector.name, layout="online", names=self.recipe.names,
        )  # fmt: skip

    def finish(self) -> Summary:
        """Leave a store and a summary."""
        self.seal()
        summary = self.summary()
        text = json.dumps(dataclasses.asdict(summary), indent=1) + "\n"
        atomic.write_file(self.folder / SUMMARY, text.encode(), point="json")
        return summary

    def draws(self, seed: int, step: int, size: int) -> Array:
        drawn = sample_rows(np.uint32(seed), step, size, self.log.eligible, self.rows(step, 1).growth)
        return np.asarray(drawn)

    @property
    def stage(self) -> Stage:
        """The log and the rounds so far, joined: rows of the rounds are numbered behind those of the log."""
        log = self.log
        if not self.rounds:
            return log
        self.seal()
        since, count = native.open(self.folder), len(log.dataset)
        if log.dataset.reward is None:
            since = dataclasses.replace(since, reward=None)
        joined = join([log.dataset, since])
        origin = None
        if log.origin is not None:
            origin = np.concatenate([log.origin, self.logged + np.arange(len(since))])
        rows = np.concatenate([log.rows, count + np.concatenate(self.buffer.kept)])
        return dataclasses.replace(log, dataset=joined, rows=rows, origin=origin)
