"""Actions of a policy to average over: samples, or every choice with its probability."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.distributions import Categorical, Distribution


class Drawn(eqx.Module):
    """Actions (samples, batch, ...), with their log-probabilities and their weights in a mean.

    Gradients with respect to the policy flow through sampled actions, and through the weights of choices.
    """

    action: Array
    log_prob: Float[Array, "samples batch"]
    weight: Float[Array, "samples batch"]

    def mean(self, values: Float[Array, "samples batch"]) -> Float[Array, " batch"]:
        """The policy's mean of values of the actions."""
        return (self.weight * values).sum(0)


def draw(policy: Distribution, key: Key, samples: int = 1) -> Drawn:
    """`samples` actions; of a categorical policy every choice, so that means are exact."""
    if isinstance(policy, Categorical):
        log_prob = jnp.moveaxis(jax.nn.log_softmax(policy.logits), -1, 0)
        choices = jnp.broadcast_to(jnp.arange(len(log_prob))[:, None], log_prob.shape)
        return Drawn(choices, log_prob, jnp.exp(log_prob))
    action, log_prob = jax.vmap(policy.sample_and_log_prob)(jax.random.split(key, samples))
    return Drawn(action, log_prob, jnp.full_like(log_prob, 1 / samples))
