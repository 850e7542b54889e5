"""Objectives against numbers computed by hand, closed forms, and the properties of expectiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from suture.objectives.regressions import expectile_loss, squared_loss
from suture.objectives.returns import one_step_target
from suture.objectives.weights import exponential_weight

LEVELS = st.floats(0.02, 0.98)
SAMPLES = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=20)


@jax.jit
def minimiser(sample: jax.Array, weight: jax.Array, level: jax.Array) -> jax.Array:
    """Where the weighted expectile loss is least, by bisection on its derivative."""

    def loss(value: jax.Array) -> jax.Array:
        return (jax.vmap(lambda x: expectile_loss(x - value, level))(sample) * weight).sum()

    def halve(_: int, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bounds
        middle = (low + high) / 2
        rising = jax.grad(loss)(middle) > 0
        return jnp.where(rising, low, middle), jnp.where(rising, middle, high)

    return jax.lax.fori_loop(0, 40, halve, (sample.min() - 1e-3, sample.max() + 1e-3))[0]


def expectile(sample: object, level: float, weight: object = None) -> float:
    """The expectile of a sample; equal weights where none are given. Short samples share one program."""
    values = np.asarray(sample, np.float32)
    mass = np.full(len(values), 1 / len(values)) if weight is None else np.asarray(weight)
    short = max(0, 20 - len(values))
    values, mass = np.pad(values, (0, short), mode="edge"), np.pad(mass, (0, short))
    return float(minimiser(values, mass.astype(np.float32), np.float32(level)))


def test_expectile_loss_by_hand() -> None:
    """Errors 2 and -1 at level 0.9: (0.9 * 4 + 0.1 * 1) / 2."""
    assert float(expectile_loss(jnp.array([2.0, -1.0]), 0.9)) == pytest.approx(1.85)
    assert float(expectile_loss(jnp.array([2.0, -1.0]), 0.1)) == pytest.approx(0.65)


def test_squared_loss_by_hand() -> None:
    assert float(squared_loss(jnp.array([2.0, -1.0]))) == pytest.approx(2.5)
    assert float(expectile_loss(jnp.array([2.0, -1.0]), 0.5)) == pytest.approx(1.25)


@pytest.mark.parametrize(("p", "level", "exact"), [
    (0.01, 0.7, 0.0230), (0.01, 0.9, 0.0833), (0.01, 0.99, 0.5), (0.01, 0.999, 0.9098), (0.5, 0.9, 0.9),
])  # fmt: skip
def test_expectile_of_two_points(p: float, level: float, exact: float) -> None:
    closed = level * p / (level * p + (1 - level) * (1 - p))
    assert closed == pytest.approx(exact, abs=5e-5)
    assert expectile([0.0, 1.0], level, [1 - p, p]) == pytest.approx(closed, abs=1e-5)


@pytest.mark.parametrize(("level", "uniform", "normal"), [
    (0.5, 0.5, 0.0), (0.7, 0.60436, 0.33712), (0.9, 0.75, 0.86159), (0.99, 0.90867, 1.71744),
])  # fmt: skip
def test_expectile_of_uniform_and_normal(level: float, uniform: float, normal: float) -> None:
    """On the quantiles of each at 20,000 equal steps."""
    quantiles = (np.arange(20_000) + 0.5) / 20_000
    assert expectile(quantiles, level) == pytest.approx(uniform, abs=1e-4)
    assert expectile(stats.norm.ppf(quantiles), level) == pytest.approx(normal, abs=1e-3)


def test_an_expectile_is_no_quantile() -> None:
    """At level 0.5 it is the mean, 2, not the median, 1 (the pinball loss would give that)."""
    assert expectile([0.0, 1.0, 5.0], 0.5) == pytest.approx(2.0, abs=1e-4)


@given(SAMPLES, LEVELS, LEVELS)
def test_expectiles_rise_with_the_level(sample: list[float], one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert expectile(sample, low) <= expectile(sample, high) + 1e-3


@given(SAMPLES, LEVELS, st.floats(-50, 50, width=32))
def test_expectiles_move_with_the_sample(sample: list[float], level: float, shift: float) -> None:
    moved = expectile(np.asarray(sample) + shift, level)
    assert moved == pytest.approx(expectile(sample, level) + shift, abs=5e-3)


@given(SAMPLES, LEVELS)
def test_expectiles_mirror(sample: list[float], level: float) -> None:
    """The expectile of the negated sample is the negated expectile at the opposite level."""
    mirrored = -expectile(-np.asarray(sample), 1 - level)
    assert mirrored == pytest.approx(expectile(sample, level), abs=5e-3)


def test_one_step_target_by_hand() -> None:
    target = one_step_target(jnp.array([1.0, 1.0]), jnp.array([0.9, 0.0]), jnp.array([10.0, 10.0]))
    np.testing.assert_allclose(target, [10.0, 1.0])


def test_weights_by_hand() -> None:
    advantage = jnp.array([0.0, 0.5, -1.0])
    np.testing.assert_allclose(exponential_weight(advantage, 3.0, 100.0), np.exp([0.0, 1.5, -3.0]), rtol=1e-6)
    np.testing.assert_array_equal(exponential_weight(advantage, 0.0, 100.0), 1.0)


@pytest.mark.parametrize("advantage", [10.0, 1000.0, 1e30, float("inf")])
def test_weights_are_clipped_before_they_overflow(advantage: float) -> None:
    """A = 10 at inverse temperature 3 weighs the limit, not e^30; no advantage makes an infinity or a NaN."""
    weight = exponential_weight(jnp.array([advantage]), 3.0, 100.0)
    np.testing.assert_allclose(weight, [100.0], rtol=1e-6)
    gradient = jax.grad(lambda a: exponential_weight(a, 3.0, 100.0))(jnp.float32(min(advantage, 1e30)))
    assert np.isfinite(gradient)
