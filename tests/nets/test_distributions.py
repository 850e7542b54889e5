"""Distributions against SciPy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from suture.nets.distributions import CENSORED, EDGE, Categorical, Gaussian, Mixture, Point, TanhGaussian

RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(4, 3)).astype(np.float32)
LOG_STD = RNG.uniform(-1, 0.5, (4, 3)).astype(np.float32)
ACTION = RNG.uniform(-0.95, 0.95, (4, 3)).astype(np.float32)
KEY = jax.random.key(0)
MANY = 40_000


def gaussian(mean: object = MEAN, log_std: object = LOG_STD) -> Gaussian:
    return Gaussian(jnp.asarray(mean), jnp.asarray(log_std))


def test_gaussian_is_scipy_s() -> None:
    frozen = stats.norm(MEAN, np.exp(LOG_STD))
    np.testing.assert_allclose(gaussian().log_prob(jnp.asarray(ACTION)), frozen.logpdf(ACTION).sum(-1), 1e-5)
    np.testing.assert_allclose(gaussian().entropy(), frozen.entropy().sum(-1), 1e-5)
    np.testing.assert_array_equal(gaussian().mode(), MEAN)


def test_one_log_std_serves_every_row() -> None:
    """The state-independent log-std of IQL's policy counts once for each row."""
    shared = gaussian(MEAN, LOG_STD[0])
    frozen = stats.norm(MEAN, np.exp(LOG_STD[0]))
    np.testing.assert_allclose(shared.entropy(), frozen.entropy().sum(-1), 1e-5)
    np.testing.assert_allclose(shared.log_prob(jnp.asarray(ACTION)), frozen.logpdf(ACTION).sum(-1), 1e-5)
    assert shared.sample(KEY).shape == (4, 3)


def test_gaussian_samples_have_its_moments() -> None:
    sample = np.asarray(gaussian(np.full((MANY, 1), 0.3), np.full((MANY, 1), -0.7)).sample(KEY))
    assert abs(sample.mean() - 0.3) < 0.01
    assert abs(sample.std() - np.exp(-0.7)) < 0.01


def test_tanh_gaussian_is_the_change_of_variables() -> None:
    density = stats.norm(MEAN, np.exp(LOG_STD)).logpdf(np.arctanh(ACTION)) - np.log1p(-np.square(ACTION))
    found = TanhGaussian(gaussian()).log_prob(jnp.asarray(ACTION))
    np.testing.assert_allclose(found, density.sum(-1), 1e-4)
    np.testing.assert_allclose(TanhGaussian(gaussian()).mode(), np.tanh(MEAN), 1e-6)


def test_tanh_gaussian_integrates_to_one() -> None:
    one = TanhGaussian(gaussian([[0.4]], [[-0.5]]))
    grid = np.linspace(-1 + 1e-4, 1 - 1e-4, 20_001)
    log_density = jax.vmap(lambda a: one.log_prob(a[None, None])[0])(jnp.asarray(grid, jnp.float32))
    assert abs(integrate.simpson(np.exp(np.asarray(log_density)), x=grid) - 1) < 1e-3


@pytest.mark.parametrize("edge", [-1.0, 1.0, 1.5])
def test_tanh_gaussian_survives_actions_at_and_beyond_the_edge(edge: float) -> None:
    """Logged actions of exactly 1 are common; log-density and gradient stay finite there."""

    def log_prob(mean: jax.Array) -> jax.Array:
        return TanhGaussian(gaussian(mean, LOG_STD)).log_prob(jnp.full((4, 3), edge)).sum()

    value, gradient = jax.value_and_grad(log_prob)(jnp.asarray(MEAN))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    inside = TanhGaussian(gaussian()).log_prob(jnp.full((4, 3), np.clip(edge, -EDGE, EDGE), jnp.float32))
    np.testing.assert_allclose(value, inside.sum(), 1e-6)


