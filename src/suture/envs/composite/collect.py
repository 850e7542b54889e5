"""Logs of the composite task: skills apart from each other, from which the whole has to be stitched.

Every episode depends on the seed, its set and its number alone, so that the log is the same however many
processes make it.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from suture import spaces
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.formats import native
from suture.data.log import Log
from suture.envs.composite import layout, starts
from suture.envs.composite.certificate import SKILLS, STEPS
from suture.envs.composite.certify import Certificate, certify
from suture.envs.composite.env import PIXELS, Observation, View, command_of, state_of
from suture.envs.composite.scene import Scene
from suture.envs.composite.scripts import Drift, Script, Tries, habit
from suture.envs.composite.states import STATE
from suture.envs.make import advice, cores
from suture.errors import ConfigError
from suture.spaces import Array, Box, Dict, Space

Labels: TypeAlias = Literal["none", "true", "classifier"]
LABELS = get_args(Labels)
SETS = ("A", "B", "C", "task", "blocked", "noise", "D")
SHARES = {"A": 0.2, "B": 0.2, "C": 0.2, "task": 0.2, "blocked": 0.1, "noise": 0.1, "D": 0.1}
"""How many episodes each set has, beside the others."""
LIMITS = {"A": 36, "B": 32, "C": 26, "task": 44, "blocked": 20, "noise": 25, "D": 24}
"""Steps after which an episode is cut."""
BATCH = 20
"""Episodes that a process makes at once."""
Progress: TypeAlias = Callable[[int, int], None]
Classifier: TypeAlias = Callable[[Dataset, Array], Array]
"""Tells which transitions (N,) of a log are successes, from those (N,) whose rewards are known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides a log.

    episodes: of all sets together.   overlap: share of the drawer's places in which set B is recorded; in
        the others nothing leads on from where set A ends.   sets: those that are recorded.
    epsilon: share of the steps whose action is drawn at random instead, each number from -1 to 1.
    labels: what rewards prior data have. "none": 0. Else set D is recorded too, prior data that show the
        last step, with rewards that are "true", or those of a "classifier" that has learned from the task's
        own episodes. (Without labels D would teach that leaving is worth nothing.)
    """

    episodes: int = 4_000
    overlap: float = 1.0
    epsilon: float = 0.0
    observation: Observation = "state"
    seed: int = 0
    sets: tuple[str, ...] = SETS
    labels: Labels = "none"

    def __post_init__(self) -> None:
        unknown = [name for name in self.sets if name not in SETS]
        if unknown or not self.sets or len(set(self.sets)) < len(self.sets):
            raise ConfigError(f"sets must be some of {', '.join(SETS)}, each once; found {self.sets}.")
        for name in ("overlap", "epsilon"):
            if not 0.0 <= (share := getattr(self, name)) <= 1.0:
                raise ConfigError(f"{name} must be from 0 to 1, found {share}.")
        if self.observation not in ("state", "image") or self.labels not in LABELS:
            raise ConfigError(
                f"observation must be state or image and labels one of {', '.join(LABELS)}, "
                f"found {self.observation!r} and {self.labels!r}."
            )
        if not self.recorded:
            raise ConfigError(
                "Set B is recorded where overlap is above 0, D where labels are not none; found "
                f"{self.sets} with overlap {self.overlap} and labels {self.labels}. Add another set."
            )
        if self.seed < 0 or self.episodes < len(SETS) * 2:
            raise ConfigError(
                f"seed must be at least 0 and episodes at least {len(SETS) * 2}, "
                f"found {self.seed} and {self.episodes}."
            )

    @property
    def recorded(self) -> tuple[str, ...]:
        """The sets of which there are episodes: at overlap 0 not B, without labels not D."""
        there = {"B": self.overlap > 0, "D": self.labels != "none"}
        return tuple(name for name in self.sets if there.get(name, True))

    @property
    def counts(self) -> dict[str, int]:
        """Episodes of each set that is recorded, `episodes` together."""
        below = np.cumsum([SHARES[name] for name in self.recorded])
        counts = np.diff(np.rint(below / below[-1] * self.episodes).astype(int), prepend=0)
        return dict(zip(self.recorded, counts.tolist(), strict=True))


def episode_of(view: View, name: str, number: int, recipe: Recipe) -> dict[str, Any]:
    """Play an episode of a set: observations, states and stages (T + 1), actions (T)."""
    generator = np.random.default_rng(
        np.random.SeedSequence(recipe.seed, spawn_key=(SETS.index(name), number))
    )
    scene, overlap = view.scene, recipe.overlap if name == "B" else 1.0
    drawn = layout.draw(generator, "train", share=overlap)
    first, wanted = SKILLS.get(name, (int(generator.integers(3 if name == "blocked" else 4)), 9))
    starts.begin(scene, drawn, first, generator)
    actors = _actors(name, generator)
    rest, stages, seen, acted = int(generator.integers(2, 7)), [scene.stage], [view.see()], list[Array]()
    states = [state_of(scene)]
    for _ in range(LIMITS[name]):
        actor = actors[min(max(scene.stage - first, 0), len(actors) - 1)]
        action = actor.act(scene)
        if recipe.epsilon and generator.random() < recipe.epsilon:
            action = generator.uniform(-1.0, 1.0, len(action)).astype(np.float32)
        scene.act(command_of(scene, action))
        stage = scene.stage
        if stage > (wanted if name in SKILLS else first):
            break
        acted.append(action)
        seen.append(view.see())
        stages.append(stage)
        states.append(state_of(scene))
        rest -= stage == wanted or actor.given_up
        if stage < first or stage == len(STEPS) or not rest:
            break
    return {
        "seen": seen, "action": np.array(acted, np.float32).reshape(-1, 8),
        "stage": np.array(stages), "state": np.array(states),
    }  # fmt: skip


def _actors(name: str, generator: np.random.Generator) -> list[Any]:
    """Who acts in an episode, by how many stages it has gone up."""
    if name == "noise":
        return [Drift(generator)]
    manner = habit(generator)
    if name == "blocked":
        return [Tries(manner, generator)]
    first, last = SKILLS[name]
    return [Script(step, manner, generator) for step in range(first, last)]


@functools.cache
def _view(kind: Observation) -> View:
    """One scene a process."""
    return View(Scene(), kind)


def _batch(name: str, first: int, last: int, recipe: Recipe) -> dict[str, Any]:
    """The transitions of some episodes of a set, end to end."""
    view, parts = _view(recipe.observation), list[dict[str, Any]]()
    numbers = list[int]()
    for number in range(first, last):
        one = episode_of(view, name, number, recipe)
        if not len(one["action"]):
            continue
        seen = spaces.map_arrays(lambda *rows: np.stack(rows), *one["seen"])
        stage, terminal = one["stage"], one["stage"][1:] == len(STEPS)
        rewarded = terminal & (name == "task" or recipe.labels == "true")
        parts.append({
            "observation": spaces.map_arrays(lambda array: array[:-1], seen),
            "next_observation": spaces.map_arrays(lambda array: array[1:], seen),
            "action": one["action"], "stage": stage[:-1], "next_stage": stage[1:],
            "state": one["state"][:-1], "next_state": one["state"][1:],
            "terminal": terminal, "reward": rewarded.astype(np.float32),
        })  # fmt: skip
        numbers += [number] * len(stage[1:])
    joined = {} if not parts else _joined(parts)
    return {**joined, "number": np.array(numbers, np.int64)}


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        key: spaces.map_arrays(lambda *arrays: np.concatenate(arrays), *(part[key] for part in parts))
        for key in parts[0]
    }


def space(kind: Observation) -> Space:
    """The space of observations, without bounds."""
    if kind == "state":
        return Box((len(STATE),))
    return Dict.of({"hand": Box((5,)), "image": Box((PIXELS, PIXELS, 3), "uint8")})


def collect(recipe: Recipe, *, workers: int | None = None, progress: Progress | None = None) -> Log:
    """Record a log.

    workers: processes; default: one for each core that this one may use, and this one alone for a short log.
    progress: is told how many episodes of how many are made.
    The columns `set`, `stage` and `next_stage` go with it, for choosing parts; beside pictures, so do the
    states (`state`, `next_state`, each (N, 16)), from which certificates are read.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1, found {workers}. Leave it out for one a core.")
    jobs = [
        (name, first, min(first + BATCH, count))
        for name, count in recipe.counts.items()
        for first in range(0, count, BATCH)
    ]
    total, made = sum(recipe.counts.values()), 0
    parts, names = list[dict[str, Any]](), list[str]()
    for (name, first, last), part in zip(jobs, _made(jobs, recipe, workers), strict=True):
        made += last - first
        if len(part["number"]):
            parts.append(part)
            names += [name] * len(part["number"])
        if progress is not None:
            progress(made, total)
    columns, sets = _joined(parts), np.array(names)
    episode = np.unique(
        np.stack([_codes(sets), columns["number"]]), axis=1, return_inverse=True
    )[1].ravel()  # fmt: skip
    last_row = np.r_[episode[1:] != episode[:-1], True]
    beside = ["stage", "next_stage"] + (["state", "next_state"] if recipe.observation == "image" else [])
    return Log(
        source="suture make composite", layout="composite", episode=episode,
        observation=columns["observation"], next_observation=columns["next_observation"],
        action=columns["action"], reward=columns["reward"], terminal=columns["terminal"],
        timeout=last_row & ~columns["terminal"], observation_space=space(recipe.observation),
        action_space=Box((8,), low=(-1.0,) * 8, high=(1.0,) * 8),
        names={"observation": STATE} if recipe.observation == "state" else {},
        columns={"set": sets, **{key: columns[key] for key in beside}},
    )  # fmt: skip


