"""Adam with its bias corrections folded into two scalars: one division and one root a parameter.

Optimisers take a fifth of an update of small networks on a CPU, most of it in divisions. This is optax's
`adam` to rounding (a test holds it to that), and like it an `optax.GradientTransformation`.
"""

from typing import Any, Literal, TypeAlias, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

Schedule: TypeAlias = Literal["cosine", "constant"]
DECAY_MEAN, DECAY_SQUARE, EPSILON = 0.9, 0.999, 1e-8


def adam(
    learning_rate: float | Array, schedule: optax.Schedule | None = None
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) with its usual decays 0.9 and 0.999.

    learning_rate: may be traced.   schedule: factor of the learning rate, by the number of updates so far.
    """

    def init(params: optax.Params) -> optax.ScaleByAdamState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros, jax.tree.map(jnp.copy, zeros))

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        before = cast(optax.ScaleByAdamState, state)
        count = before.count + 1
        mean = _decay(before.mu, updates, DECAY_MEAN)
        square = _decay(before.nu, jax.tree.map(jnp.square, updates), DECAY_SQUARE)
        rate = learning_rate if schedule is None else learning_rate * schedule(before.count)
        root = jnp.sqrt(1 - DECAY_SQUARE**count)
        step, epsilon = rate * root / (1 - DECAY_MEAN**count), EPSILON * root
        steps = jax.tree.map(lambda m, v: -step * m / (jnp.sqrt(v) + epsilon), mean, square)
        return steps, optax.ScaleByAdamState(jnp.asarray(count), mean, square)

    return optax.GradientTransformation(init, update)


def cosine(steps: int) -> optax.Schedule | None:
    """A factor that falls from 1 to 0 along half a cosine over `steps` updates; None, a constant, for 0."""
    return optax.cosine_decay_schedule(1.0, steps) if steps else None


def _decay(average: Any, new: Any, decay: float) -> Any:
    def mix(old: Float[Array, "*shape"], value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return decay * old + (1 - decay) * value

    return jax.tree.map(mix, average, new)
