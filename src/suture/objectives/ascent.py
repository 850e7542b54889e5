"""How a policy climbs a critic: extraction by the gradient of Q with respect to the action."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def scaled_ascent(q: Float[Array, "*batch"]) -> Float[Array, ""]:
    """`-mean(Q) / mean|Q|`, the divisor a constant: a loss that does not depend on the rewards' scale.

    q: values of the policy's own actions, in reward units; where all of them are 0 it is 0.
    Source: Fujimoto & Gu 2021 (arXiv:2106.06860), eq. 5.
    """
    size = jax.lax.stop_gradient(jnp.abs(q).mean())
    return -q.mean() / jnp.maximum(size, 1e-6)


def squared_distance(
    one: Float[Array, "*batch dimensions"], other: Float[Array, "*batch dimensions"]
) -> Float[Array, "*batch"]:
    """Squared Euclidean distance of two actions: a sum over dimensions.

    Minus it is, but for constants, the log-density of a Gaussian around `one`: behaviour regularisation of a
    deterministic policy (Tarasov et al. 2023, arXiv:2305.09836; Wu et al. 2019, arXiv:1911.11361).
    """
    return jnp.square(one - other).sum(-1)
