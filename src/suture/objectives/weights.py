"""How logged actions are weighted when a policy is extracted."""

import jax
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


def softmax_weight(
    advantage: Float[Array, " batch"], inverse_temperature: float | Array
) -> Float[Array, " batch"]:
    """`exp(inverse_temperature * advantage)` divided by its mean over the batch, so that weights average 1.

    advantage: in reward units.   inverse_temperature: per reward unit.
    The mean is over states too: it stands for one Z of the batch, not for the Z(s) of each state.
    Source: Nair et al. 2020 (arXiv:2006.09359), the authors' code.
    """
    return advantage.size * jax.nn.softmax(inverse_temperature * advantage)


def indicator_weight(advantage: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """1 where the advantage is positive, 0 elsewhere: only what improves on the policy is cloned.

    Source: Wang et al. 2020 (arXiv:2006.15134), eq. 3.
    """
    return (advantage > 0).astype(advantage.dtype)


def whiten(
    advantage: Float[Array, "*batch"], mean: float | Array, deviation: float | Array
) -> Float[Array, "*batch"]:
    """`(advantage - mean) / (deviation + 1e-5)`: in standard deviations, whatever the rewards' scale.

    mean, deviation: of the advantages of the whole log, in reward units.
    Source: Peng et al. 2019 (arXiv:1910.00177), the authors' code.
    """
    return (advantage - mean) / (deviation + 1e-5)