def _codes(sets: Array) -> Array:
    order = {name: code for code, name in enumerate(SETS)}
    return np.array([order[name] for name in sets.tolist()])


def _made(jobs: list[tuple[str, int, int]], recipe: Recipe, workers: int | None) -> Iterator[dict[str, Any]]:
    """What each job makes, in their order."""
    count = cores() if workers is None else workers
    if count == 1 or (workers is None and len(jobs) < 8 * count):
        yield from (_batch(*job, recipe) for job in jobs)
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_batch, *zip(*jobs, strict=True), [recipe] * len(jobs))


def make(
    recipe: Recipe,
    out: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    classifier: Classifier | None = None,
) -> tuple[Dataset, Certificate]:
    """Record a log, pass it through the gate and store it in a new folder, with `certificate.json` in it.

    classifier: what labels prior data where the recipe says so: `suture.training.success.successes`.
    Raises ConfigError where the folder exists, or MuJoCo or the classifier does not.
    """
    if (classifier is None) == (recipe.labels == "classifier"):
        raise ConfigError(
            f"labels are {recipe.labels} and a classifier was {'not ' if classifier is None else ''}passed. "
            'Pass classifier=suture.training.success.successes with labels="classifier", and only then.'
        )
    if os.path.lexists(out):
        raise ConfigError(f"{out} exists already and is never overwritten. Remove it or name another folder.")
    try:
        log = collect(recipe, workers=workers, progress=progress)
    except ImportError as error:
        raise ConfigError(f"The composite task cannot be made: {advice(error)}") from error
    data = build(log).admit()
    if classifier is not None:
        data = _labelled(data, classifier)
    proof = certify(data)
    made = {"recipe": dataclasses.asdict(recipe), "recorded": recipe.counts}
    told = json.dumps(made | proof.to_json(), indent=1) + "\n"
    native.write(data, out, beside={"certificate.json": told.encode()})
    return data, proof


def _labelled(data: Dataset, classifier: Classifier) -> Dataset:
    """The log with rewards of prior data as a classifier says that has learned from the task's episodes."""
    task = np.asarray(data.columns["set"] == "task")
    reward = np.where(task, np.asarray(data.reward), classifier(data, task))
    return dataclasses.replace(data, reward=reward.astype(np.float32))