def test_what_saturates_is_known_to_lie_at_least_there() -> None:
    """Per dimension: the density, or beyond 0.95 the probability of the tail; both ends; with a gradient."""
    logged, limit = np.float32([[0.3, 0.96, -1.0]]), np.arctanh(CENSORED)
    one = TanhGaussian(gaussian(MEAN[:1], LOG_STD[:1]))
    density = stats.norm(MEAN[0, 0], np.exp(LOG_STD[0, 0])).logpdf(np.arctanh(0.3)) - np.log(1 - 0.3**2)
    above = stats.norm(MEAN[0, 1], np.exp(LOG_STD[0, 1])).logsf(limit)
    below = stats.norm(MEAN[0, 2], np.exp(LOG_STD[0, 2])).logcdf(-limit)
    np.testing.assert_allclose(one.log_likelihood(jnp.asarray(logged)), density + above + below, rtol=1e-4)

    def of(mean: jax.Array) -> jax.Array:
        return TanhGaussian(gaussian(mean, LOG_STD[:1])).log_likelihood(jnp.asarray(logged)).sum()

    slope = jax.grad(of)(jnp.float32([[0.0, 0.0, 40.0]]))
    assert np.isfinite(slope).all()
    assert slope[0, 1] > 0 > slope[0, 2]


def test_tanh_gaussian_samples_with_their_own_log_prob() -> None:
    sure = TanhGaussian(gaussian(MEAN, LOG_STD - 1))
    sample, log_prob = sure.sample_and_log_prob(KEY)
    np.testing.assert_array_equal(sample, sure.sample(KEY))
    np.testing.assert_allclose(log_prob, sure.log_prob(sample), rtol=1e-3, atol=1e-3)
    far = TanhGaussian(gaussian([[12.0]], [[0.0]]))  # every sample rounds to 1: only the raw value tells
    raw = np.asarray(far.base.sample(KEY), np.float64)
    exact = stats.norm(12, 1).logpdf(raw) - (2 * (np.log(2) - raw - np.log1p(np.exp(-2 * raw))))
    np.testing.assert_allclose(far.sample_and_log_prob(KEY)[1], exact.sum(-1), 1e-5)


def test_mixture_is_the_weighted_sum_of_its_parts() -> None:
    logits = RNG.normal(size=(4, 2)).astype(np.float32)
    means, log_stds = np.stack([MEAN, -MEAN], 1), np.stack([LOG_STD, LOG_STD - 0.3], 1)
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    parts = stats.norm(means, np.exp(log_stds)).pdf(ACTION[:, None]).prod(-1)
    mixture = Mixture(*map(jnp.asarray, (logits, means, log_stds)))
    np.testing.assert_allclose(
        mixture.log_prob(jnp.asarray(ACTION)), np.log((weights * parts).sum(-1)), rtol=1e-4
    )


def test_mixture_samples_its_parts_by_weight_and_its_mode_is_the_heaviest_part() -> None:
    logits = np.tile(np.log([0.2, 0.8]).astype(np.float32), (MANY, 1))
    means = np.tile(np.float32([[-0.5], [0.5]]), (MANY, 1, 1))
    log_stds = np.tile(np.float32([[-4.0], [-1.0]]), (MANY, 1, 1))
    mixture = Mixture(*map(jnp.asarray, (logits, means, log_stds)))
    sample = np.asarray(mixture.sample(KEY))
    wide = np.diff(stats.norm(0.5, np.exp(-1)).cdf([-0.6, -0.4]))[0]
    assert abs((np.abs(sample + 0.5) < 0.1).mean() - (0.2 + 0.8 * wide)) < 0.01
    assert np.asarray(mixture.mode()[0]) == pytest.approx([0.5])  # the other peak is higher


def test_categorical_is_scipy_s() -> None:
    logits = RNG.normal(size=(5, 4)).astype(np.float32)
    probability = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    choice = np.array([0, 1, 2, 3, 1])
    one = Categorical(jnp.asarray(logits))
    np.testing.assert_allclose(one.log_prob(jnp.asarray(choice)), np.log(probability[range(5), choice]), 1e-5)
    np.testing.assert_allclose(one.entropy(), stats.entropy(probability, axis=-1), 1e-5)
    np.testing.assert_array_equal(one.mode(), probability.argmax(-1))
    many = np.asarray(Categorical(jnp.tile(logits[:1], (MANY, 1))).sample(KEY))
    np.testing.assert_allclose(np.bincount(many, minlength=4) / MANY, probability[0], atol=0.01)


def test_point_is_a_unit_gaussian_without_its_constant() -> None:
    point = Point(jnp.asarray(MEAN))
    expected = stats.norm(MEAN, 1).logpdf(ACTION).sum(-1) + 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(point.log_prob(jnp.asarray(ACTION)), expected, 1e-5)
    np.testing.assert_array_equal(point.sample(KEY), MEAN)
    np.testing.assert_array_equal(point.mode(), MEAN)
