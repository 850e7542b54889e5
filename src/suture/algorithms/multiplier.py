"""Weights that are learned: of an entropy that must be reached, or of a constraint that must be kept."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from suture.algorithms.base import Trainable


class Multiplier(eqx.Module):
    """A positive number, kept as its logarithm."""

    log: Float[Array, ""]

    def __call__(self) -> Float[Array, ""]:
        """The number; a constant of every loss but its own."""
        return jax.lax.stop_gradient(jnp.exp(self.log))


def multiplier(initial: float | Array, optimiser: optax.GradientTransformation) -> Trainable[Multiplier]:
    """A multiplier that begins at `initial`."""
    return Trainable.of(Multiplier(jnp.log(jnp.asarray(initial, jnp.float32))), optimiser)


def rise(
    one: Trainable[Multiplier],
    excess: Float[Array, ""],
    optimiser: optax.GradientTransformation,
    limits: tuple[float, float] = (-20.0, 20.0),
) -> Trainable[Multiplier]:
    """One step of dual ascent: the multiplier grows where `excess` (what exceeds the constraint) is positive.

    limits: of its logarithm.   The gradient is taken with respect to the logarithm of `log * excess`, whose
    size does not depend on the multiplier itself (Haarnoja et al. 2018, arXiv:1812.05905, the code's form).
    """
    after, _ = one.descend(lambda net: (-net.log * jax.lax.stop_gradient(excess), {}), optimiser)
    return Trainable(Multiplier(jnp.clip(after.net.log, *limits)), after.optimiser)
