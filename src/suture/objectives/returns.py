"""How values are backed up."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def one_step_target(
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_value: Float[Array, "*batch"],
) -> Float[Array, "*batch"]:
    """`reward + discount * next_value`.   discount: gamma, and 0 at true termination only.

    Source: Bellman 1957; a time limit is no termination (Pardo et al. 2018, arXiv:1712.00378).
    """
    return reward + discount * next_value


def n_step_return(
    reward: Float[Array, "*batch steps"], known: Float[Array, "*batch steps"], discount: float | Array
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Discounted sum of the known rewards, and `discount ** (n - 1)` for the number n of them.

    known: 1 for the steps of one episode, then 0 where it ended earlier.   Source: Watkins 1989, section 7.
    """
    powers = discount ** jnp.arange(reward.shape[-1])
    return (powers * known * reward).sum(-1), discount ** (known.sum(-1) - 1)


def lambda_return(
    reward: Float[Array, "*batch steps"],
    discount: Float[Array, "*batch steps"],
    next_value: Float[Array, "*batch steps"],
    known: Float[Array, "*batch steps"],
    mixing: float | Array,
) -> Float[Array, "*batch"]:
    """TD(lambda) return of the first step: every n-step return, weighted by `(1 - lambda) lambda**(n - 1)`.

    discount: gamma, and 0 at true termination.   next_value: of the state after each step.
    mixing: lambda in [0, 1]; 0 is one step, 1 the whole recorded return with the last value behind it.
    Source: Sutton & Barto 2018, eq. 12.18, cut off where the steps end.
    """
    steps = reward.shape[-1]
    last = known.sum(-1, keepdims=True) - 1
    value = jnp.take_along_axis(next_value, last.astype(jnp.int32), axis=-1)[..., 0]
    for k in reversed(range(steps)):
        here = reward[..., k] + discount[..., k] * ((1 - mixing) * next_value[..., k] + mixing * value)
        value = jnp.where(known[..., k] > 0, here, value)
    return value


def soft_value(
    q: Float[Array, "*batch choices"],
    log_behaviour: Float[Array, "*batch choices"],
    temperature: float | Array,
) -> Float[Array, "*batch"]:
    """`temperature * log E_behaviour exp(q / temperature)`: the best value less `temperature` times the KL.

    It is the value of `pi ~ behaviour * exp(q / temperature)`, which maximises `E_pi q - temperature KL`, and
    what the Gumbel regression of Q (`gumbel_loss`) finds: towards 0 the in-support maximum, towards infinity
    the behaviour's mean.   q and temperature: in reward units.
    Sources: Wu et al. 2019 (arXiv:1911.11361), value penalty; Garg et al. 2023 (arXiv:2301.02328), eq. 10.
    """
    return temperature * jax.nn.logsumexp(log_behaviour + q / temperature, axis=-1)


def with_entropy(
    q: Float[Array, "*batch"], log_prob: Float[Array, "*batch"], temperature: float | Array
) -> Float[Array, "*batch"]:
    """`q - temperature * log_prob`: its mean under the policy is the value with the entropy as a reward.

    q: of actions that the policy draws, in reward units.   log_prob: of them, in nats.
    Source: Haarnoja et al. 2018 (arXiv:1812.05905), eq. 3.
    """
    return q - temperature * log_prob


def mixed_maximum(
    q: Float[Array, "members samples *batch"], pessimism: float | Array
) -> Float[Array, "*batch"]:
    """The best over samples of `pessimism` times the smallest plus the rest times the largest critic.

    First each action's critics are mixed, then the best action is taken; the other order is larger.
    Source: Fujimoto et al. 2018 (arXiv:1812.02900), eq. 13 (0.75); Kumar et al. 2019 (arXiv:1906.00949).
    """
    return (pessimism * q.min(0) + (1 - pessimism) * q.max(0)).max(0)
