"""Policies: from an observation to a distribution over actions. `policy_for` picks the head."""

import abc
import math
from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.distributions import Categorical, Distribution, Gaussian, Mixture, Point, TanhGaussian
from suture.nets.encoder import Encoder, Observation, encoder_for
from suture.nets.mlp import MLP
from suture.spaces import Box, Discrete, Space

Head: TypeAlias = Literal["gaussian", "tanh_gaussian", "mixture", "deterministic"]
LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
PARTS = 5


class Policy(eqx.Module):
    """pi(action | observation). Continuous actions live in [-1, 1]; the run scales them to the data."""

    @abc.abstractmethod
    def __call__(self, observation: Observation, key: Key | None = None) -> Distribution:
        """`key` draws dropout masks while training; without it the policy is as deployed."""
        raise NotImplementedError


class NetworkPolicy(Policy):
    """A policy that is one network of the observation."""

    encoder: eqx.AbstractVar[Encoder]
    mlp: eqx.AbstractVar[MLP]

    def features(self, observation: Observation, key: Key | None) -> Float[Array, "*batch outputs"]:
        return self.mlp(self.encoder(observation), key)


class GaussianPolicy(NetworkPolicy):
    """mean = tanh(MLP), and one learned log-std per action dimension; the Gaussian is not squashed."""

    encoder: Encoder
    mlp: MLP
    log_std: Float[Array, " dimensions"]

    def __call__(self, observation: Observation, key: Key | None = None) -> Gaussian:
        mean = jnp.tanh(self.features(observation, key))
        return Gaussian(mean, jnp.clip(self.log_std, LOG_STD_MIN, LOG_STD_MAX))


class TanhGaussianPolicy(NetworkPolicy):
    """tanh of a Gaussian whose mean and log-std depend on the observation."""

    encoder: Encoder
    mlp: MLP

    def __call__(self, observation: Observation, key: Key | None = None) -> TanhGaussian:
        mean, log_std = jnp.split(self.features(observation, key), 2, axis=-1)
        return TanhGaussian(Gaussian(mean, jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)))


class MixturePolicy(NetworkPolicy):
    """A mixture of Gaussians with means in (-1, 1): for behaviour with several ways to act."""

    encoder: Encoder
    mlp: MLP
    dimensions: int = eqx.field(static=True)

    def __call__(self, observation: Observation, key: Key | None = None) -> Mixture:
        outputs = self.features(observation, key)
        logits, rest = outputs[..., :PARTS], outputs[..., PARTS:]
        mean, log_std = jnp.split(rest.reshape(*rest.shape[:-1], PARTS, 2 * self.dimensions), 2, axis=-1)
        return Mixture(logits, jnp.tanh(mean), jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX))


class DeterministicPolicy(NetworkPolicy):
    """action = tanh(MLP)."""

    encoder: Encoder
    mlp: MLP

    def __call__(self, observation: Observation, key: Key | None = None) -> Point:
        return Point(jnp.tanh(self.features(observation, key)))


class CategoricalPolicy(NetworkPolicy):
    """One logit per choice."""

    encoder: Encoder
    mlp: MLP

    def __call__(self, observation: Observation, key: Key | None = None) -> Categorical:
        return Categorical(self.features(observation, key))


def policy_for(
    observation: Space,
    action: Space,
    head: Head,
    hidden: tuple[int, ...],
    key: Key,
    *,
    dropout: float = 0.0,
) -> Policy:
    """The policy of an observation and an action space; discrete actions are always categorical."""
    key_encoder, key_mlp = jax.random.split(key)
    encoder = encoder_for(observation, key_encoder)

    def mlp(outputs: int) -> MLP:
        return MLP(encoder.size, hidden, outputs, key_mlp, dropout=dropout)

    if isinstance(action, Discrete):
        return CategoricalPolicy(encoder, mlp(action.n))
    size = action.size if isinstance(action, Box) else math.nan
    match head:
        case "gaussian":
            return GaussianPolicy(encoder, mlp(int(size)), jnp.zeros(int(size)))
        case "tanh_gaussian":
            return TanhGaussianPolicy(encoder, mlp(2 * int(size)))
        case "mixture":
            return MixturePolicy(encoder, mlp(PARTS * (1 + 2 * int(size))), int(size))
        case "deterministic":
            return DeterministicPolicy(encoder, mlp(int(size)))


def with_std(policy: Policy, std: float | Array | None) -> Policy:
    """A Gaussian policy with this standard deviation for good; others, and None, leave it as it is."""
    if std is None or not isinstance(policy, GaussianPolicy):
        return policy
    return eqx.tree_at(lambda p: p.log_std, policy, jnp.full_like(policy.log_std, jnp.log(std)))
