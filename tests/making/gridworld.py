"""The 9x9 grid with a wall and two doors, and four kinds of logs of it whose diagnosis is known."""

import functools
from typing import Literal, TypeAlias

import numpy as np

from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.log import Log
from suture.spaces import Array, Box, Discrete

SIZE, DISCOUNT, HORIZON = 9, 0.97, 60
START, GOAL = (0, 2), (8, 6)
WALL, DOORS = 4, (1, 7)
MOVES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
Kind: TypeAlias = Literal["imitation", "mixed", "heterogeneous", "random"]
KINDS: tuple[Kind, ...] = ("imitation", "mixed", "heterogeneous", "random")


def free(x: Array, y: Array) -> Array:
    """Whether squares lie on the grid and not in the wall."""
    inside = (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
    return np.asarray(inside & ((x != WALL) | np.isin(y, DOORS)))


def stepped(square: tuple[int, int], action: int) -> tuple[int, int]:
    """Where an action leads; against a wall one stays."""
    x, y = square[0] + int(MOVES[action][0]), square[1] + int(MOVES[action][1])
    return (x, y) if free(np.array(x), np.array(y)) else square


def distances(goal: tuple[int, int]) -> dict[tuple[int, int], int]:
    """Steps to a square from every other one, by breadth-first search."""
    found, edge = {goal: 0}, [goal]
    while edge:
        edge = [
            before
            for square in edge
            for move in MOVES
            if free(*np.array(before := (square[0] - int(move[0]), square[1] - int(move[1]))))
            and before not in found
            and found.setdefault(before, found[square] + 1)
        ]
    return found


@functools.cache
def make_log(kind: Kind, *, transitions: int = 4000, seed: int = 0) -> Dataset:
    """About 4,000 transitions. Reward 1 at the goal, which ends the episode; cut after 60 steps.

    imitation: nearly always along a shortest way.   mixed: a fifth of such episodes, the rest at random.
    heterogeneous: from the start past a door and no further; from elsewhere to the goal.   random: uniform.
    """
    generator = np.random.default_rng(seed)
    to_goal = distances(GOAL)
    to_door = {door: distances((WALL + 1, door)) for door in DOORS}
    squares = [square for square in to_goal if square != GOAL]
    beyond = [square for square in squares if square[0] >= WALL]
    rows: list[tuple[tuple[int, int], int, tuple[int, int], bool, int]] = []
    episode = 0
    while len(rows) < transitions:
        square, guide, slip, horizon = START, to_goal, 0.05, HORIZON
        if kind == "random" or (kind == "mixed" and generator.random() > 0.2):
            slip = 1.0
        elif kind == "heterogeneous" and generator.random() < 0.46:
            guide, horizon, slip = to_door[DOORS[generator.integers(2)]], 8, 0.15
        elif kind == "heterogeneous":
            square, slip = beyond[generator.integers(len(beyond))], 0.15
        for _ in range(horizon):
            after = [guide[stepped(square, action)] for action in range(4)]
            good = np.flatnonzero(np.array(after) == min(after))
            action = int(generator.integers(4) if generator.random() < slip else generator.choice(good))
            rows.append((square, action, stepped(square, action), stepped(square, action) == GOAL, episode))
            square = rows[-1][2]
            if rows[-1][3] or (horizon < HORIZON and guide[square] == 0):
                break
        episode += 1
    return _dataset(rows)


def _dataset(rows: list[tuple[tuple[int, int], int, tuple[int, int], bool, int]]) -> Dataset:
    here, action, there, goal, episode = (np.array(column) for column in zip(*rows, strict=True))
    last = np.append(episode[1:] != episode[:-1], True)
    return build(Log(
        source="gridworld", layout="gridworld", action=action.astype(np.int32),
        observation=here.astype(np.float32), reward=goal.astype(np.float32),
        next_observation=there.astype(np.float32), terminal=goal,
        timeout=last & ~goal, episode=episode, observation_space=Box((2,)), action_space=Discrete(4),
    )).admit()  # fmt: skip


def from_start(data: Dataset) -> Array:
    """Whether each episode began at the start, (E,)."""
    return np.asarray((np.asarray(data.observation)[data.episode_start[:-1]] == START).all(1))
