"""Logs as tasks of reaching something: a goal that is named, or for each row some that the log reaches.

Both mean the same by success: a transition that arrives at its goal pays 1 and truly ends there; all others
pay 0. (`reward_shift=-1` makes of that -1 for every step until then.) What is reached is the whole
observation, or its part `achieved_goal` where it is of Gymnasium's kind for goals.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.fingerprints import hash_rows
from suture.data.split import TrainPart
from suture.errors import ConfigError, DataRefused
from suture.spaces import Array, Space, Tree

ACHIEVED, DESIRED, SEEN = "achieved_goal", "desired_goal", "observation"
Rows = NDArray[np.int64]


def reaching(data: Dataset, goal: Any, *, tolerance: float = 0.0) -> Dataset:
    """The log as the task of reaching one goal. Episodes are divided where they arrive.

    goal: (k,) numbers, what is to be reached.   tolerance: how far from it still counts, in its own units.
    Raises ConfigError where the goal is not of the kind that the log reaches.
    """
    reached = np.asarray(_vectors(_achieved(data.next_observation), "a goal can be given"), np.float64)
    if np.shape(goal) != reached.shape[1:]:
        raise ConfigError(
            f"A goal of {data.source or 'this log'} is {reached.shape[1]} numbers, found the shape "
            f"{list(np.shape(goal))}."
        )
    arrived = (np.linalg.norm(reached - np.asarray(goal), axis=1) <= tolerance) & data.has_next
    ends = np.flatnonzero(arrived) + 1
    terminated = arrived | data.terminated
    return dataclasses.replace(
        data, reward=arrived.astype(np.float32), terminated=terminated,
        truncated=data.truncated & ~terminated, episode_start=np.union1d(data.episode_start, ends),
    )  # fmt: skip


def hindsight(
    part: TrainPart, *, copies: int = 4, arriving: float = 0.2, later: float = 0.5,
    discount: float | None = 0.99, tolerance: float = 0.0, length: int = 1, seed: int = 0,
) -> TrainPart:  # fmt: skip
    """Every transition, `copies` times, each with a goal that the log reaches; a function of the seed.

    Goals are drawn from the training part alone. A share `arriving` is what the transition itself arrives at,
    a share `later` what its episode does from there on, the rest anything that is reached in the log.

    discount: `later` is a geometric number of steps ahead with this factor, at most up to the episode's end;
        None: all that follows is equally likely.   tolerance: what lies so near its goal has arrived too.
    length: a goal is kept for so many transitions in a row, for targets of several steps; it is that of the
        first one. Such a piece is an episode, which ends where it arrives and is cut at its last transition.
    The observation becomes {"observation", "desired_goal"}, or keeps its names where it has these. Rows
    without a next observation are left out.
    Source: Andrychowicz et al. 2017 (arXiv:1707.01495); shares of Park et al. 2025 (arXiv:2410.20092), where
    values learn from the default ones and policies from later=1 or 0.5 with discount=None.
    """
    if arriving + later > 1:
        raise ConfigError(f"Shares of goals exceed 1: arriving {arriving:g} and later {later:g}.")
    data, generator = part.dataset, np.random.default_rng(seed)
    eligible = np.flatnonzero(data.has_next)
    if not len(eligible):
        raise DataRefused(f"No transition of {data.source} has a next observation that could be a goal.")
    rows, count = np.tile(eligible, copies), copies * len(eligible)
    kind, last = generator.random(count), _last_of_run(data)[rows]
    if discount is None:
        ahead = generator.integers(0, last - rows + 1)
    else:
        ahead = generator.geometric(1 - discount, count) - 1
    at = np.where(kind < arriving + later, np.minimum(rows + ahead, last), generator.choice(eligible, count))
    at = np.where(kind < arriving, rows, at)
    phase = np.repeat(generator.integers(length, size=copies), len(eligible))
    first = np.append(True, (last[1:] != last[:-1]) | (rows[1:] != rows[:-1] + 1))
    first |= (last - rows + phase) % length == 0
    at = at[np.maximum.accumulate(np.where(first, np.arange(count), 0))]
    relabelled = _with_goals(data, rows, at, first, tolerance)
    return TrainPart(relabelled, rows if part.rows is None else part.rows[rows])


def _with_goals(data: Dataset, rows: Rows, at: Rows, first: NDArray[np.bool_], tolerance: float) -> Dataset:
    """Some rows, each with what another one arrives at as its goal.   first: where pieces begin."""
    reached = _achieved(data.next_observation)
    arrived = _arrived(reached, rows, at, tolerance)
    terminated = arrived | data.terminated[rows]
    last = np.append(first[1:], True) | terminated
    goal = spaces.map_arrays(lambda array: array[at], reached)

    def taken(tree: Any) -> Any:
        return None if tree is None else spaces.map_arrays(lambda array: array[rows], tree)

    def aimed(tree: Tree) -> Tree:
        return _named(taken(tree), goal)

    return dataclasses.replace(
        data, observation=aimed(data.observation), next_observation=aimed(data.next_observation),
        observation_space=_aimed_space(data.observation_space), action=data.action[rows],
        reward=arrived.astype(np.float32), terminated=terminated, truncated=last & ~terminated,
        has_next=np.ones(len(rows), bool), episode_start=np.append(0, np.flatnonzero(last) + 1),
        propensity=taken(data.propensity), action_probabilities=taken(data.action_probabilities),
        columns={name: column[rows] for name, column in data.columns.items()}, names={},
        places=None if data.places is None else data.places.take(rows),
    )  # fmt: skip


def _arrived(reached: Tree, rows: Rows, at: Rows, tolerance: float) -> NDArray[np.bool_]:
    if tolerance:
        vectors = _vectors(reached, "a tolerance can be kept")
        return np.linalg.norm(vectors[rows] - vectors[at], axis=1) <= tolerance
    hashes = hash_rows(reached)
    return hashes[rows] == hashes[at]


def _last_of_run(data: Dataset) -> Rows:
    """For each row with a next observation, the last one that follows it without a gap, (N,)."""
    ends = ~data.has_next
    ends[data.episode_start[1:] - 1] = True
    stops = np.flatnonzero(ends)
    stop = stops[np.searchsorted(stops, np.arange(len(data)))]
    return stop - ~data.has_next[stop]


def _of_goals(tree: Any) -> bool:
    return isinstance(tree, dict) and {ACHIEVED, DESIRED} <= tree.keys()


def _achieved(tree: Tree) -> Tree:
    return tree[ACHIEVED] if isinstance(tree, dict) and _of_goals(tree) else tree


def _named(tree: Tree, goal: Tree) -> Tree:
    if isinstance(tree, dict) and _of_goals(tree):
        return {**tree, DESIRED: goal}
    return {SEEN: tree, DESIRED: goal}


def _aimed_space(space: Space) -> Space:
    if isinstance(space, spaces.Dict) and _of_goals(dict(space.items)):
        return space
    return spaces.Dict.of({SEEN: space, DESIRED: space})


def _vectors(reached: Tree, so_that: str) -> Array:
    """What is reached, as an array (N, k)."""
    if isinstance(reached, dict) or reached.ndim != 2 or reached.dtype.kind != "f":
        found = "a dictionary" if isinstance(reached, dict) else f"{reached.dtype} {list(reached.shape[1:])}"
        raise ConfigError(
            f"What a log reaches must be a vector of numbers so that {so_that}; found {found}. Log it as "
            f"{ACHIEVED!r} beside {DESIRED!r}."
        )
    return reached
