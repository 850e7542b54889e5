"""Divergences against closed forms of Gaussians, exact sums, and the rates at which estimates converge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from suture.keys import key_for
from suture.nets.distributions import Categorical, Gaussian, TanhGaussian
from suture.objectives.divergences import (
    Kernel,
    categorical_kl,
    feature_mmd_squared,
    gaussian_kl,
    gram,
    kl_from_samples,
    mmd_squared,
    policy_divergence,
    random_frequencies,
    root,
    unbiased_mmd_squared,
)
from suture.spaces import Array

GRID = (np.arange(4_000) + 0.5) / 4_000


def gaussian_mmd_squared(one: tuple[float, float], other: tuple[float, float], sigma: float) -> float:
    """Squared MMD of two normals (mean, variance) under exp(-d^2 / (2 sigma)), by integration."""

    def cross(a: tuple[float, float], b: tuple[float, float]) -> float:
        wide = sigma + a[1] + b[1]
        return float(np.sqrt(sigma / wide) * np.exp(-((a[0] - b[0]) ** 2) / (2 * wide)))

    return cross(one, one) + cross(other, other) - 2 * cross(one, other)


def quantiles(mean: float, deviation: float) -> jax.Array:
    """Evenly spaced quantiles of a normal as a sample (n, 1)."""
    return jnp.asarray(stats.norm.ppf(GRID, mean, deviation), jnp.float32)[:, None]


@pytest.mark.parametrize(("sigma", "exact"), [(1.0, 0.08795), (20.0, 0.02146), (400.0, 0.001217)])
def test_kernel_distance_of_two_normals(sigma: float, exact: float) -> None:
    """N(0, 1) and N(0.7, 1.5^2). Were sigma squared, 20 would give what 400 gives."""
    assert gaussian_mmd_squared((0, 1), (0.7, 2.25), sigma) == pytest.approx(exact, abs=5e-6)
    found = float(mmd_squared(quantiles(0, 1), quantiles(0.7, 1.5), "gaussian", sigma))
    assert found == pytest.approx(exact, abs=2e-4 * exact + 2e-5)


def test_the_unbiased_estimate_has_the_right_mean() -> None:
    """Over 200,000 pairs of samples of five; the biased one is higher by what pairs with oneself add."""
    one, two = (jax.random.normal(key_for(seed, "bootstrap"), (5, 200_000, 1)) for seed in (0, 1))
    other = 0.7 + 1.5 * two
    exact = gaussian_mmd_squared((0, 1), (0.7, 2.25), 1.0)
    assert float(unbiased_mmd_squared(one, other, "gaussian", 1.0).mean()) == pytest.approx(exact, abs=1.5e-3)
    assert float(unbiased_mmd_squared(one, two, "gaussian", 1.0).mean()) == pytest.approx(0.0, abs=1.5e-3)
    floor = 2 / 5 * (1 - np.sqrt(1 / 3))
    assert floor == pytest.approx(0.1677, abs=2e-3)
    assert float(mmd_squared(one, two, "gaussian", 1.0).mean()) == pytest.approx(floor, abs=1e-3)


def test_distances_by_hand() -> None:
    """Points 0 and (3, -4) at sigma 2: squared distance 25, absolute distance 7."""
    x, y = jnp.zeros((1, 1, 2)), jnp.array([[[3.0, -4.0]]])
    for kernel, closeness in (("gaussian", np.exp(-25 / 4)), ("laplacian", np.exp(-7 / 4))):
        np.testing.assert_allclose(gram(x, y, kernel, 2.0), [[[closeness]]], rtol=1e-5)
        np.testing.assert_allclose(mmd_squared(x, y, kernel, 2.0), [2 - 2 * closeness], rtol=1e-5)


def test_states_do_not_mix() -> None:
    """Each state of a batch has the distance that it has alone; order and repetition do not matter."""
    x, y = (jax.random.normal(key_for(seed, "bootstrap"), (4, 3, 2)) for seed in (0, 1))
    whole = mmd_squared(x, y, "laplacian", 1.0)
    for state in range(3):
        alone = mmd_squared(x[:, state], y[:, state], "laplacian", 1.0)
        np.testing.assert_allclose(whole[state], alone, rtol=1e-5)
    np.testing.assert_allclose(
        mmd_squared(x[::-1], jnp.concatenate([y, y]), "laplacian", 1.0), whole, atol=1e-6
    )
    np.testing.assert_allclose(mmd_squared(x, x, "laplacian", 1.0), 0.0, atol=1e-6)


@pytest.mark.parametrize(("kernel", "sigma"), [("gaussian", 0.5), ("laplacian", 1.5)])
def test_random_features_reach_the_kernel_at_the_root_of_their_number(kernel: Kernel, sigma: float) -> None:
    """Errors of the estimated kernel fall with slope -1/2 in the number of features, to the right limit."""
    x, y = (jax.random.normal(key_for(seed, "bootstrap"), (4, 2)) for seed in (0, 1))
    exact = mmd_squared(x, y, kernel, sigma)

    def error(features: int) -> float:
        keys = jax.random.split(key_for(2, "bootstrap"), 600)
        draws = jax.vmap(lambda k: random_frequencies(k, features, 2, kernel, sigma))(keys)
        found = jax.vmap(lambda frequencies: feature_mmd_squared(x, y, frequencies))(draws)
        return float(jnp.sqrt(jnp.square(found - exact).mean()))

    counts = (16, 64, 256)
    errors = [error(count) for count in counts]
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05), errors


def test_the_root_has_a_gradient_at_zero() -> None:
    assert float(root(jnp.zeros(()))) == pytest.approx(1e-3)
    assert np.isfinite(jax.grad(lambda x: root(mmd_squared(x, x, "gaussian", 1.0)))(jnp.ones((2, 1)))).all()
    assert float(root(jnp.float32(-1e-5))) == pytest.approx(1e-3), "rounding below 0 makes no NaN"


def test_kl_of_choices_is_the_exact_sum() -> None:
    policy, behaviour = np.array([[0.7, 0.2, 0.1]]), np.array([[0.2, 0.3, 0.5]])
    exact = (policy * np.log(policy / behaviour)).sum(-1)
    np.testing.assert_allclose(categorical_kl(jnp.log(policy), jnp.log(behaviour)), exact, rtol=1e-5)
    answers = Categorical(jnp.log(policy)), Categorical(jnp.log(behaviour))
    found = policy_divergence(*answers, key_for(0, "act"), kind="kl", samples=1, kernel="gaussian", sigma=1.0)
    np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_kl_from_samples_is_that_of_two_normals() -> None:
    """KL(N(0.3, 0.2^2), N(-0.1, 0.4^2)) in closed form, by evenly spaced quantiles of the first."""
    mean, deviation, other, wide = 0.3, 0.2, -0.1, 0.4
    exact = np.log(wide / deviation) + (deviation**2 + (mean - other) ** 2) / (2 * wide**2) - 0.5
    x = quantiles(mean, deviation)
    logs = [Gaussian(jnp.full((1,), m), jnp.log(jnp.full((1,), s))).log_prob(x) for m, s in
            ((mean, deviation), (other, wide))]  # fmt: skip
    assert float(kl_from_samples(*logs)) == pytest.approx(exact, abs=1e-3)


def fitted(target_log_density: object, start: float, temperature: float = 1.0) -> tuple[float, float]:
    """Mean and variance of the normal that minimises KL(normal, exp(target / temperature)), by descent."""
    noise = quantiles(0, 1)

    @jax.jit
    def descend(parameters: Array) -> Array:
        def loss(parameters: Array) -> Array:
            x = parameters[0] + jnp.exp(parameters[1]) * noise
            log_policy = Gaussian(parameters[:1], parameters[1:]).log_prob(x)
            return kl_from_samples(log_policy, target_log_density(x[:, 0]) / temperature)  # type: ignore[operator]

        def step(_: int, now: Array) -> Array:
            return now - 0.01 * jax.grad(loss)(now)

        return jax.lax.fori_loop(0, 4_000, step, parameters)

    mean, log_std = descend(jnp.array([start, -1.0]))
    return float(mean), float(jnp.exp(2 * log_std))


@pytest.mark.parametrize(("temperature", "mean", "variance"), [(0.1, 0.3833, 0.0417), (1.0, 0.0333, 0.1667)])
def test_the_regularised_bandit_has_its_closed_form(temperature: float, mean: float, variance: float) -> None:
    """Q = -(a - 0.5)^2 and behaviour N(-0.2, 0.25): the product of exp(Q / temperature) and the behaviour."""

    def tilted(x: Array) -> Array:
        return -jnp.square(x - 0.5) / temperature - jnp.square(x + 0.2) / (2 * 0.25)

    precision = 1 / 0.25 + 2 / temperature
    assert mean == pytest.approx((-0.2 / 0.25 + 2 * 0.5 / temperature) / precision, abs=5e-5)
    assert fitted(tilted, 0.0) == pytest.approx((mean, variance), abs=1e-3)


def test_this_is_the_divergence_that_seeks_one_mode() -> None:
    """Of a behaviour that acts +-1, KL(policy, behaviour) picks one side; the reverse would give 0."""

    def two_sided(x: Array) -> Array:
        return jnp.logaddexp(-jnp.square(x - 1) / 0.02, -jnp.square(x + 1) / 0.02)

    assert fitted(two_sided, 0.2)[0] == pytest.approx(1.0, abs=0.02)
    assert fitted(two_sided, -0.2)[0] == pytest.approx(-1.0, abs=0.02)


def test_imitation_is_the_divergence_that_covers_both_modes() -> None:
    """Of the same behaviour the likeliest normal, that of least KL(behaviour, policy), is N(0, 1.01)."""
    logged = jnp.concatenate([quantiles(-1, 0.1), quantiles(1, 0.1)])

    def loss(parameters: Array) -> Array:
        return -Gaussian(parameters[:1], parameters[1:]).log_likelihood(logged).mean()

    step = lambda _, now: now - 0.1 * jax.grad(loss)(now)  # noqa: E731
    mean, log_std = jax.jit(lambda start: jax.lax.fori_loop(0, 500, step, start))(jnp.array([0.7, -1.0]))
    assert (float(mean), float(jnp.exp(2 * log_std))) == pytest.approx((0.0, 1.01), abs=0.005)


def test_kl_of_squashed_gaussians_is_exact_however_close_to_the_edge() -> None:
    """That of the Gaussians before the tanh, as their own log-densities say; at 9, actions round to 1."""
    edge, middle = (Gaussian(jnp.full((2, 1), m), jnp.full((2, 1), s)) for m, s in ((9.0, -0.5), (7.5, 0.4)))
    exact = 0.9 + (np.exp(-1) + 1.5**2) / (2 * np.exp(0.8)) - 0.5
    np.testing.assert_allclose(gaussian_kl(edge, middle), exact, rtol=1e-5)
    answers = TanhGaussian(edge), TanhGaussian(middle)
    found = policy_divergence(*answers, key_for(0, "act"), kind="kl", samples=1, kernel="gaussian", sigma=1.0)
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    raw = edge.mean[0] + jnp.exp(edge.log_std[0]) * quantiles(0, 1)
    logs = [Gaussian(one.mean[0], one.log_std[0]).log_prob(raw) for one in (edge, middle)]
    assert float(kl_from_samples(*logs)) == pytest.approx(exact, abs=2e-3)


def test_samples_of_both_policies_are_drawn_apart() -> None:
    """Equal policies are the noise floor apart, not 0: with the noise shared their samples would be equal."""
    same = Gaussian(jnp.zeros((2_000, 1)), jnp.full((2_000, 1), jnp.log(0.1)))
    distance = policy_divergence(
        same, same, key_for(0, "act"), kind="mmd", samples=5, kernel="gaussian", sigma=0.01
    )
    assert float(distance.mean()) == pytest.approx(2 / 5 * (1 - np.sqrt(1 / 3)), abs=0.01)


def test_samples_beyond_the_limits_of_actions_are_at_them() -> None:
    """What a Gaussian without a tanh answers out there is played as the limit."""
    beyond = Gaussian(jnp.full((3, 2), 4.0), jnp.full((3, 2), -3.0))
    further = Gaussian(jnp.full((3, 2), 9.0), jnp.full((3, 2), -3.0))
    distance = policy_divergence(
        beyond, further, key_for(0, "act"), kind="mmd", samples=4, kernel="gaussian", sigma=1.0
    )
    np.testing.assert_allclose(distance, 0.0, atol=1e-6)
