"""A bandit with quadratic rewards, whose fixed points are closed forms: for policies that climb a critic.

Reward `scale * (1 - |a - best|^2)` with best = 0.5 in each of d dimensions; the behaviour's mean is -0.2. The
critic is quadratic too and learns the rewards exactly, so that what remains is the actor's own trade-off.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from making.canonical import solve
from suture.algorithms.base import Algorithm, Batch, Spec, Trainable
from suture.nets.critics import Critic
from suture.nets.optimiser import adam
from suture.spaces import Box

BEST, MEAN, ROWS = 0.5, -0.2, 64


class Quadratic(Critic):
    """`height - curve * |a - best|^2`: (members,), (members,) and (members, dimensions)."""

    height: Array
    curve: Array
    best: Array

    @staticmethod
    def near_the_rewards(dimensions: int, scale: float) -> "Quadratic":
        """Two members, off by some per cent and differently."""
        off = jnp.array([1.05, 0.93])
        return Quadratic(scale * off, scale * off[::-1], BEST * jnp.tile(off[:, None], dimensions))

    @property
    def action_size(self) -> int:
        return self.best.shape[-1]

    def first(self) -> "Quadratic":
        return jax.tree.map(lambda leaf: leaf[:1], self)

    def __call__(self, observation: Any, action: Array) -> Array:
        distance = jnp.square(action[None] - self.best[:, None]).sum(-1)
        return self.height[:, None] - self.curve[:, None] * distance


def bandit_batch(dimensions: int, scale: float = 1.0) -> Batch:
    """Actions around the behaviour's mean, exactly; every row is a true end."""
    half = np.random.default_rng(0).uniform(0, 0.5, (ROWS // 2, dimensions))
    action = MEAN + np.concatenate([half, -half])
    seen, none = jnp.ones((ROWS, 1)), jnp.zeros(ROWS)
    return Batch(
        observation=seen, action=jnp.asarray(action, jnp.float32), next_observation=seen,
        reward=jnp.asarray(scale * (1 - np.square(action - BEST).sum(1)), jnp.float32),
        discount=none, next_action=jnp.zeros((ROWS, dimensions)), next_action_known=none,
    )  # fmt: skip


def fixed_point(algorithm: Algorithm[Any], dimensions: int, scale: float = 1.0) -> np.ndarray:
    """The action (dimensions,) where a deterministic actor-critic comes to rest."""

    def with_quadratics(state: Any) -> Any:
        critic = Quadratic.near_the_rewards(dimensions, scale)
        return eqx.tree_at(
            lambda s: [s.critic, s.slow.target_critic], state, [Trainable.of(critic, adam(1e-3)), critic]
        )

    space = Box((dimensions,), low=(-1.0,) * dimensions, high=(1.0,) * dimensions)
    state = solve(
        algorithm, batch=bandit_batch(dimensions, scale), spec=Spec(observation=Box((1,)), action=space),
        prepare=with_quadratics,
    )  # fmt: skip
    return np.asarray(algorithm.policy(state)(jnp.ones((1, 1))).mode()[0])
