"""`train`: from a dataset to a run folder; and back into it, exactly where it stopped."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np

from suture import signals
from suture.algorithms.base import Algorithm
from suture.config import replace
from suture.data.counts import Counts
from suture.data.dataset import Dataset
from suture.data.goals import hindsight
from suture.data.normalise import Normaliser
from suture.data.split import TrainPart, split
from suture.data.stage import Stage
from suture.data.summary import summarise
from suture.errors import ConfigError, FormatError, RunMismatch, StorageError
from suture.spaces import Array
from suture.storage import atomic, manifest
from suture.storage.lock import Lock
from suture.training import checkpoint, device, tensorboard
from suture.training.clone import Clone
from suture.training.feed import Feed, Resident, Streamed
from suture.training.given import nothing_held_out, require_kinds, require_used
from suture.training.guard import Failure
from suture.training.loop import Hooks, Loop, Result
from suture.training.outcome import Outcome
from suture.training.preparation import begun, fitting_updates, require_learning
from suture.training.program import Program, State
from suture.training.room import require_room
from suture.training.run import Recipe, Run, read_recipe, write_json
from suture.training.same import require_folder, require_same
from suture.training.settings import Settings, bytes_of
from suture.training.sweep import Sweep

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Watch:
    """What a person sees while training.   start(first, steps), then progress(step); say: one notice."""

    say: Say = lambda _: None
    start: Callable[[int, int], None] = lambda _first, _steps: None
    progress: Callable[[int], None] = lambda _: None


def train(
    algorithm: Algorithm[Any] | Sweep,
    data: Dataset,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    seeds: int = 1,
    seed: int = 0,
    settings: Settings | None = None,
    watch: Watch | None = None,
    same_device: bool = False,
    behaviour: Run | Path | str | None = None,
    **changes: Any,
) -> Run:
    """Train on a dataset; returns the run, whose `outcome` says how it ended.

    algorithm: an algorithm (with `seeds` members, from `seed` up), or a Sweep.
    out: the run folder; by default the next free of runs/NAME-0001, ...
    resume: continue the run in `out` (by default the newest of runs/NAME-...) from its newest whole
        checkpoint, exactly.
    behaviour: a finished run of bc on the same data, whose policy takes the place of the model that methods
        such as brac fit themselves.
    changes: fields of Settings, such as steps=100_000 or normalise="none".
    """
    require_kinds(algorithm, data)
    sweep = algorithm if isinstance(algorithm, Sweep) else Sweep(algorithm, seeds=seeds, seed=seed)
    settings, watch = replace(settings or Settings(), **changes), watch or Watch()
    if settings.tensorboard:
        tensorboard.require()
    path = Path(out) if out is not None else default_folder(sweep.algorithm.name, resume=resume)
    if not require_folder(path, sweep.algorithm.name, resume=resume):
        require_learning(sweep.algorithm, settings.steps, adopted=behaviour is not None, say=watch.say)
    device.prepare(data.observation_space)
    parts = split(data.admit(), fraction=settings.validation, seed=sweep.seed, by=settings.split_by)
    if settings.validation and not parts.validation.episodes:
        watch.say(nothing_held_out(data, settings.validation))
    require_used(sweep.algorithm, settings, data.observation_space)
    part = _aimed(sweep, settings, parts.train)
    sweep.algorithm.require(part.dataset)
    recipe = _recipe(sweep, settings, data, part, train_episodes=parts.train.dataset.episodes)
    counts = _counts(recipe, part.dataset)
    if counts is not None:
        recipe = dataclasses.replace(recipe, counts=counts.to_json())
    clone = None if behaviour is None else Clone.of(behaviour)
    if clone is not None:
        clone.require_fit(recipe)
        recipe = dataclasses.replace(recipe, behaviour=clone.identity())
    penalty = None if counts is None else counts.penalty(settings.count_penalty)
    stage = stage_of(recipe, part, penalty)

    def first(program: Program) -> State:
        state = program.init(sweep.members)
        return state if clone is None else clone.adopted(state, recipe)

    fitting = fitting_updates(sweep.algorithm, adopted=clone is not None)
    trainer = Trainer(
        recipe, stage, path, watch, summarise(data), first=first, fitting=fitting,
        feed=lambda: _feed(recipe, stage, watch.say),
    )  # fmt: skip
    return trainer.train(resume=resume, same_device=same_device)


def _aimed(sweep: Sweep, settings: Settings, part: TrainPart) -> TrainPart:
    """The training part, with goals where the policy is to be told one."""
    if not settings.hindsight:
        return part
    algorithm = sweep.algorithm
    if algorithm.window > settings.hindsight_length or "return_to_go" in algorithm.needs:
        raise ConfigError(
            f"{algorithm.name}: with hindsight_length = {settings.hindsight_length} so many transitions in a "
            "row have a goal in common, and neither targets of more steps nor returns go beyond them. Give "
            f"it --hindsight-length {max(algorithm.window, 2)} or more; a method that learns from returns "
            "cannot be told a goal."
        )
    return hindsight(
        part, copies=settings.hindsight, arriving=settings.hindsight_arriving, later=settings.hindsight_later,
        discount=settings.hindsight_discount, tolerance=settings.hindsight_tolerance,
        length=settings.hindsight_length, seed=sweep.seed,
    )  # fmt: skip


def _recipe(
    sweep: Sweep, settings: Settings, data: Dataset, train_part: TrainPart, *, train_episodes: int
) -> Recipe:
    normaliser = Normaliser.fit(
        train_part,
        observation=settings.normalise,
        reward=settings.reward_rule,
        reward_scale=settings.reward_scale,
        reward_shift=settings.reward_shift,
    )
    limit = normaliser.reward_limit(train_part, settings.count_penalty)
    return Recipe(
        sweep=sweep, settings=settings, source=data.source, fingerprint=train_part.dataset.fingerprint,
        observation=train_part.dataset.observation_space, action=data.action_space,
        normaliser=normaliser, reward_limit=limit, names=train_part.dataset.names, schema=data.schema,
        split={
            "by": settings.split_by, "fraction": settings.validation, "seed": sweep.seed,
            "train_episodes": train_episodes, "validation_episodes": data.episodes - train_episodes,
        },
    )  # fmt: skip


def _counts(recipe: Recipe, data: Dataset) -> Counts | None:
    """How often the training part shows its pairs, where rewards are lowered by that."""
    if not recipe.settings.count_penalty:
        return None
    return Counts.of(data, recipe.normaliser, grid=recipe.settings.count_grid)


def default_folder(name: str, *, resume: bool) -> Path:
    """The next free runs/NAME-0001, ...; to resume, the newest of them."""
    number = 1
    while (Path("runs") / f"{name}-{number:04d}").exists():
        number += 1
    return Path("runs") / f"{name}-{max(1, number - resume):04d}"


def stage_of(recipe: Recipe, part: TrainPart, penalty: Array | None = None) -> Stage:
    """How the rows of the training part become what the program takes.   penalty: see `Stage`."""
    algorithm = recipe.algorithm
    return Stage(
        dataset=part.dataset, normaliser=recipe.normaliser, needs=algorithm.needs,
        rows=np.flatnonzero(algorithm.rows(part.dataset)), origin=part.rows,
        window=algorithm.window, chunk=algorithm.decision_steps,
        discount=getattr(algorithm, "discount", 1.0), penalty=penalty, balance=recipe.settings.balance,
        stack=recipe.settings.frame_stack,
    )  # fmt: skip


def _feed(recipe: Recipe, stage: Stage, say: Say) -> Feed:
    text = recipe.settings.memory_limit
    limit = device.memory_for_data() if text is None else bytes_of(text)
    if stage.bytes <= limit:
        return Resident(stage)
    say(f"The data takes {stage.bytes:,} bytes, more than the limit of {limit:,}: streaming it.")
    return Streamed(stage, recipe.sweep.members, recipe.algorithm.batch_size, limit)


class Trainer:
    """Fills a run folder, or goes on with one.

    stage: the log's rows.   summary: of the log.   first: the state before the first update.
    fitting: how many of the first updates only fit a model of the behaviour.   feed: where rows come from.
    """

    def __init__(
        self, recipe: Recipe, stage: Stage, path: Path, watch: Watch, summary: dict[str, Any], *,
        first: Callable[[Program], State], fitting: int, feed: Callable[[], Feed],
    ):  # fmt: skip
        self.recipe, self.stage, self.path, self.watch, self.summary = recipe, stage, path, watch, summary
        self.members, self.fitting = recipe.sweep.members, fitting
        self._first_state, self._make_feed = first, feed
        self.failed_saves, self.began, self.seconds_before = 0, time.monotonic(), 0.0
        self.last_log: tuple[int, float] | None = None
        self.first, self.passed_over = 0, 0

    def train(self, *, resume: bool, same_device: bool) -> Run:
        """Train to the end of the run, or until something stops it, alone in its folder."""
        atomic.make_folder(self.path)
        with Lock(self.path / "lock"):
            begun = require_folder(self.path, self.recipe.algorithm.name, resume=resume)
            with device.memory_to_budget(self.stage.bytes):
                return self._train(*(self._resume(same_device) if begun else (0, None, ())), begun, resume)

    def _train(
        self, start: int, state: State | None, failures: tuple[Failure, ...], begun: bool, resume: bool
    ) -> Run:
        feed = self._make_feed()
        require_room(self.recipe, self.stage)
        with signals.noted() as asked:  # from here on there is a run, which ends with a checkpoint
            if not begun:
                self._begin(resume)
            result = self._run(feed, start, state, failures, asked)
            self._finish(result.outcome, result.step, result.failures)
        return Run(self.path, type(self.recipe.algorithm))

    def _run(
        self, feed: Feed, start: int, state: State | None, failures: tuple[Failure, ...], asked: list[int]
    ) -> Result:
        settings = self.recipe.settings
        program = Program(
            self.recipe.algorithm, self.recipe.spec, self.stage.eligible,
            streamed=isinstance(feed, Streamed), continue_diverged=settings.on_divergence == "continue",
            crop=settings.random_crop,
        )  # fmt: skip
        state = self._first_state(program) if state is None else state
        feed.recover(start)
        self.first = start
        self.watch.start(start, settings.steps)
        board = self._board()
        hooks = Hooks(
            log=lambda step, metrics: self._log(step, metrics, feed.metrics(), board),
            save=self._save,
            progress=self._progress,
            stop=lambda: Outcome.PREEMPTED if asked else None,
            say=self.watch.say,
        )
        loop = Loop(
            program, feed, self.members, hooks,
            steps=settings.steps, log_every=settings.log_every, save_every=settings.checkpoint_every,
        )  # fmt: skip
        result = loop.run(state, start, failures)
        self.passed_over = loop.guard.passed_over
        return result

    def _begin(self, resume: bool) -> None:
        if resume:
            self.watch.say(f"{self.path} holds no run yet: starting afresh.")
        atomic.sweep_temporary(self.path)
        atomic.make_folder(self.path / "checkpoints")
        write_json(self.path / "versions.json", device.describe())
        write_json(self.path / "dataset.json", self.recipe.dataset_json())
        write_json(self.path / "inspection.json", self.summary)
        write_json(self.path / "config.json", self.recipe.config_json())

    def _resume(self, same_device: bool) -> tuple[int, State | None, tuple[Failure, ...]]:
        before = read_recipe(self.path, type(self.recipe.algorithm))
        require_same(before, self.recipe, self.path)
        self._compare_device(same_device)
        write_json(self.path / "config.json", self.recipe.config_json())
        for folder in (self.path, self.path / "checkpoints"):
            atomic.sweep_temporary(folder)
        found = checkpoint.load_newest(
            self.path / "checkpoints", self.recipe.template(), self.recipe.identity
        )
        for reason in found.skipped if found else ():
            self.watch.say(f"Passed over a checkpoint that is not whole, and removed it: {reason}")
        step = found.step if found else 0
        for damaged in checkpoint.steps_in(self.path / "checkpoints"):
            if damaged > step:  # what is trained again must find its place free
                atomic.remove_folder(checkpoint.folder_of(self.path / "checkpoints", damaged))
        with self._forgiving("Old checkpoints were not removed"):
            checkpoint.retain(self.path / "checkpoints", self.recipe.settings.keep)
        self._cut_metrics(step)
        (self.path / "outcome.json").unlink(missing_ok=True)
        if found is None:
            self.watch.say(f"{self.path} has no checkpoint yet: starting afresh from step 0.")
            return 0, None, ()
        self.watch.say(f"Continuing from step {step:,}.")
        return step, found.state, tuple(Failure.from_json(failure) for failure in found.failures)

    def _compare_device(self, same_device: bool) -> None:
        now, path = device.describe(), self.path / "versions.json"
        before = manifest.object_of(manifest.read_json(path), str(path))
        for name in ("device", "packages"):
            if now[name] != before.get(name):
                message = (
                    f"The {name} changed since the run began ({before.get(name)} -> {now[name]}): the "
                    "continued run is valid, but no longer bit for bit what it would have been."
                )
                if same_device:
                    raise RunMismatch(f"{message} Resume where it began, or drop --same-device.")
                self.watch.say(message)

    def _cut_metrics(self, step: int) -> None:
        """Drop the lines after the checkpoint, which will be written again, and a torn last line."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        lines, torn = atomic.whole_lines(path)
        if torn:
            self.watch.say(f"{path} ended in a torn line, which was dropped: {torn:.80}")
        kept = list[str]()
        for number, line in enumerate(lines):
            try:
                values = manifest.object_of(manifest.parse_json(line.encode(), str(path)), str(path))
                if values["step"] <= step:
                    kept.append(line)
                    self.seconds_before = values["seconds"]
            except (FormatError, KeyError, TypeError):
                self.watch.say(f"{path}, line {number + 1} is damaged and was dropped: {line:.80}")
        atomic.write_file(path, "".join(f"{line}\n" for line in kept).encode(), point="metrics")

    def _progress(self, step: int) -> None:
        if self.last_log is None:  # the first chunk compiled the program: speed is counted from here
            self.last_log = (step, time.monotonic() - self.began)
        self.watch.progress(step)

    def _log(self, step: int, metrics: dict[str, Any], beside: dict[str, float], board: Any) -> None:
        elapsed = time.monotonic() - self.began
        (last_step, last_seconds), self.last_log = self.last_log or (self.first, 0.0), (step, elapsed)
        if step == last_step:  # one chunk was all: its compilation cannot be told apart
            last_step, last_seconds = self.first, 0.0
        rate = (step - last_step) * len(self.members) / max(elapsed - last_seconds, 1e-9)
        for member in range(len(self.members)):
            values = {name: float(column[member]) for name, column in sorted(metrics.items())}
            values = begun(values, step, self.fitting) | beside
            head = {"step": step, "member": member, "seconds": round(self.seconds_before + elapsed, 3)}
            line = {**head, "updates_per_second": round(rate, 1), **_jsonable(values)}
            with self._forgiving(f"The metrics of step {step:,} were not written"):
                atomic.append_line(self.path / "metrics.jsonl", json.dumps(line))
                board(member, step, values)

    def _save(self, step: int, state: State, failures: tuple[Failure, ...]) -> int:
        folder = self.path / "checkpoints"
        described = tuple(failure.to_json() for failure in failures)
        self.failed_saves += 1
        with self._forgiving(f"The checkpoint of step {step:,} was not written"):
            checkpoint.save(folder, step, state, self.recipe.identity, described)
            self.failed_saves = 0
        if not self.failed_saves:
            with self._forgiving("Old checkpoints were not removed"):
                checkpoint.retain(folder, self.recipe.settings.keep)
        return self.failed_saves

    @contextlib.contextmanager
    def _forgiving(self, what: str) -> Generator[None]:
        """Training goes on where the disk refuses; people are told."""
        try:
            yield
        except StorageError as error:
            self.watch.say(f"{what}: {error}")

    def _finish(self, outcome: Outcome, step: int, failures: tuple[Failure, ...]) -> None:
        described = [failure.to_json() for failure in failures]
        messages = [failure.message for failure in failures] or [outcome.value]
        if step < self.recipe.settings.steps:
            messages.append(f"{self.path} holds {step:,} of {self.recipe.settings.steps:,} updates.")
        if self.passed_over:
            messages.append(f"Failures of the machine that were passed over: {self.passed_over:,}.")
        for message in messages:
            self.watch.say(message)
        value = {"outcome": outcome.name, "step": step, "message": " ".join(messages), "members": described}
        with contextlib.suppress(StorageError):
            write_json(self.path / "outcome.json", value)

    def _board(self) -> Callable[[int, int, dict[str, float]], None]:
        """Where metrics are written beside `metrics.jsonl`, as write(member, step, values)."""
        if not self.recipe.settings.tensorboard:
            return lambda _member, _step, _values: None
        return tensorboard.EventFiles(self.path / "tensorboard", len(self.members), self.first).write


def _jsonable(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: null stands for it."""
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
