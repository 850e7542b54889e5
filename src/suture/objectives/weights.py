"""How logged actions are weighted when a policy is extracted."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def exponential_weight(
    advantage: Float[Array, "*batch"], inverse_temperature: float | Array, limit: float | Array
) -> Float[Array, "*batch"]:
    """`min(exp(inverse_temperature * advantage), limit)`, clipped before `exp` so that it cannot overflow.

    advantage: in reward units.   inverse_temperature: per reward unit; 0 is behavioural cloning.
    Source: Peng et al. 2019 (arXiv:1910.00177), eq. 10; the limit of 100 is IQL's.
    """
    return jnp.exp(jnp.minimum(inverse_temperature * advantage, jnp.log(limit)))
