"""Policies that ask a critic: they act by searching for an action of high value."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.critics import Critic, DiscreteCritic
from suture.nets.distributions import Categorical, Greedy
from suture.nets.encoder import Observation
from suture.nets.policies import Policy


def choice_values(critic: Critic, observation: Observation) -> Float[Array, "*batch choices"]:
    """The smallest value of each choice over the ensemble; for critics of discrete actions."""
    assert isinstance(critic, DiscreteCritic)
    return critic.values(observation).min(0)


class GreedyPolicy(Policy):
    """The choice of the largest value."""

    critic: Critic

    def __call__(self, observation: Observation, key: Key | None = None) -> Greedy:
        return Greedy(choice_values(self.critic, observation))


class GreedyInSupport(Policy):
    """The choice of the largest value among those that the behaviour takes with at least a probability.

    The behaviour's likeliest choice is always among them.
    """

    behaviour: Policy
    critic: Critic
    threshold: float | Array

    def __call__(self, observation: Observation, key: Key | None = None) -> Greedy:
        cloned = self.behaviour(observation)
        assert isinstance(cloned, Categorical)
        taken = cloned.probabilities()
        allowed = (taken >= self.threshold) | (taken == taken.max(-1, keepdims=True))
        return Greedy(jnp.where(allowed, choice_values(self.critic, observation), -jnp.inf))
