"""Policies that ask a critic: they act by searching for an action of high value."""

import abc
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key, key_for
from suture.nets.critics import Critic, DiscreteCritic, SigmoidCritic, pessimistic
from suture.nets.distributions import Categorical, Distribution, Greedy, Point
from suture.nets.encoder import Observation
from suture.nets.policies import Policy

ValueOf: TypeAlias = Callable[[Observation, Array], Float[Array, "samples batch"]]
"""The value of actions (samples, batch, ...) at observations (batch, ...)."""


class Maximiser(eqx.Module):
    """A search for an action of high value. Those that there are stand in `objectives/maximise.py`."""

    @abc.abstractmethod
    def __call__(self, value: ValueOf, observation: Observation, key: Key) -> Array:
        """One action for each row."""
        raise NotImplementedError


def value_of(critic: Critic, spread: float | Array | None = None) -> ValueOf:
    """The pessimistic value of an ensemble, for a search."""
    return lambda observation, action: pessimistic(critic(observation, action), spread)


def choice_values(
    critic: Critic, observation: Observation, spread: float | Array | None = None
) -> Float[Array, "*batch choices"]:
    """The pessimistic value of each choice over the ensemble; for critics of discrete actions."""
    assert isinstance(critic, DiscreteCritic | SigmoidCritic)
    return pessimistic(critic.values(observation), spread)


class GreedyPolicy(Policy):
    """The choice of the largest pessimistic value."""

    critic: Critic
    spread: float | Array | None = None

    def __call__(self, observation: Observation, key: Key | None = None) -> Greedy:
        return Greedy(choice_values(self.critic, observation, self.spread))


class GreedyInSupport(Policy):
    """The choice of the largest value among those that the behaviour takes with at least a probability.

    The behaviour's likeliest choice is always among them.
    """

    behaviour: Policy
    critic: Critic
    threshold: float | Array
    spread: float | Array | None = None

    def __call__(self, observation: Observation, key: Key | None = None) -> Greedy:
        cloned = self.behaviour(observation)
        assert isinstance(cloned, Categorical)
        taken = cloned.probabilities()
        allowed = (taken >= self.threshold) | (taken == taken.max(-1, keepdims=True))
        return Greedy(jnp.where(allowed, choice_values(self.critic, observation, self.spread), -jnp.inf))


class SearchPolicy(Policy):
    """The action that a search finds."""

    critic: Critic
    maximise: Maximiser
    spread: float | Array | None = None

    def __call__(self, observation: Observation, key: Key | None = None) -> "Found":
        return Found(self, observation)

    def search(self, observation: Observation, key: Key) -> Array:
        """The action found with the draws of a key."""
        return self.maximise(value_of(self.critic, self.spread), observation, key)


class Found(Distribution):
    """What a search finds: `sample` with the draws of its key, `mode` always with the same draws.

    The density is unknown: `log_prob` is that of a `Point` at the mode.
    """

    has_density: ClassVar[bool] = False

    policy: SearchPolicy
    observation: Observation

    def log_prob(self, action: Array) -> Float[Array, "*batch"]:
        return Point(self.mode()).log_prob(action)

    def sample(self, key: Key) -> Array:
        return self.policy.search(self.observation, key)

    def mode(self) -> Array:
        return self.sample(key_for(0, "act"))
