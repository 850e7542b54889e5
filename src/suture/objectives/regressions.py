"""How a prediction is drawn to a target."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def squared_loss(error: Float[Array, "*batch"]) -> Float[Array, ""]:
    """Mean squared error, without a factor one half.   error: target minus prediction."""
    return jnp.square(error).mean()


def expectile_loss(error: Float[Array, "*batch"], level: float | Array) -> Float[Array, ""]:
    """Mean asymmetric squared error: weight `level` where the error is positive, `1 - level` elsewhere.

    error: target minus prediction, in reward units.   level: in (0, 1); 0.5 is half the squared error.
    Source: Newey & Powell 1987; Kostrikov et al. 2021 (arXiv:2110.06169), eq. 5.
    """
    return (jnp.where(error > 0, level, 1 - level) * jnp.square(error)).mean()
