"""Mean and deviation of a stream of batches, as part of a state."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

RATE = 0.01


class Moments(eqx.Module):
    """Running mean and mean square, and the total weight of what they have seen.

    Each batch counts 1 % less than the one before it; dividing by the total weight makes the first batches
    count fully (the bias correction of Kingma & Ba 2015, arXiv:1412.6980).
    """

    mean_sum: Float[Array, ""]
    square_sum: Float[Array, ""]
    weight: Float[Array, ""]

    @staticmethod
    def empty() -> "Moments":
        """Nothing seen yet."""
        return Moments(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))

    def with_batch(self, values: Float[Array, " batch"]) -> "Moments":
        """One batch more."""
        means = values.mean(), jnp.square(values).mean(), jnp.ones(())
        old = self.mean_sum, self.square_sum, self.weight
        return Moments(*(before + RATE * (new - before) for before, new in zip(old, means, strict=True)))

    @property
    def mean(self) -> Float[Array, ""]:
        return self.mean_sum / self.weight

    @property
    def deviation(self) -> Float[Array, ""]:
        return jnp.sqrt(jnp.maximum(self.square_sum / self.weight - jnp.square(self.mean), 0.0))
