"""How values are backed up."""

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
