"""A linear system with quadratic costs: what there is to gain over its log is known exactly.

Two uncoupled states, x' = 0.9 x + 0.5 a + noise, and reward -(x^2 + 0.1 a^2) summed over both; discount
0.95. The best policy is a = -1.344 x (Riccati); the behaviour is a = -0.4 x with noise. Episodes are cut
after 20 steps.
"""

from collections.abc import Callable

import numpy as np

from making.logs import built
from suture.data.dataset import Dataset
from suture.data.log import Log
from suture.spaces import Array, Box

DISCOUNT, BEST, BEHAVED, STEPS = 0.95, 1.344266, 0.4, 20


def follow_on(state: Array, action: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Rewards (n,) and next states (n, 2)."""
    reward = -(np.square(state) + 0.1 * np.square(action)).sum(1)
    return reward, 0.9 * state + 0.5 * action + 0.1 * generator.normal(size=state.shape)


def log_of(noise: float, episodes: int = 100, seed: int = 0) -> Dataset:
    """Episodes of the behaviour; `noise` is the standard deviation of its actions around -0.4 x."""
    generator = np.random.default_rng(seed)
    state = generator.uniform(-0.7, 0.7, (episodes, 2))
    rows: list[tuple[Array, ...]] = []
    for _ in range(STEPS):
        action = np.clip(-BEHAVED * state + noise * generator.normal(size=state.shape), -1, 1)
        reward, following = follow_on(state, action, generator)
        rows.append((state, action, reward, following))
        state = following
    state, action, reward, following = (np.stack(column, axis=1) for column in zip(*rows, strict=True))
    last = np.tile(np.arange(STEPS) == STEPS - 1, episodes)
    return built(Log(
        source="lqr", layout="test", observation=state.reshape(-1, 2), action=action.reshape(-1, 2),
        reward=reward.reshape(-1), next_observation=following.reshape(-1, 2),
        terminal=np.zeros_like(last), timeout=last,
        action_space=Box((2,), low=(-1.0, -1.0), high=(1.0, 1.0)),
    ))  # fmt: skip


def worth(act: Callable[[Array], Array], episodes: int = 500) -> float:
    """Mean discounted return over 60 steps, always from the same starts and with the same noise."""
    generator = np.random.default_rng(9)
    state, total = generator.uniform(-0.7, 0.7, (episodes, 2)), 0.0
    for step in range(60):
        reward, state = follow_on(state, np.clip(act(state.astype(np.float32)), -1, 1), generator)
        total += DISCOUNT**step * float(reward.mean())
    return total


def share_of_the_gain(act: Callable[[Array], Array]) -> float:
    """0 for a clone of the behaviour (without its noise), 1 for the best policy."""
    cloned, best = (worth(lambda state, gain=gain: -gain * state) for gain in (BEHAVED, BEST))
    return (worth(act) - cloned) / (best - cloned)
