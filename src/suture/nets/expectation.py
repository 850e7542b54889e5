"""What a critic says of a policy: exact over choices, and over actions drawn from the policy otherwise."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.critics import Critic, pessimistic
from suture.nets.distributions import Categorical, Distribution
from suture.nets.encoder import Observation
from suture.nets.search import choice_values


def drawn(policy: Distribution, key: Key) -> Array:
    """Drawn actions, moved into [-1, 1] as they are when the policy acts; choices as they are."""
    action = policy.sample(key)
    return action if jnp.issubdtype(action.dtype, jnp.integer) else jnp.clip(action, -1, 1)


def expected_value(
    critic: Critic,
    observation: Observation,
    policy: Distribution,
    key: Key,
    *,
    samples: int,
    spread: float | Array | None = None,
) -> Float[Array, " batch"]:
    """The mean over a policy's actions of their pessimistic values.

    policy: its answer to the observations.   samples: how many actions are drawn where they are no choices.
    """
    if isinstance(policy, Categorical):
        return (policy.probabilities() * choice_values(critic, observation, spread)).sum(-1)
    return sampled_values(critic, observation, policy, key, samples=samples, spread=spread).mean(0)


def sampled_values(
    critic: Critic,
    observation: Observation,
    policy: Distribution,
    key: Key,
    *,
    samples: int,
    spread: float | Array | None = None,
) -> Float[Array, "samples batch"]:
    """The pessimistic values of actions drawn from a policy."""
    action = jax.vmap(lambda key: drawn(policy, key))(jax.random.split(key, samples))
    if samples == 1:
        return pessimistic(critic(observation, action[0]), spread)[None]
    return pessimistic(critic(observation, action), spread)
