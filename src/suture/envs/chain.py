"""A maze whose goal can be reached only by stitching: no logged episode goes from the start to the goal.

Two corridors cross. Each of two kinds of episode holds half of the way:

    west (start) → crossing → south (a dead end)      most of the log
    north        → crossing → east (the goal)         the rest

Imitation follows the crowd to the south; a method that composes values across episodes turns east. The
observation is the position alone, so the two kinds cannot be told apart inside the crossing: they can be
joined there. `certificate` proves both halves of the claim for any log of this maze.

Registered with Gymnasium as `suture/StitchMaze-v0` when this module is imported.
Idea of stitching: the offline-RL lecture's composition of sub-optimal paths; numbers are our own.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from suture.data.dataset import Dataset
from suture.data.log import Log
from suture.errors import RefusedInput
from suture.spaces import Array, Box

STITCH_MAZE = "suture/StitchMaze-v0"
HORIZON = 25
STEP = 0.5
"""Distance that a full action moves along each axis."""
JITTER = 0.02
"""Standard deviation of the noise on each move."""
CORRIDOR, ARM = 0.75, 3.0
"""Half the width of the two corridors, and half their length."""
PLACES = {"start": (-2.25, 0.0), "north": (0.0, 2.25), "south": (0.0, -2.25), "goal": (2.25, 0.0)}
REGION = 0.75
"""Half the width of the square around each place that counts as being there."""


def free(position: Array) -> Array:
    """Whether positions (..., 2) lie inside the maze, (...)."""
    distance = np.abs(position)
    return np.asarray((distance.min(axis=-1) <= CORRIDOR) & (distance.max(axis=-1) <= ARM))


def within(place: str, position: Array) -> Array:
    """Whether positions (..., 2) lie in the region of a place of `PLACES`, (...)."""
    return np.asarray(np.all(np.abs(position - np.array(PLACES[place])) <= REGION, axis=-1))


def move(position: Array, action: Array, noise: Array) -> Array:
    """Where actions in [-1, 1] lead from positions, all (n, 2). A wall stops the motion along its axis."""
    shift = STEP * np.clip(action, -1.0, 1.0) + JITTER * noise
    for axis in (0, 1):
        tried = position.copy()
        tried[..., axis] += shift[..., axis]
        position = np.where(free(tried)[..., None], tried, position)
    return position


class StitchMaze(gymnasium.Env[Array, Array]):
    """Walk from the west to the goal in the east. Observation: position (2,). Action: direction (2,).

    Reward 1 at the goal, which terminates, and 0 elsewhere; `info["success"]` says whether it was reached.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own form

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-ARM, ARM, (2,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._position = np.array(PLACES["start"])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self._position = scatter("start", self.np_random, 1)[0]
        return self._position.astype(np.float32), {"success": False}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self._position = move(self._position, np.asarray(action), self.np_random.standard_normal(2))
        success = bool(within("goal", self._position))
        return self._position.astype(np.float32), float(success), success, False, {"success": success}


def scatter(place: str, generator: np.random.Generator, count: int) -> Array:
    """Positions (count, 2) spread over the region of a place, a little inside its border."""
    return np.array(PLACES[place]) + generator.uniform(-0.8, 0.8, (count, 2)) * REGION


def make_stitch_log(episodes: int, seed: int, *, reaching: float = 0.2, noise: float = 0.4) -> Log:
    """A log of the maze in which no episode goes from the start to the goal.

    reaching: share of the episodes that go from the north to the goal; the others go from the start to the
        south.   noise: standard deviation of the behaviour policy's actions.
    """
    if episodes < 2 or not 0.0 < reaching < 1.0:
        raise RefusedInput(
            f"A stitching log needs at least 2 episodes and 0 < reaching < 1, "
            f"found episodes={episodes} and reaching={reaching}. Give it both kinds of episode."
        )
    generator = np.random.default_rng(seed)
    reaches = generator.permutation(
        np.arange(episodes) < min(episodes - 1, max(1, round(reaching * episodes)))
    )
    position = np.where(
        reaches[:, None], scatter("north", generator, episodes), scatter("start", generator, episodes)
    )
    end = np.where(reaches[:, None], PLACES["goal"], PLACES["south"])
    via = generator.uniform(-0.8, 0.8, (episodes, 2)) * CORRIDOR
    passed, alive = np.zeros(episodes, bool), np.ones(episodes, bool)
    rows: list[dict[str, Array]] = []
    for step in range(HORIZON):
        passed |= np.abs(position - via).max(axis=1) < 0.3
        target = np.where(passed[:, None], end, via)
        action = np.clip((target - position) / STEP, -1.0, 1.0)
        action = np.clip(action + noise * generator.standard_normal(action.shape), -1.0, 1.0)
        arrived = move(position, action, generator.standard_normal(action.shape))
        goal = within("goal", arrived)
        row = {
            "episode": np.arange(episodes), "observation": position, "action": action,
            "next_observation": arrived, "terminal": goal,
            "timeout": np.full(episodes, step == HORIZON - 1) & ~goal,
        }  # fmt: skip
        rows.append({name: column[alive] for name, column in row.items()})
        position, alive = arrived, alive & ~goal
    return _log({name: np.concatenate([row[name] for row in rows]) for name in rows[0]})


def _log(columns: Mapping[str, Array]) -> Log:
    """The rows, collected step by step, as a log in the order of the episodes."""
    order = np.argsort(columns["episode"], kind="stable")
    sorted_columns = {name: column[order] for name, column in columns.items()}
    return Log(
        source=STITCH_MAZE,
        layout="stitch-maze",
        observation=sorted_columns["observation"].astype(np.float32),
        action=sorted_columns["action"].astype(np.float32),
        reward=sorted_columns["terminal"].astype(np.float32),
        next_observation=sorted_columns["next_observation"].astype(np.float32),
        terminal=sorted_columns["terminal"],
        timeout=sorted_columns["timeout"],
        episode=sorted_columns["episode"],
        observation_space=Box((2,), low=(-ARM, -ARM), high=(ARM, ARM)),
        action_space=Box((2,), low=(-1.0, -1.0), high=(1.0, 1.0)),
    )


def certificate(dataset: Dataset, *, cell: float = 0.25) -> dict[str, int]:
    """What proves that a log of this maze has to be stitched, and can be.

    `from_start_reaching_goal` is 0: no single episode does it. `stitched_steps` is the length of the
    shortest path from the start to the goal over logged transitions, joined where two of them share a
    square of side `cell`; -1 where there is none. `shared_cells` counts the squares of the crossing that both
    kinds of episode visit.
    """
    before, after = np.asarray(dataset.observation), np.asarray(dataset.next_observation)
    first, episode = dataset.episode_start[:-1], dataset.episode_index
    starting = within("start", before[first])
    reaching = np.bincount(episode, within("goal", after), dataset.episodes) > 0
    squares = np.floor(before / cell).astype(int)
    crossing = np.all(np.abs(before) <= CORRIDOR, axis=1)
    visited = [
        set(map(tuple, squares[crossing & kind[episode]].tolist()))
        for kind in (starting, reaching & ~starting)
    ]
    return {
        "episodes": dataset.episodes,
        "from_start": int(starting.sum()),
        "reaching_goal": int(reaching.sum()),
        "from_start_reaching_goal": int((starting & reaching).sum()),
        "shared_cells": len(visited[0] & visited[1]),
        "stitched_steps": _stitched_steps(before, after, cell),
    }


def _stitched_steps(before: Array, after: Array, cell: float) -> int:
    """Breadth-first search from the start to the goal over transitions joined in squares; -1 for no path."""
    squares = np.floor(np.stack([before, after]) / cell).astype(int)
    _, numbers = np.unique(squares.reshape(-1, 2), axis=0, return_inverse=True)
    here, there = numbers.reshape(2, -1)
    goal = within("goal", after)
    reached = np.zeros(numbers.max() + 1, bool)
    reached[here[within("start", before)]] = True
    for step in range(1, len(reached) + 1):
        taken = reached[here]
        if np.any(goal & taken):
            return step
        if np.all(reached[there[taken]]):
            return -1
        reached[there[taken]] = True
    return -1


gymnasium.register(STITCH_MAZE, entry_point="suture.envs.chain:StitchMaze", max_episode_steps=HORIZON)
