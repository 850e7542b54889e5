"""What a run leaves on the disk, and how it is opened again.

run/
  config.json      the algorithm, its members and settings, and the behaviour that it was given
  dataset.json     fingerprint, spaces, names of columns, schema, split and scales of what it learned from
  inspection.json  what suture inspect says of that log
  versions.json    packages and device
  metrics.jsonl    one object a line: step, member, seconds, updates_per_second, then the metrics
  checkpoints/     step-000000004000/ ..., and best.json: which of them were the best where they were played
  outcome.json     how it ended
  evaluations/     what suture evaluate found
  online/          of a run that was fine-tuned: what it collected, a store; rounds.jsonl, summary.json
  tensorboard/     member-00/ ...: event files, where asked for
  lock             held by the one writer
"""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from suture import config, spaces
from suture.algorithms.base import Algorithm, Spec
from suture.algorithms.table import algorithm_named
from suture.data.dataset import Dataset
from suture.data.formats.read import is_table
from suture.data.formats.schema import Schema
from suture.data.history import stacked_space
from suture.data.load import READING, load
from suture.data.log import Reading
from suture.data.normalise import Normaliser
from suture.data.places import Names
from suture.errors import ConfigError, FormatError, RunMismatch
from suture.storage import atomic, manifest
from suture.training import checkpoint
from suture.training.checkpoint import Checkpoint, Identity
from suture.training.deploy import TrainedPolicies, TrainedPolicy
from suture.training.outcome import Outcome
from suture.training.program import Program, State
from suture.training.settings import Settings
from suture.training.sweep import Sweep

FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """What makes a run: `config.json` and `dataset.json` in memory."""

    sweep: Sweep
    settings: Settings
    source: str
    fingerprint: str
    observation: spaces.Space
    action: spaces.Space
    normaliser: Normaliser
    reward_limit: float | None
    split: dict[str, Any]
    behaviour: dict[str, Any] | None = None
    names: Names = dataclasses.field(default_factory=dict[str, tuple[str, ...]])
    schema: dict[str, Any] | None = None
    counts: dict[str, Any] | None = None
    finetuned: dict[str, Any] | None = None

    @property
    def algorithm(self) -> Algorithm[Any]:
        return self.sweep.algorithm

    @property
    def seen(self) -> spaces.Space:
        """What the policy sees: the log's observation, or with its images those before them."""
        return stacked_space(self.observation, self.settings.frame_stack)

    @property
    def spec(self) -> Spec:
        """The problem as the networks see it: continuous actions in [-1, 1]."""
        action = self.action
        if isinstance(action, spaces.Box):
            size = action.size
            action = spaces.Box(action.shape, action.dtype, (-1.0,) * size, (1.0,) * size)
        return Spec(
            observation=self.seen,
            action=action,
            steps=self.settings.steps,
            reward_limit=self.reward_limit,
        )

    @property
    def identity(self) -> Identity:
        """What a checkpoint of this run must say it belongs to."""
        spec = f"{spaces.signature(self.observation)} -> {spaces.signature(self.action)}"
        return Identity(algorithm=self.algorithm.name, members=len(self.sweep.members), spec=spec)

    @property
    def structure(self) -> Any:
        """What the state consists of, with all that is static in it (such as a schedule's length)."""
        return jax.tree.structure(self.template())

    def template(self) -> State:
        """Shapes and dtypes of the state."""
        program = Program(self.algorithm, self.spec, 1, streamed=False, continue_diverged=True)
        return program.shapes(self.sweep.members)

    def config_json(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return {
            "format": FORMAT,
            "algorithm": self.algorithm.name,
            "fields": config.to_json(self.algorithm),
            "seeds": self.sweep.seeds,
            "seed": self.sweep.seed,
            "sweep": self.sweep.grid,
            "settings": config.to_json(self.settings),
            "data": self.source,
            **({} if self.behaviour is None else {"behaviour": self.behaviour}),
            **({} if self.finetuned is None else {"finetuned": self.finetuned}),
        }

    def dataset_json(self) -> dict[str, Any]:
        """The content of `dataset.json`."""
        return {
            "format": FORMAT,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "observation_space": spaces.to_json(self.observation),
            "action_space": spaces.to_json(self.action),
            "split": self.split,
            "normaliser": self.normaliser.to_json(),
            "reward_limit": self.reward_limit,
            "names": {path: list(columns) for path, columns in self.names.items()},
            "schema": self.schema,
            **({} if self.counts is None else {"counts": self.counts}),
        }


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole."""
    atomic.write_file(path, (json.dumps(value, indent=1) + "\n").encode(), point="json")


def read_recipe(path: Path, kind: type[Algorithm[Any]] | None = None) -> Recipe:
    """The recipe of a run folder.   kind: the algorithm's class, where it is none of Suture's own."""
    if not (path / "config.json").is_file():
        raise RunMismatch(
            f"{path} is not a run folder: it has no config.json. Name the folder given as --out."
        )
    made = manifest.object_of(manifest.read_json(path / "config.json"), f"{path / 'config.json'}")
    data = manifest.object_of(manifest.read_json(path / "dataset.json"), f"{path / 'dataset.json'}")
    for name, values in (("config.json", made), ("dataset.json", data)):
        if values.get("format") != FORMAT:
            raise RunMismatch(
                f"{path / name} has format {values.get('format')!r}; this version reads format {FORMAT}. "
                "Use the version of Suture that wrote it (see versions.json)."
            )
    try:
        own = kind is not None and kind.name == made["algorithm"]
        algorithm = config.from_json(
            kind if kind and own else algorithm_named(made["algorithm"]), made["fields"]
        )
        return Recipe(
            sweep=Sweep(algorithm, seeds=made["seeds"], seed=made["seed"], **made["sweep"]),
            settings=config.from_json(Settings, made["settings"]),
            source=data["source"],
            fingerprint=data["fingerprint"],
            observation=spaces.from_json(data["observation_space"]),
            action=spaces.from_json(data["action_space"]),
            normaliser=Normaliser.from_json(data["normaliser"]),
            reward_limit=data["reward_limit"],
            split=data["split"],
            behaviour=made.get("behaviour"),
            names={path: tuple(columns) for path, columns in dict(data.get("names", {})).items()},
            schema=data.get("schema"),
            counts=data.get("counts"),
            finetuned=made.get("finetuned"),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RunMismatch(
            f"{path}: config.json or dataset.json is damaged ({type(error).__name__}: {error!s:.200}). "
            "Restore the file."
        ) from error


def _line_of(line: str, where: str) -> dict[str, Any]:
    """One line of metrics.   where: its place, for the error."""
    try:
        return manifest.object_of(manifest.parse_json(line.encode(), where), where)
    except FormatError as error:
        raise FormatError(f"{error} Resume the run: what is damaged is dropped.") from error


class Run:
    """A run folder. It can be read while it is being written.

    step: of the checkpoint to look at; the newest whole one where None.
    """

    def __init__(
        self, path: Path | str, kind: type[Algorithm[Any]] | None = None, *, step: int | None = None
    ):
        self.path, self.step, self._kind = Path(path), step, kind
        self.recipe = read_recipe(self.path, kind)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.algorithm.name}, {len(self)} members, {self.outcome})"

    def __len__(self) -> int:
        return len(self.recipe.sweep.members)

    @property
    def algorithm(self) -> Algorithm[Any]:
        return self.recipe.algorithm

    @property
    def members(self) -> list[dict[str, Any]]:
        """Seed and swept values of each member."""
        return self.recipe.sweep.describe()

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while it runs, or where it was killed."""
        path = self.path / "outcome.json"
        if not path.is_file():
            return None
        name = manifest.object_of(manifest.read_json(path), str(path)).get("outcome")
        if name not in list(Outcome.__members__):
            raise RunMismatch(f"{path} names the outcome {name!r:.40}, which is none. Resume the run.")
        return Outcome[name]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`. Raises FormatError where one is damaged."""
        path = self.path / "metrics.jsonl"
        lines = atomic.whole_lines(path)[0] if path.is_file() else []
        return [_line_of(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]

    @property
    def inspected(self) -> dict[str, Any] | None:
        """What `suture inspect` says of the log; None where it was not kept. Raises FormatError otherwise."""
        path = self.path / "inspection.json"
        if not path.is_file():
            return None
        found = manifest.object_of(manifest.read_json(path), str(path))
        if not isinstance(found.get("observation_space"), dict) or not isinstance(found.get("returns"), dict):
            raise FormatError(f"{path} is not what suture inspect says of a log. Remove it, or train anew.")
        return found

    @property
    def logged_return(self) -> float | None:
        """The mean return of the log's episodes, where it was kept and there were rewards."""
        return None if self.inspected is None else self.inspected["returns"].get("mean")

    @property
    def steps(self) -> list[int]:
        """The steps of the checkpoints that are kept, ascending."""
        return checkpoint.steps_in(self.path / "checkpoints")

    def at(self, step: int) -> "Run":
        """This run as its checkpoint of one step has it."""
        if step not in self.steps:
            raise RunMismatch(f"{self.path} keeps no checkpoint of step {step:,}, only of {self.steps}.")
        return Run(self.path, self._kind, step=step)

    def load(
        self,
        path: Path | str | None = None,
        *,
        schema: Path | Schema | None = None,
        reading: Reading = READING,
    ) -> Dataset:
        """A log of the kind that this run learned from, by default that very one.

        A table is read by the run's own schema, where no other is named. Raises ConfigError where the log
        is not at its place any more.
        """
        path = Path(path or self.recipe.source)
        if not path.exists():
            raise ConfigError(
                f"The log of {self.path} is not at {path} any more. "
                "Name it: --data LOG (in Python: data=...)."
            )
        own = self.recipe.schema
        if schema is None and own is not None and is_table(path):
            schema = Schema.from_json(own)
        return load(path, schema=schema, reading=reading)

    def mark(self, steps: Sequence[int], of: str) -> None:
        """Name the best known checkpoints, which training that goes on then keeps.   of: best in what."""
        checkpoint.mark(self.path / "checkpoints", steps, of)

    @functools.cached_property
    def newest(self) -> Checkpoint:
        """The newest whole checkpoint, or that of `step`; it says which were passed over."""
        folder, template = self.path / "checkpoints", self.recipe.template()
        if self.step is not None:
            return checkpoint.load(folder, self.step, template, self.recipe.identity)
        found = checkpoint.load_newest(folder, template, self.recipe.identity)
        if found is None:
            raise RunMismatch(f"{self.path} has no checkpoint yet. Let it train to its first, or resume it.")
        return found

    @functools.cached_property
    def policies(self) -> TrainedPolicies:
        """All members' policies, from the newest checkpoint when first asked."""

        def policy(state: State, fields: dict[str, Any]) -> Any:
            return dataclasses.replace(self.algorithm, **fields).policy(state)

        policies = jax.vmap(policy)(self.newest.state, dict(self.recipe.sweep.members.fields))
        recipe = self.recipe
        return TrainedPolicies(
            policies, recipe.normaliser, recipe.seen, recipe.action,
            chunk=self.algorithm.decision_steps, names=recipe.names,
        )  # fmt: skip

    def member(self, index: int) -> TrainedPolicy:
        """The policy of one member."""
        return TrainedPolicy(self.policies, index)

    @property
    def policy(self) -> TrainedPolicy:
        """The policy of the first member."""
        return self.member(0)


def open_run(path: Path | str, kind: type[Algorithm[Any]] | None = None) -> Run:
    """Open a run folder: `open_run(path).policy.act(observation)`.

    kind: the algorithm's class, where it is a user's own and not one of Suture's.
    """
    return Run(path, kind)
