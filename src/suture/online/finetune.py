"""`finetune`: from a run to a run that went on online, and back into it, exactly where it stopped."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from suture import config
from suture.algorithms.base import Algorithm
from suture.config import fields_of, nearest
from suture.data.dataset import Dataset
from suture.data.split import TrainPart, split
from suture.data.summary import summarise
from suture.envs.make import Make
from suture.errors import ConfigError, RunMismatch
from suture.online.collect import Collector, named
from suture.online.experience import Experience
from suture.online.settings import Online, Preset, preset_for
from suture.storage import manifest
from suture.training import checkpoint, device, tensorboard
from suture.training.preparation import fitting_updates
from suture.training.program import Program, State
from suture.training.run import Recipe, Run, open_run
from suture.training.same import require_folder, require_same_log
from suture.training.settings import Settings
from suture.training.sweep import Sweep
from suture.training.train import Trainer, Watch, default_folder, stage_of

CHANGEABLE = (
    "reward_shift", "checkpoint_every", "log_every", "keep", "memory_limit", "on_divergence", "tensorboard",
)  # fmt: skip
"""The settings of a run that may be others than those of the run it starts from."""


def finetune(
    run: Run | Path | str,
    environment: str | Make,
    *,
    data: Dataset | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    member: int | None = None,
    seed: int | None = None,
    fresh: bool = False,
    preset: str | None = None,
    algorithm: Algorithm[Any] | None = None,
    online: Online | None = None,
    watch: Watch | None = None,
    same_device: bool = False,
    **changes: Any,
) -> Run:
    """Go on training online from a run; returns the new run, whose `outcome` says how it ended.

    The first `window` episodes are played by the policy as it was; then each by the policy of the moment,
    and after it come the updates that its steps allow, on batches of logged and online rows. What was
    collected is a store, RUN2/online; what became of the return is in its `summary.json`.

    environment: a Gymnasium id (module:Id-v0 where a module registers it), or a function that makes one.
    data: the log that the run learned from; by default it is read from where it was.
    out: the new run's folder; by default the next free runs/NAME-online-0001, ...
    resume: continue the run in `out` from its newest whole checkpoint, exactly: with the same arguments.
    member: of a run with several; each is fine-tuned by itself.   seed: of all draws; default: the member's.
    fresh: begin with new weights; the data and the scales are the run's.
    preset: iql, cal_ql, qt_opt or rlpd, or "none"; default: that of the method's name, where there is one.
    algorithm: the run's method with other fields; default: the run's, with those of the preset.
    online: in place of the preset's.   changes: fields of `Online`, such as steps=10_000, and those of
        `Settings` in CHANGEABLE; with a reward_shift a step may cost other than in the run's training.
    """
    run, watch = run if isinstance(run, Run) else open_run(run), watch or Watch()
    device.prepare(run.recipe.observation)
    found = preset_for(run.algorithm.name, preset)
    online, changes = _told_apart(online or Online(**found.online), changes)
    chosen = _member(run, member)
    algorithm = algorithm or starting_point(run, chosen, found)
    _require_kind(run, algorithm)
    path = Path(out) if out is not None else default_folder(f"{algorithm.name}-online", resume=resume)
    begun = require_folder(path, algorithm.name, resume=resume)
    log = data if data is not None else run.load()
    part = _training_part(run, log)
    algorithm.require(part.dataset)
    origin = _origin(run, chosen, fresh, path if begun else None) | {"environment": named(environment)}
    sweep = Sweep(algorithm, seed=run.members[chosen]["seed"] if seed is None else seed)
    recipe = _recipe(run, part, sweep, online, origin, changes)
    with Collector(recipe, environment, online) as collector:
        stage = stage_of(recipe, part)
        experience = Experience(recipe, stage, online, path / "online", collector, logged=len(log))
        trainer = Trainer(
            recipe, experience.log, path, watch, summarise(log), feed=experience.allocated,
            first=lambda program: _first_state(run, chosen, recipe, program, path, fresh=fresh),
            fitting=fitting_updates(algorithm, adopted=not fresh),
        )  # fmt: skip
        done = trainer.train(resume=resume, same_device=same_device)
        watch.say(experience.finish().told())
    return done


def starting_point(run: Run, member: int, preset: Preset) -> Algorithm[Any]:
    """The method of one member, with the fields that a preset changes."""
    own = {name: value for name, value in run.members[member].items() if name != "seed"}
    return config.replace(run.algorithm, **own, **preset.fields)


def _recipe(
    run: Run, part: TrainPart, sweep: Sweep, online: Online, origin: dict[str, Any], changes: dict[str, Any]
) -> Recipe:
    """What makes the new run: data, spaces and scales are those of the one it starts from."""
    settings = config.replace(run.recipe.settings, steps=online.updates, **changes)
    normaliser = run.recipe.normaliser
    further = settings.reward_shift - run.recipe.settings.reward_shift
    normaliser = dataclasses.replace(normaliser, reward_shift=normaliser.reward_shift + further)
    if settings.tensorboard:
        tensorboard.require()
    return dataclasses.replace(
        run.recipe, settings=settings, normaliser=normaliser, reward_limit=normaliser.reward_limit(part),
        behaviour=None if origin["fresh"] else run.recipe.behaviour,
        sweep=sweep, finetuned={**origin, "online": config.to_json(online)},
    )  # fmt: skip


def _told_apart(online: Online, changes: dict[str, Any]) -> tuple[Online, dict[str, Any]]:
    """Changes of `Online` made, and those of settings."""
    known = fields_of(online)
    for name in changes:
        if name not in known and name not in CHANGEABLE:
            raise ConfigError(f"finetune has no setting {name!r}.{nearest(name, [*known, *CHANGEABLE])}")
    online = config.replace(online, **{name: changes[name] for name in changes if name in known})
    online = dataclasses.replace(online, share_over=online.share_over or online.updates)
    return online, {name: value for name, value in changes.items() if name not in known}


def _member(run: Run, member: int | None) -> int:
    count = len(run)
    if member is None and count == 1:
        return 0
    if member is None or not 0 <= member < count:
        found = "none was named" if member is None else f"found {member}"
        raise ConfigError(
            f"{run.path} has the members 0 to {count - 1}, and each is fine-tuned by itself, into a folder "
            f"of its own; {found}. Choose one: --member 0 (in Python: member=0)."
        )
    return member


def _require_kind(run: Run, algorithm: Algorithm[Any]) -> None:
    if type(algorithm) is not type(run.algorithm):
        raise ConfigError(f"{run.path} is a run of {run.algorithm.name}, not of {algorithm.name}. Train one.")
    for name in ("count_penalty", "balance", "hindsight"):
        if getattr(run.recipe.settings, name) != getattr(Settings(), name):
            raise ConfigError(
                f"{run.path} was trained with --{name.replace('_', '-')}, which is not known of rows that "
                "are yet to come. Fine-tune a run without it."
            )


def _training_part(run: Run, log: Dataset) -> TrainPart:
    """The part of the log that the run learned from. Raises RunMismatch where it is another log."""
    recipe = run.recipe
    by, fraction, seed = (recipe.split[name] for name in ("by", "fraction", "seed"))
    part = split(log.admit(), fraction=fraction, seed=seed, by=by).train
    now = dataclasses.replace(
        recipe, fingerprint=part.dataset.fingerprint, observation=log.observation_space,
        action=log.action_space, schema=log.schema,
    )  # fmt: skip
    require_same_log(recipe, now, run.path)
    return part


def _origin(run: Run, member: int, fresh: bool, begun: Path | None) -> dict[str, Any]:
    """What `config.json` keeps of the run it starts from: which weights they were.

    begun: a folder in which the run began; what was kept there holds, whatever became of the first run since.
    """
    if begun is not None:
        file = begun / "config.json"
        kept = manifest.object_of(manifest.read_json(file), str(file)).get("finetuned", {})
        weights = {name: kept.get(name) for name in ("step", "sha256")}
    elif fresh:
        weights = {"step": None, "sha256": None}
    else:
        weights = checkpoint.weights(run.path / "checkpoints", run.newest.step)
    return {"run": str(run.path), "member": member, "fresh": fresh, **weights}


def _first_state(
    run: Run, member: int, recipe: Recipe, program: Program, path: Path, *, fresh: bool
) -> State:
    """The state to begin with, which is kept as the checkpoint of step 0."""
    if fresh:
        state = program.init(recipe.sweep.members)
    else:
        own = jax.tree.map(lambda leaf: leaf[member : member + 1], run.newest.state)
        try:
            state = checkpoint.fitted(own, recipe.template(), run.path)
        except RunMismatch as error:
            raise RunMismatch(
                f"The weights of {run.path} do not fit the fields that were asked for: {error} Leave these "
                "fields as they were (--preset none), train a run with them, or begin anew with --fresh."
            ) from error
        if "cosine" in config.to_json(recipe.sweep.algorithm).values():
            state = _counted_anew(state)
    checkpoint.save(path / "checkpoints", 0, state, recipe.identity)
    return state


def _counted_anew(state: State) -> State:
    """The state with its updates counted from 0: a learning rate that falls along a cosine falls once more.

    It had come to 0. The bias corrections begin anew too, and hold back the first thousand updates.
    """

    def is_adam(part: Any) -> bool:
        return isinstance(part, optax.ScaleByAdamState)

    def anew(part: Any) -> Any:
        return part._replace(count=jnp.zeros_like(part.count)) if is_adam(part) else part

    return jax.tree.map(anew, state, is_leaf=is_adam)
