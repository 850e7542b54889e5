"""An episode of the five-step task that a policy played: its parts, their pictures, their like in the log."""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from suture.data.dataset import Dataset
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.env import HORIZON, Composite
from suture.spaces import Array

Act = Callable[[Array], Array]
"""From an observation (16,) to an action (8,)."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """An episode of T steps.   seed: of its reset.   observation: (T + 1, 16).   action: (T, 8).

    stage: (T + 1,), how many of the five steps were done.
    """

    seed: int
    observation: Array
    action: Array
    stage: Array

    @property
    def ends(self) -> list[int]:
        """After how many steps each of the five was done for good, ascending; only of a success."""
        return [int(np.flatnonzero(self.stage < done)[-1]) + 1 for done in range(1, len(STEPS) + 1)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A logged episode.   name: of its set.   distance: from a part of a played one (see `nearest`)."""

    episode: int
    name: str
    distance: float


def play(env: Composite, act: Act, seed: int) -> Played:
    """One episode."""
    seen, info = env.reset(seed=seed)
    observations, stages, actions, ended = [seen], [info["stage"]], list[Array](), False
    while not ended and len(actions) < HORIZON:
        actions.append(act(seen))
        seen, _, ended, _, info = env.step(actions[-1])
        observations.append(seen)
        stages.append(info["stage"])
    return Played(
        seed=seed, observation=np.array(observations), action=np.array(actions), stage=np.array(stages)
    )


def first_success(env: Composite, act: Act, tries: int) -> Played | None:
    """The first of some episodes that ends outside; None where none does."""
    played = (play(env, act, seed) for seed in range(tries))
    return next((one for one in played if one.stage[-1] == len(STEPS)), None)


def pictures(env: Composite, played: Played) -> list[Array]:
    """A success played again: the room when each of the steps has just been done, (256, 256, 3) uint8."""
    shown = list[Array]()
    env.reset(seed=played.seed)
    for number, action in enumerate(played.action, 1):
        env.step(action)
        if number in played.ends:
            shown.append(env.render())
    return shown


def sources(played: Played, data: Dataset, scale: Callable[[Array], Array], count: int) -> list[list[Source]]:
    """For each of the five steps of a success: the logged episodes nearest to its part that do this step.

    data: a log of `suture make composite`, from state.   scale: gives observations the scale of distances.
    """
    columns, index = data.columns, data.episode_index
    names = columns["set"][data.episode_start[:-1]]
    observation, path = scale(np.asarray(data.observation)), scale(played.observation)
    found = list[list[Source]]()
    for done, (first, last) in enumerate(itertools.pairwise([0, *played.ends])):
        doing = np.unique(index[(columns["stage"] == done) & (columns["next_stage"] > done)])
        rows = np.flatnonzero(np.isin(index, doing) & (columns["stage"] == done))
        near = nearest(path[first:last], observation[rows], index[rows], count)
        found.append([Source(episode=one, name=str(names[one]), distance=far) for one, far in near])
    return found


def nearest(path: Array, observation: Array, episode: Array, count: int) -> list[tuple[int, float]]:
    """The episodes nearest to a path, and how far each is.

    A point's distance from an episode is that from its nearest row, the root mean square over the numbers;
    a path's is the mean over its points.   path: (T, n).   observation: (N, n).   episode: (N,), ascending.
    """
    starts = np.flatnonzero(np.r_[True, episode[1:] != episode[:-1]])
    squares = [np.minimum.reduceat(((observation - point) ** 2).mean(1), starts) for point in path]
    distance = np.sqrt(squares).mean(0)
    return [
        (int(episode[starts[one]]), float(distance[one]))
        for one in np.argsort(distance, kind="stable")[:count]
    ]
