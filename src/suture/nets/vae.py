"""A conditional VAE that acts like the log, and a network that moves its actions within a small box.

Sources: Kingma & Welling 2014 (arXiv:1312.6114); Fujimoto et al. 2018 (arXiv:1812.02900), section 4.1, and
the authors' code.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.distributions import Distribution, Point
from suture.nets.encoder import Encoder, Observation, encoder_for
from suture.nets.mlp import MLP
from suture.nets.policies import Policy
from suture.spaces import Box, Space

LOG_STD_MIN, LOG_STD_MAX = -4.0, 15.0
LATENT_LIMIT = 0.5


class Generated(Distribution):
    """Actions that a network makes of noise. Their density is unknown.

    `mode` is what is made of noise 0, and `log_prob` that of a `Point` there.
    """

    has_density: ClassVar[bool] = False

    @property
    def _point(self) -> Point:
        return Point(self.mode())

    def log_prob(self, action: Array) -> Float[Array, "*batch"]:
        return self._point.log_prob(action)


class Decoded(Generated):
    """tanh of what a decoder makes of normal noise, clipped to +-0.5 so that actions stay likely ones."""

    decoder: MLP
    features: Float[Array, "*batch features"]
    latent: int = eqx.field(static=True)

    def _decode(self, noise: Array) -> Array:
        return self.decoder.of_parts(self.features, jnp.clip(noise, -LATENT_LIMIT, LATENT_LIMIT))

    def sample_raw(self, key: Key) -> Array:
        return self._decode(jax.random.normal(key, (*self.features.shape[:-1], self.latent)))

    def sample(self, key: Key) -> Array:
        return jnp.tanh(self.sample_raw(key))

    def mode(self) -> Array:
        return jnp.tanh(self._decode(jnp.zeros((*self.features.shape[:-1], self.latent))))


class ConditionalVAE(Policy):
    """An encoder of (observation, action) to noise, and a decoder back to the action."""

    observation: Encoder
    encoder: MLP
    decoder: MLP
    latent: int = eqx.field(static=True)
    weight: float = eqx.field(static=True)

    def __init__(
        self, observation: Space, action: Box, hidden: tuple[int, ...], key: Key,
        *, latent: int | None = None, weight: float = 0.5,
    ):  # fmt: skip
        """latent: dimensions of the noise; twice those of the action where None.   weight: see `loss`."""
        keys = jax.random.split(key, 3)
        self.observation = encoder_for(observation, keys[0])
        self.latent, self.weight = 2 * action.size if latent is None else latent, weight
        size = self.observation.size
        self.encoder = MLP(size + action.size, hidden, 2 * self.latent, keys[1])
        self.decoder = MLP(size + self.latent, hidden, action.size, keys[2])

    def __call__(self, observation: Observation, key: Key | None = None) -> Decoded:
        return Decoded(self.decoder, self.observation(observation), self.latent)

    def loss(
        self, observation: Observation, action: Float[Array, "*batch dimensions"], key: Key
    ) -> Float[Array, ""]:
        """Squared error of the reconstruction plus `weight` times the KL of the noise to N(0, I), as means.

        Means over rows and over dimensions (of the action, of the noise): not the ELBO, which has sums. What
        has a variance below `weight * dimensions / (2 * latent)`, by default 1/8, is not reproduced: to keep
        it in the noise costs more than it brings, as in probabilistic PCA.
        """
        features = self.observation(observation)
        mean, log_std = jnp.split(self.encoder(jnp.concatenate([features, action], axis=-1)), 2, axis=-1)
        log_std = jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)
        noise = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        rebuilt = jnp.tanh(self.decoder(jnp.concatenate([features, noise], axis=-1)))
        error = jnp.square(rebuilt - action).mean()
        divergence = 0.5 * (jnp.square(mean) + jnp.exp(2 * log_std) - 1 - 2 * log_std).mean()
        return error + self.weight * divergence


class Perturbation(eqx.Module):
    """tanh of a network of (observation, action): in which direction an action is moved."""

    observation: Encoder
    mlp: MLP

    def __init__(self, observation: Space, action: Box, hidden: tuple[int, ...], key: Key):
        key_encoder, key_mlp = jax.random.split(key)
        self.observation = encoder_for(observation, key_encoder)
        self.mlp = MLP(self.observation.size + action.size, hidden, action.size, key_mlp)


class Perturbed(Generated):
    """Actions of another distribution, each moved by up to `size` per dimension, within [-1, 1]."""

    inner: Distribution
    mlp: MLP
    features: Float[Array, "*batch features"]
    size: float | Array

    def _move(self, action: Array) -> Array:
        step = self.size * jnp.tanh(self.mlp.of_parts(self.features, action))
        return jnp.clip(action + step, -1.0, 1.0)

    def sample(self, key: Key) -> Array:
        return self._move(self.inner.sample(key))

    def mode(self) -> Array:
        return self._move(self.inner.mode())


class PerturbedPolicy(Policy):
    """A policy whose actions are moved within a small box, `size` in half ranges of the action."""

    inner: Policy
    perturbation: Perturbation
    size: float | Array

    def __call__(self, observation: Observation, key: Key | None = None) -> Perturbed:
        net = self.perturbation
        return Perturbed(self.inner(observation), net.mlp, net.observation(observation), self.size)
