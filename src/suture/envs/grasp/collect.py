"""Logs of scripted grasps, episode by episode.

An episode depends on the recipe and its own seed alone: any writer may take what comes, in any number of
sittings, and go on with the seeds that it lacks.
"""

import dataclasses
import functools
import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from suture import spaces
from suture.config import nearest
from suture.data.formats.episode_layout import Episode, Kind
from suture.envs import gripper
from suture.envs.grasp.env import HAND, HORIZON, Grasp, Place, check
from suture.envs.grasp.objects import KINDS, Objects
from suture.envs.grasp.scene import REACH
from suture.envs.grasp.script import BEHAVIOURS, Script
from suture.envs.make import advice, cores
from suture.errors import ConfigError
from suture.spaces import Array

SINE, COSINE = math.sin(REACH.turn), math.cos(REACH.turn)
ACTION_SPACE = spaces.Box(
    (8,), low=(-1.0, -1.0, -1.0, -SINE, COSINE, -1.0, -1.0, -1.0), high=(1.0, 1.0, 1.0, SINE, *(1.0,) * 4)
)
"""Of logged actions: turns within reach, so that a policy's are; the last three are one choice, or none."""
COLUMNS: Mapping[str, Kind] = {"behaviour": "text", "success": "bool"}
"""What else is known of an episode: who acted, and whether it ended in a reward."""
EDITION = 3
"""Of the bin and its scripts: raised whenever the same recipe gives other episodes than before."""
BATCH, AHEAD = 16, 2
"""Episodes that a process makes at once, and batches for each process that may wait to be taken."""


def _scripted() -> dict[str, float]:
    return {"scripted": 1.0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides every episode.   mix: how often each of `BEHAVIOURS` acts, in any unit.

    objects, camera, pixels, depth: as in `Grasp`.   seed: at least 0.
    """

    mix: Mapping[str, float] = dataclasses.field(default_factory=_scripted)
    objects: Objects = "train"
    camera: Place | None = "crop"
    pixels: int = 48
    depth: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.mix:
            if name not in BEHAVIOURS:
                raise ConfigError(f"mix has no behaviour {name!r}.{nearest(name, list(BEHAVIOURS))}")
        shares = list(self.mix.values())
        if not all(0 <= share < np.inf for share in shares) or not sum(shares) > 0:
            raise ConfigError(f"mix must have shares of at least 0, one of them above it; found {self.mix}.")
        if self.objects not in KINDS:
            raise ConfigError(f"objects must be one of {', '.join(KINDS)}, found {self.objects!r}.")
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0, found {self.seed}.")
        check(self.camera, self.pixels)

    @property
    def observation_space(self) -> spaces.Space:
        """What an episode's observation has at each step, without bounds."""
        parts: dict[str, spaces.Space] = {"hand": spaces.Box((len(HAND),))}
        if self.camera is not None:
            parts["image"] = spaces.Box((self.pixels, self.pixels, 3 + self.depth), "uint8")
        return spaces.Dict.of(parts)


def play(seed: int, recipe: Recipe) -> Episode:
    """The episode of a seed."""
    generator = np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=(seed,)))
    env = _env(recipe.objects, recipe.camera, recipe.pixels, recipe.depth)
    env.np_random = generator
    names = sorted(recipe.mix)
    shares = np.array([recipe.mix[name] for name in names])
    behaviour = names[generator.choice(len(shares), p=shares / shares.sum())]
    first, _ = env.reset()
    script = Script(BEHAVIOURS[behaviour](generator), generator)
    seen, acted, rewards, ended = [first], list[Array](), list[float](), False
    while not ended and len(acted) < HORIZON:
        acted.append(plainly(script.act(env.scene), generator, closed=env.scene.hand.closed))
        observation, reward, ended, _, _ = env.step(acted[-1])
        seen.append(observation)
        rewards.append(reward)
    return Episode(
        seed=seed, observation=spaces.map_arrays(lambda *steps: np.stack(steps), *seen),
        action=np.stack(acted), reward=np.array(rewards, np.float32), terminated=ended, truncated=not ended,
        columns={"behaviour": behaviour, "success": rewards[-1] > 0},
    )  # fmt: skip


def plainly(action: Array, generator: np.random.Generator, *, closed: bool) -> Array:
    """An action (8,) that does the same, as a search writes it: of the last three at most one is 1, else -1.

    What decides nothing is drawn at random, so that a log shows that it is idle and covers all that a search
    may ask for: the length of (sine, cosine), the whole motion of an action that terminates, and whether a
    hand that stays as it is, `closed` or not, is told so.
    """
    command, motion = gripper.read(action, REACH), action[:3]
    turn, grip = command.turn, command.grip
    if command.last:
        motion, grip = generator.uniform(-1.0, 1.0, 3), 0
        turn = float(generator.uniform(-REACH.turn, REACH.turn))
    elif grip in (0, stays := 1 if closed else -1):
        grip = stays * int(generator.integers(2))
    slope = math.tan(turn)
    cosine = float(generator.uniform(COSINE, min(1.0, SINE / max(abs(slope), SINE))))
    chosen = np.where([grip < 0, grip > 0, command.last], 1.0, -1.0)
    return np.array([*motion, cosine * slope, cosine, *chosen], np.float32)


def collect(recipe: Recipe, seeds: Iterable[int], *, workers: int | None = None) -> Iterator[Episode]:
    """The episodes of some seeds, in their order; they are made while they are taken, a little ahead.

    workers: processes; default: one for each core that this one may use. With 1 there is only this one.
    Raises ConfigError where MuJoCo is not installed.
    """
    count, rest = cores() if workers is None else workers, iter(seeds)
    if count < 1:
        raise ConfigError(f"workers must be at least 1, found {workers}. Leave it out for one a core.")
    jobs = iter(lambda: list(itertools.islice(rest, BATCH)), [])
    try:
        if count > 1:
            yield from _ahead(recipe, jobs, count)
        for job in jobs:
            yield from (play(seed, recipe) for seed in job)
    except ImportError as error:
        raise ConfigError(f"Grasps cannot be made: {advice(error)}") from error


def _ahead(recipe: Recipe, jobs: Iterator[list[int]], count: int) -> Iterator[Episode]:
    """Episodes of several processes. What was begun is dropped where nobody takes any more."""
    waiting = deque[Future[list[Episode]]]()
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))
    try:
        for job in jobs:
            waiting.append(pool.submit(_batch, job, recipe))
            if len(waiting) > AHEAD * count:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batch(job: list[int], recipe: Recipe) -> list[Episode]:
    return [play(seed, recipe) for seed in job]


@functools.cache
def _env(objects: Objects, camera: Place | None, pixels: int, depth: bool) -> Grasp:
    """One environment a process."""
    return Grasp(objects=objects, camera=camera, pixels=pixels, depth=depth)
