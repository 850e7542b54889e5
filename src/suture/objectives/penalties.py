"""How values are penalised where the log does not vouch for them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.blocks import blocks_for, mean_over_blocks, over_blocks
from suture.nets.critics import ContinuousCritic
from suture.nets.mlp import MLP
from suture.nets.proposals import Proposals


def soft_maximum(
    q: Float[Array, "members samples *batch"],
    log_density: Array | float,
    temperature: float | Array = 1.0,
) -> Float[Array, " members *batch"]:
    """`T log sum_i exp((q_i - log_density_i) / T)`, of each member of an ensemble by itself.

    log_density: of the samples' proposals, (samples, *batch); 0 for all choices.   T: in reward units.
    Less the value of the logged action it is CQL's penalty. Over all choices it is exact. Over samples it
    is, at T = 1, the importance-sampled log-integral of exp(q) plus `log samples`: the authors' convention,
    which does not divide by the number of samples.
    Source: Kumar et al. 2020 (arXiv:2006.04779), eq. 4 and appendix F.
    """
    return temperature * jax.nn.logsumexp((q - log_density) / temperature, axis=1)


def soft_maxima(
    critic: ContinuousCritic,
    features: Float[Array, "batch features"],
    proposals: Proposals,
    temperature: float | Array,
) -> Float[Array, ""]:
    """`soft_maximum` over the proposals, summed over the critic's members; its mean over the batch.

    features: of the observations, by the critic's encoder.
    """
    blocks = blocks_for(*proposals.log_density.shape)
    asked = critic.mlp, jnp.asarray(temperature, jnp.float32)
    return mean_over_blocks(_soft_maxima, blocks, asked, features, jax.lax.stop_gradient(proposals))


def _soft_maxima(asked: tuple[MLP, Array], features: Array, proposals: Proposals) -> Array:
    mlp, temperature = asked
    q, proposals = _answers(mlp, features, proposals)
    return soft_maximum(q, proposals.log_density, temperature).sum(0).mean()


def _answers(mlp: MLP, features: Array, proposals: Proposals) -> tuple[Array, Proposals]:
    """Values (members, samples, batch), raised to their floor, and the proposals with samples first."""
    proposals = jax.tree.map(lambda array: jnp.swapaxes(array, 0, 1), proposals)
    q = mlp.of_two(features, proposals.action)[..., 0]
    return q if proposals.floor is None else jnp.maximum(q, proposals.floor), proposals


def drawn_soft_maxima(
    critic: ContinuousCritic,
    features: Float[Array, "batch features"],
    proposals: Proposals,
    temperature: float | Array,
    key: Key,
) -> Float[Array, ""]:
    """`soft_maxima`, whose gradient flows through one proposal of each row and member in place of all.

    The gradient of `T log sum exp(q_i / T)` is the mean of the gradients of q_i over i drawn from the soft
    maximum's own weights; one draw estimates it without bias, and only that answer is differentiated.
    """
    proposals = jax.lax.stop_gradient(proposals)
    fixed = jax.lax.stop_gradient((critic.mlp, features))

    def answers(block: tuple[Array, Proposals]) -> Array:
        return _answers(fixed[0], *block)[0]

    q = over_blocks(answers, blocks_for(*proposals.log_density.shape), (fixed[1], proposals))
    log_density = proposals.log_density.T
    value = soft_maximum(q, log_density, temperature)
    drawn = jax.random.categorical(key, (q - log_density) / temperature, axis=1)
    rows = jnp.arange(len(features))
    own = critic.of_own(features, proposals.action[rows, drawn])
    if proposals.floor is not None:
        own = jnp.maximum(own, proposals.floor[rows, drawn])
    return (value + own - jax.lax.stop_gradient(own)).sum(0).mean()


def diversity(slope: Float[Array, "members batch dimensions"]) -> Float[Array, ""]:
    """`1 / (N - 1)` times the mean over the batch of `sum_{i != j} cos(slope_i, slope_j)`.

    slope: gradients of each member's Q with respect to the logged action; where it is 0 it has no direction
    and counts as 0.   The result lies between -N / (N - 1), where they cancel, and N, where all are parallel
    and no member notices that the others over-estimate.
    Source: An et al. 2021 (arXiv:2110.01548), eq. 4, with the authors' 1e-10 beside each norm.
    """
    square = jnp.square(slope).sum(-1, keepdims=True)
    norm = jnp.sqrt(jnp.where(square > 0, square, 1.0)) + 1e-10
    direction = jnp.where(square > 0, slope / norm, 0.0)
    pairs = jnp.square(direction.sum(0)).sum(-1) - jnp.square(direction).sum((0, -1))
    return pairs.mean() / (len(slope) - 1)
