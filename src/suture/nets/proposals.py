"""Actions that stand for all actions, where a value must be compared with those of every other action."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.distributions import Distribution
from suture.nets.drawn import draw


class Proposals(eqx.Module):
    """Actions for each row, rows first; the log-density that each was drawn with; and what its value is
    raised to where it is less (None: to nothing)."""

    action: Float[Array, "batch samples dimensions"]
    log_density: Float[Array, "batch samples"]
    floor: Float[Array, "batch samples"] | None = None


def propose(now: Distribution, following: Distribution, key: Key, samples: int) -> Proposals:
    """`samples` uniform actions in [-1, 1], then as many of the policy here and at the next observation.

    Each with the log-density of what it was drawn from: all of them are proposals for the row's own integral.
    """
    key_uniform, *keys = jax.random.split(key, 3)
    drawn = [draw(policy, one, samples) for policy, one in zip((now, following), keys, strict=True)]
    shape = drawn[0].action.shape
    uniform = jax.random.uniform(key_uniform, shape, minval=-1.0, maxval=1.0)
    density = jnp.full(shape[:-1], -shape[-1] * math.log(2))
    action = jnp.concatenate([uniform, *(one.action for one in drawn)])
    log_density = jnp.concatenate([density, *(one.log_prob for one in drawn)])
    return Proposals(jnp.swapaxes(action, 0, 1), jnp.swapaxes(log_density, 0, 1))
