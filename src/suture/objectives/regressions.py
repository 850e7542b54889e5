"""How a prediction is drawn to a target."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import jax
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


def huber_loss(error: Float[Array, "*batch"], limit: float | Array = 1.0) -> Float[Array, ""]:
    """Mean of half the squared error, which goes on as a straight line beyond `limit`.

    error: target minus prediction, in reward units.
    Source: Huber 1964; Mnih et al. 2015, whose clipped errors are its derivative.
    """
    size = jnp.abs(error)
    return jnp.where(size <= limit, 0.5 * jnp.square(error), limit * (size - 0.5 * limit)).mean()


def cross_entropy_loss(logit: Float[Array, "*batch"], target: Float[Array, "*batch"]) -> Float[Array, ""]:
    """Mean cross-entropy of a probability, given as its logit, against a target in [0, 1], in nats.

    Source: Kalashnikov et al. 2018 (arXiv:1806.10293), section 4.2, for values of success.
    """
    return (jax.nn.softplus(logit) - target * logit).mean()


def flow_matching_loss(
    velocity: Callable[[Array, Array], Array],
    action: Float[Array, "*batch dimensions"],
    noise: Float[Array, "*batch dimensions"],
    time: Float[Array, "*batch 1"],
) -> Float[Array, ""]:
    """Mean squared error of `velocity(x, time)`, on the straight line from noise to action, to that line.

    noise: standard normal.   time: uniform in [0, 1]: x is the noise at 0 and the action at 1.
    Sources: Lipman et al. 2023 (arXiv:2210.02747); Park et al. 2025 (arXiv:2502.02538).
    """
    x = (1 - time) * noise + time * action
    return squared_loss(action - noise - velocity(x, time))


Regression: TypeAlias = Literal["squared", "huber", "cross_entropy"]
REGRESSIONS: dict[Regression, Callable[[Array, Array], Array]] = {
    "squared": lambda prediction, target: squared_loss(target - prediction),
    "huber": lambda prediction, target: huber_loss(target - prediction),
    "cross_entropy": cross_entropy_loss,
}
"""The mean loss of predictions (logits of them: cross_entropy) against targets, by its name in settings."""


def gumbel_loss(
    error: Float[Array, "*batch"], temperature: float | Array, limit: float = 7.0
) -> Float[Array, ""]:
    """Mean of `exp(z) - z - 1` with `z = error / temperature`: least where `E exp(z)` is 1.

    A constant that regresses on Q over the behaviour's actions becomes their `soft_value`,
    `temperature * log E exp(Q / temperature)`, without a model of the behaviour.
    error: target minus prediction, in reward units.   limit: of z; what lies beyond has no gradient.
    Source: Garg et al. 2023 (arXiv:2301.02328), eq. 12, and the authors' code for the limit.
    """
    z = jnp.minimum(error / temperature, limit)
    return (jnp.exp(z) - z - 1).mean()
