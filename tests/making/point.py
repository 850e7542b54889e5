"""A point on a line and a corridor: small problems in which a log that shows too little is not enough.

`tests/Point-v0` and `tests/Corridor-v0` are registered with Gymnasium when this module is imported; on the
command line they are `making.point:tests/Point-v0`.
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from making.logs import built
from suture.data.dataset import Dataset
from suture.data.log import Log
from suture.spaces import Array, Box, Discrete

POINT, CORRIDOR = "tests/Point-v0", "tests/Corridor-v0"
STEPS, REACH = 8, 0.5
PLACES = 5
"""Steps of an episode; how far a full action moves the point; places of the corridor."""


class Point(gymnasium.Env[Array, Array]):
    """A point on a line that is to come to 0. Reward: minus its distance. From -1 to 1, 8 steps."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-4.0, 4.0, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self._place = self.np_random.uniform(-1.0, 1.0, 1)
        return self._place.astype(np.float32), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self._place = np.clip(self._place + REACH * action + 0.01 * self.np_random.normal(size=1), -4.0, 4.0)
        return self._place.astype(np.float32), -float(np.abs(self._place)[0]), False, False, {}


class Corridor(gymnasium.Env[Array, np.int64]):
    """Five places in a row; the right end pays 1 and ends the episode, staying pays 0.02."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (PLACES,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(3)

    def _seen(self) -> Array:
        return np.eye(PLACES, dtype=np.float32)[self._place]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self._place = int(self.np_random.integers(PLACES - 1))
        return self._seen(), {"success": False}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self._place = max(0, self._place + int(action) - 1)
        there = self._place == PLACES - 1
        return self._seen(), 1.0 if there else 0.02 * (action == 1), there, False, {"success": there}


def point_log(episodes: int = 40, seed: int = 0) -> Dataset:
    """A behaviour that moves the point away from 0, a little."""
    generator = np.random.default_rng(seed)
    place, rows = generator.uniform(-1.0, 1.0, (episodes, 1)), list[tuple[Array, ...]]()
    for _ in range(STEPS):
        action = np.clip(0.4 * np.sign(place) + 0.2 * generator.normal(size=place.shape), -1.0, 1.0)
        following = np.clip(place + REACH * action, -4.0, 4.0)
        rows.append((place, action, -np.abs(following)[:, 0], following))
        place = following
    place, action, reward, following = (np.stack(column, axis=1) for column in zip(*rows, strict=True))
    last = np.tile(np.arange(STEPS) == STEPS - 1, episodes)
    return built(Log(
        source="point", layout="test", observation=place.reshape(-1, 1), action=action.reshape(-1, 1),
        reward=reward.reshape(-1), next_observation=following.reshape(-1, 1),
        terminal=np.zeros_like(last), timeout=last, observation_space=Box((1,)),
        action_space=Box((1,), low=(-1.0,), high=(1.0,)),
    ))  # fmt: skip


def corridor_log(episodes: int = 40, seed: int = 0) -> Dataset:
    """A behaviour that stays or goes to the left: it never shows what lies to the right."""
    generator = np.random.default_rng(seed)
    place, one_hot = generator.integers(PLACES - 1, size=episodes), np.eye(PLACES, dtype=np.float32)
    rows = list[tuple[Array, ...]]()
    for _ in range(STEPS):
        action = generator.integers(2, size=episodes)
        following = np.maximum(place + action - 1, 0)
        rows.append((one_hot[place], action, 0.02 * (action == 1), one_hot[following]))
        place = following
    seen, action, reward, following = (np.stack(column, axis=1) for column in zip(*rows, strict=True))
    last = np.tile(np.arange(STEPS) == STEPS - 1, episodes)
    return built(Log(
        source="corridor", layout="test", observation=seen.reshape(-1, PLACES), action=action.reshape(-1),
        reward=reward.reshape(-1), next_observation=following.reshape(-1, PLACES),
        terminal=np.zeros_like(last), timeout=last, observation_space=Box((PLACES,)),
        action_space=Discrete(3),
    ))  # fmt: skip


def saved_point(path: Path, episodes: int = 40) -> Path:
    """The point's log as an NPZ file."""
    data = point_log(episodes)
    np.savez(
        path, observations=np.asarray(data.observation), actions=data.action, rewards=np.asarray(data.reward),
        next_observations=np.asarray(data.next_observation), terminals=data.terminated,
        timeouts=data.truncated,
    )  # fmt: skip
    return path


gymnasium.register(POINT, Point, max_episode_steps=STEPS)
gymnasium.register(CORRIDOR, Corridor, max_episode_steps=STEPS)
