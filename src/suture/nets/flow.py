"""Policies that make their actions of noise: a flow, followed in small steps, and one jump to where it ends.

Both draw from distributions of any shape, with several ways to act, and neither knows its density.
"""

import abc
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.errors import RefusedInput
from suture.keys import Key, key_for
from suture.nets.distributions import Distribution
from suture.nets.encoder import Encoder, Observation, encoder_for
from suture.nets.mlp import MLP
from suture.nets.policies import Policy
from suture.spaces import Space


def euler(velocity: Callable[[Array, float], Array], noise: Array, steps: int) -> Array:
    """Where noise is after `steps` equal steps along `velocity(x, time)` from time 0 to 1.

    One step alone leads to the mean of the actions. Sources: Lipman et al. 2023 (arXiv:2210.02747); 10 steps
    in Park et al. 2025 (arXiv:2502.02538).
    """
    x = noise
    for step in range(steps):
        x = x + velocity(x, step / steps) / steps
    return x


class NoisePolicy(Policy):
    """action = make(features of the observation, standard normal noise)."""

    encoder: eqx.AbstractVar[Encoder]
    mlp: eqx.AbstractVar[MLP]

    @abc.abstractmethod
    def make(
        self, features: Float[Array, "*batch features"], noise: Float[Array, "*batch dimensions"]
    ) -> Float[Array, "*batch dimensions"]:
        """Actions, not yet clipped."""
        raise NotImplementedError

    @property
    def dimensions(self) -> int:
        return self.mlp.layers[-1].weight.shape[-1]

    def __call__(self, observation: Observation, key: Key | None = None) -> "Generated":
        return Generated(self, self.encoder(observation))


class Generated(Distribution):
    """What a policy makes of noise, clipped to [-1, 1]. It has no density.

    The mode is the action of one draw, the same for all rows and always: what becomes of noise 0 may lie
    between the ways to act, where no action is good.
    """

    policy: NoisePolicy
    features: Float[Array, "*batch features"]

    has_density: ClassVar[bool] = False

    def log_prob(self, action: Array) -> Float[Array, "*batch"]:
        raise RefusedInput(
            "A policy that makes its actions of noise cannot say how likely an action is. Compare samples, "
            "or use a method whose policy has a density (iql, awac, brac)."
        )

    def of(self, noise: Float[Array, "*batch dimensions"]) -> Float[Array, "*batch dimensions"]:
        """The actions of given noise, before they are clipped."""
        return self.policy.make(self.features, noise)

    def noise(self, key: Key) -> Float[Array, "*batch dimensions"]:
        """Standard normal, for `of`."""
        return jax.random.normal(key, (*self.features.shape[:-1], self.policy.dimensions))

    def sample(self, key: Key) -> Array:
        return jnp.clip(self.of(self.noise(key)), -1.0, 1.0)

    def mode(self) -> Array:
        noise = jax.random.normal(key_for(0, "act"), (self.policy.dimensions,))
        shape = (*self.features.shape[:-1], self.policy.dimensions)
        return jnp.clip(self.of(jnp.broadcast_to(noise, shape)), -1.0, 1.0)


class FlowPolicy(NoisePolicy):
    """Noise that follows a learned velocity field, in `steps` steps of Euler's method."""

    encoder: Encoder
    mlp: MLP
    steps: int = eqx.field(static=True)

    def __init__(self, observation: Space, dimensions: int, hidden: tuple[int, ...], steps: int, key: Key):
        key_encoder, key_mlp = jax.random.split(key)
        self.encoder, self.steps = encoder_for(observation, key_encoder), steps
        inputs = self.encoder.size + dimensions + 1
        self.mlp = MLP(inputs, hidden, dimensions, key_mlp, activation="gelu")

    def velocity(self, features: Array, x: Array, time: float | Array) -> Array:
        """Where x moves at a time in [0, 1].   time: one, or (*batch, 1)."""
        times = jnp.broadcast_to(time, (*x.shape[:-1], 1))
        return self.mlp.of_parts(features, jnp.concatenate([x, times], axis=-1))

    def make(self, features: Array, noise: Array) -> Array:
        return euler(lambda x, time: self.velocity(features, x, time), noise, self.steps)


class JumpPolicy(NoisePolicy):
    """One network of features and noise, without bounds."""

    encoder: Encoder
    mlp: MLP

    def __init__(self, observation: Space, dimensions: int, hidden: tuple[int, ...], key: Key):
        key_encoder, key_mlp = jax.random.split(key)
        self.encoder = encoder_for(observation, key_encoder)
        inputs = self.encoder.size + dimensions
        self.mlp = MLP(inputs, hidden, dimensions, key_mlp, activation="gelu")

    def make(self, features: Array, noise: Array) -> Array:
        return self.mlp.of_parts(features, noise)
