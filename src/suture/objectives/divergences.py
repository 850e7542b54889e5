"""How far a policy is from the behaviour: from probabilities, log-densities, or samples of both."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.distributions import Categorical, Distribution, Gaussian, TanhGaussian

Kernel: TypeAlias = Literal["gaussian", "laplacian"]
ROOT = 1e-6


def kl_from_samples(
    log_policy: Float[Array, " samples *batch"], log_behaviour: Float[Array, " samples *batch"]
) -> Float[Array, "*batch"]:
    """KL(policy, behaviour) in nats, estimated from the policy's own samples: `mean(log pi - log beta)`.

    Both log-densities are of the policy's samples; the gradient goes through the samples.
    Source: Wu et al. 2019 (arXiv:1911.11361), section 3.3, primal form.
    """
    return (log_policy - log_behaviour).mean(0)


def categorical_kl(
    log_policy: Float[Array, "*batch choices"], log_behaviour: Float[Array, "*batch choices"]
) -> Float[Array, "*batch"]:
    """KL(policy, behaviour) in nats: the exact sum over choices."""
    return (jnp.exp(log_policy) * (log_policy - log_behaviour)).sum(-1)


def gaussian_kl(policy: Gaussian, behaviour: Gaussian) -> Float[Array, "*batch"]:
    """KL(policy, behaviour) in nats, in closed form; that of their tanh images too, as tanh is one to one."""
    wider = policy.log_std - behaviour.log_std
    apart = (policy.mean - behaviour.mean) * jnp.exp(-behaviour.log_std)
    return (0.5 * (jnp.exp(2 * wider) + jnp.square(apart) - 1) - wider).sum(-1)


def _gaussian(difference: Array, sigma: float | Array) -> Array:
    return jnp.exp(-jnp.square(difference).sum(-1) / (2 * sigma))


def _laplacian(difference: Array, sigma: float | Array) -> Array:
    return jnp.exp(-jnp.abs(difference).sum(-1) / (2 * sigma))


KERNELS: dict[Kernel, Callable[[Array, float | Array], Array]] = {
    "gaussian": _gaussian,
    "laplacian": _laplacian,
}


def gram(
    x: Float[Array, "n *batch dimensions"],
    y: Float[Array, "m *batch dimensions"],
    kernel: Kernel,
    sigma: float | Array,
) -> Float[Array, "n m *batch"]:
    """The kernel of every pair.

    gaussian: `exp(-|x - y|_2^2 / (2 sigma))`, sigma NOT squared.   laplacian: `exp(-|x - y|_1 / (2 sigma))`.
    Source: Kumar et al. 2019 (arXiv:1906.00949), as in the authors' code.
    """
    return KERNELS[kernel](x[:, None] - y[None], sigma)


def mmd_squared(
    x: Float[Array, "n *batch dimensions"],
    y: Float[Array, "m *batch dimensions"],
    kernel: Kernel,
    sigma: float | Array,
) -> Float[Array, "*batch"]:
    """Squared maximum mean discrepancy of two samples, pairs of a point with itself included.

    This V-statistic is biased: where both are of one distribution it is `(1/n + 1/m) (1 - E k)`, not 0.
    Source: Gretton et al. 2012, eq. 5.
    """
    same = gram(x, x, kernel, sigma).mean((0, 1)) + gram(y, y, kernel, sigma).mean((0, 1))
    return same - 2 * gram(x, y, kernel, sigma).mean((0, 1))


def unbiased_mmd_squared(
    x: Float[Array, "n *batch dimensions"],
    y: Float[Array, "m *batch dimensions"],
    kernel: Kernel,
    sigma: float | Array,
) -> Float[Array, "*batch"]:
    """The U-statistic: no point is paired with itself, so that its mean is the true value. May be negative.

    Source: Gretton et al. 2012, eq. 3.
    """

    def within(z: Array) -> Array:
        n = len(z)
        return (gram(z, z, kernel, sigma).sum((0, 1)) - n) / (n * (n - 1))

    return within(x) + within(y) - 2 * gram(x, y, kernel, sigma).mean((0, 1))


def random_frequencies(
    key: Key, features: int, dimensions: int, kernel: Kernel, sigma: float | Array
) -> Float[Array, "features dimensions"]:
    """Draws from the spectrum of a kernel: N(0, 1 / sigma), or Cauchy(0, 1 / (2 sigma)) per dimension.

    Source: Rahimi & Recht 2007, figure 1, for the kernels as `gram` writes them.
    """
    if kernel == "gaussian":
        return jax.random.normal(key, (features, dimensions)) / jnp.sqrt(sigma)
    return jax.random.cauchy(key, (features, dimensions)) / (2 * sigma)


def random_features(
    x: Float[Array, "*batch dimensions"], frequencies: Float[Array, "features dimensions"]
) -> Float[Array, "*batch twice_features"]:
    """`[cos Wx, sin Wx] / sqrt(features)`: inner products estimate the kernel, error ~ features^(-1/2)."""
    angles = x @ frequencies.T
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1) / len(frequencies) ** 0.5


def feature_mmd_squared(
    x: Float[Array, "n *batch dimensions"],
    y: Float[Array, "m *batch dimensions"],
    frequencies: Float[Array, "features dimensions"],
) -> Float[Array, "*batch"]:
    """Squared distance of the mean random features: `mmd_squared` at 1 / sqrt(features) precision.

    At finitely many features it can be 0 for different distributions.   Source: Rahimi & Recht 2007.
    """
    difference = random_features(x, frequencies).mean(0) - random_features(y, frequencies).mean(0)
    return jnp.square(difference).sum(-1)


def root(squared: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The MMD itself, `sqrt(squared + 1e-6)`: its gradient stays finite at 0.

    Source: Kumar et al. 2019 (arXiv:1906.00949), as in the authors' code.
    """
    return jnp.sqrt(jnp.maximum(squared, 0.0) + ROOT)


def policy_divergence(
    policy: Distribution,
    behaviour: Distribution,
    key: Key,
    *,
    kind: Literal["kl", "mmd"],
    samples: int,
    kernel: Kernel,
    sigma: float | Array,
) -> Float[Array, "*batch"]:
    """How far a policy is from the behaviour in each state: exact KL where it has a form, else from samples.

    policy, behaviour: their answers to the observations.   samples: of each, drawn with independent noise.
    """
    if isinstance(policy, Categorical) and isinstance(behaviour, Categorical):
        return categorical_kl(policy.log_probabilities(), behaviour.log_probabilities())
    if kind == "kl" and isinstance(policy, TanhGaussian) and isinstance(behaviour, TanhGaussian):
        return gaussian_kl(policy.base, behaviour.base)
    ours, theirs = (jax.random.split(k, samples) for k in jax.random.split(key))
    if kind == "mmd":  # actions are within [-1, 1], also those of a Gaussian without a tanh
        drawn = jax.vmap(policy.sample)(ours), jax.vmap(behaviour.sample)(theirs)
        mine, others = (jnp.clip(actions, -1.0, 1.0) for actions in drawn)
        return mmd_squared(mine, others, kernel, sigma)
    action, log_policy = jax.vmap(policy.sample_and_log_prob)(ours)
    return kl_from_samples(log_policy, jax.vmap(behaviour.log_prob)(action))
