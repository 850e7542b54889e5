"""State values and ensembles of state-action values, for continuous and discrete actions alike."""

import abc
from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.encoder import Encoder, Observation, encoder_for
from suture.nets.mlp import MLP, Activation
from suture.spaces import Box, Discrete, Space


class Value(eqx.Module):
    """V(observation): (*batch,)."""

    encoder: Encoder
    mlp: MLP

    def __init__(
        self,
        observation: Space,
        hidden: tuple[int, ...],
        key: Key,
        *,
        layer_norm: bool = False,
        activation: Activation = "relu",
    ):
        key_encoder, key_mlp = jax.random.split(key)
        self.encoder = encoder_for(observation, key_encoder)
        size = self.encoder.size
        self.mlp = MLP(size, hidden, 1, key_mlp, layer_norm=layer_norm, activation=activation)

    def __call__(self, observation: Observation) -> Float[Array, "*batch"]:
        return self.mlp(self.encoder(observation))[..., 0]


def pessimistic(q: Float[Array, " members *batch"], spread: float | Array | None) -> Float[Array, "*batch"]:
    """One value of an ensemble: its minimum, or its mean less `spread` standard deviations.

    Where all members agree the deviation has gradient 0 (its root has none).
    Sources: Fujimoto et al. 2018 (arXiv:1802.09477), the minimum; Ghasemipour et al. 2022
    (arXiv:2205.13703), the deviations.
    """
    if spread is None:
        return q.min(0)
    return q.mean(0) - spread * jnp.sqrt(jnp.maximum(q.var(0), 1e-12))


class Critic(eqx.Module):
    """An ensemble of Q(observation, action): (members, *batch). The members share one encoder."""

    @property
    @abc.abstractmethod
    def action_size(self) -> int:
        """How many choices, or dimensions, an action has."""
        raise NotImplementedError

    @abc.abstractmethod
    def __call__(self, observation: Observation, action: Array) -> Float[Array, " members *batch"]:
        raise NotImplementedError

    @abc.abstractmethod
    def first(self) -> Self:
        """The first member alone, an ensemble of one."""
        raise NotImplementedError


class NetworkCritic(Critic):
    """An encoder and an ensemble of MLPs."""

    encoder: eqx.AbstractVar[Encoder]
    mlp: eqx.AbstractVar[MLP]

    def first(self) -> Self:
        alone = jax.tree.map(lambda leaf: leaf[:1], self.mlp)
        return eqx.tree_at(lambda critic: critic.mlp, self, alone)


class ContinuousCritic(NetworkCritic):
    """Features and action side by side, through an ensemble of MLPs.

    Many actions for each observation, (samples, batch, dimensions), give (members, samples, batch): what
    depends on the observation alone is computed once.
    """

    encoder: Encoder
    mlp: MLP

    @property
    def action_size(self) -> int:
        return self.mlp.layers[0].weight.shape[-2] - self.encoder.size

    def __call__(self, observation: Observation, action: Array) -> Float[Array, " members *batch"]:
        return self.of_features(self.encoder(observation), action)

    def of_features(
        self, features: Float[Array, "batch features"], action: Array
    ) -> Float[Array, " members *batch"]:
        """What a call answers, for an observation that is encoded already."""
        if action.ndim == features.ndim:
            return self.mlp(jnp.concatenate([features, action], axis=-1))[..., 0]
        return self.mlp.of_two(features, action)[..., 0]

    def of_own(
        self, features: Float[Array, "batch features"], action: Float[Array, "members batch dimensions"]
    ) -> Float[Array, "members batch"]:
        """Each member's value of an action of its own: for the gradients of all members at once."""
        features = jnp.broadcast_to(features, (len(action), *features.shape))
        return self.mlp(jnp.concatenate([features, action], axis=-1))[..., 0]


class DiscreteCritic(NetworkCritic):
    """One output per choice; a call picks the output of the given action."""

    encoder: Encoder
    mlp: MLP

    @property
    def action_size(self) -> int:
        return self.mlp.layers[-1].weight.shape[-1]

    def values(self, observation: Observation) -> Float[Array, " members *batch choices"]:
        """Q of every choice."""
        return self.mlp(self.encoder(observation))

    def __call__(self, observation: Observation, action: Array) -> Float[Array, " members *batch"]:
        values = self.values(observation)
        values = values.reshape(len(values), *(1,) * (action.ndim + 2 - values.ndim), *values.shape[1:])
        chosen = jnp.broadcast_to(action[None, ..., None], (len(values), *action.shape, 1))
        return jnp.take_along_axis(values, chosen, axis=-1)[..., 0]


class SigmoidCritic(Critic):
    """Q in (0, 1): what another ensemble answers is its logit."""

    logit: Critic

    @property
    def action_size(self) -> int:
        return self.logit.action_size

    def first(self) -> Self:
        return eqx.tree_at(lambda critic: critic.logit, self, self.logit.first())

    def __call__(self, observation: Observation, action: Array) -> Float[Array, " members *batch"]:
        return jax.nn.sigmoid(self.logit(observation, action))

    def values(self, observation: Observation) -> Float[Array, " members *batch choices"]:
        """Q of every choice, where actions are choices."""
        assert isinstance(self.logit, DiscreteCritic)
        return jax.nn.sigmoid(self.logit.values(observation))


def critic_for(
    observation: Space,
    action: Space,
    hidden: tuple[int, ...],
    members: int,
    key: Key,
    *,
    layer_norm: bool = False,
    activation: Activation = "relu",
) -> Critic:
    """The critic ensemble of an observation and an action space."""
    key_encoder, key_mlp = jax.random.split(key)
    encoder = encoder_for(observation, key_encoder)
    discrete = isinstance(action, Discrete)
    inputs = encoder.size + (action.size if isinstance(action, Box) else 0)
    outputs = action.n if discrete else 1
    mlp = MLP(inputs, hidden, outputs, key_mlp, members=members, layer_norm=layer_norm, activation=activation)
    return (DiscreteCritic if discrete else ContinuousCritic)(encoder, mlp)
