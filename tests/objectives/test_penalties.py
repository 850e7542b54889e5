"""Penalties against closed forms: CQL's soft maximum and its estimate from samples, and EDAC's diversity."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from suture.nets.critics import critic_for, pessimistic
from suture.nets.distributions import Gaussian, TanhGaussian
from suture.nets.proposals import Proposals, propose
from suture.objectives.penalties import diversity, drawn_soft_maxima, soft_maxima, soft_maximum
from suture.objectives.returns import with_entropy
from suture.spaces import Box

KEY = jax.random.key(0)
Q = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 3)), jnp.float32)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_soft_maximum_by_hand(temperature: float) -> None:
    exact = temperature * np.log(np.exp(np.asarray(Q, np.float64) / temperature).sum(1))
    np.testing.assert_allclose(soft_maximum(Q, 0.0, temperature), exact, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(soft_maximum(Q, 2.0, temperature), exact - 2, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e4])
def test_the_gap_of_equal_values_is_the_log_of_their_number(value: float) -> None:
    equal = jnp.full((1, 5, 1), value)
    np.testing.assert_allclose(soft_maximum(equal, 0.0)[0] - value, np.log(5), rtol=1e-5, atol=1e-3)


def test_the_gradient_of_the_gap_is_softmax_less_what_was_logged() -> None:
    logged = jnp.array([1, 0, 3])

    def gap(q: Any) -> Any:
        return (soft_maximum(q, 0.0) - q[:, logged, jnp.arange(3)]).sum()

    exact = jax.nn.softmax(Q, axis=1) - jax.nn.one_hot(logged, 4).T
    np.testing.assert_allclose(jax.grad(gap)(Q), exact, atol=1e-6)


def test_each_member_of_an_ensemble_has_its_own_soft_maximum() -> None:
    """A listed fault (Unifloral): the logsumexp runs over the ensemble too."""
    gradient = jax.grad(lambda q: soft_maximum(q, 0.0)[0].sum())(Q)
    np.testing.assert_array_equal(gradient[1], 0.0)
    np.testing.assert_allclose(gradient[0].sum(0), 1.0, atol=1e-6)


def test_an_unseen_value_falls_by_the_logarithm_of_time() -> None:
    """Gradient flow on the penalty alone: d q / d t = -softmax(q), so q loses log 10 in every decade."""
    q, step = jnp.zeros((1, 2, 1)), 1.0

    @jax.jit
    def flow(q: Any, steps: Any) -> Any:
        def one(_: int, q: Any) -> Any:
            slope = jax.grad(lambda value: (soft_maximum(q.at[0, 0].set(value), 0.0)).sum())(q[0, 0])
            return q.at[0, 0].add(-step * slope)  # the logged action's value stays at 0

        return jax.lax.fori_loop(0, steps, one, q)

    ends = [float(flow(q, steps)[0, 0, 0]) for steps in (1_000, 10_000, 100_000)]
    np.testing.assert_allclose(np.diff(ends), -np.log(10), atol=0.01)


def value(action: Any) -> Any:
    """Q on [-1, 1], with a peak that neither uniform actions nor the policies below hit often."""
    return 3.0 * jnp.exp(-8.0 * jnp.square(action - 0.4))


@functools.cache
def estimate(samples: int, fault: str = "") -> float:
    """The mean of `soft_maximum - log(3 samples)` over many rows, from three kinds of proposals."""

    def mean(key: Any) -> Any:
        policies = (
            TanhGaussian(Gaussian(*(jnp.full((50_000 // samples, 1), number) for number in numbers)))
            for numbers in ((0.2, -0.5), (-0.3, 0.3))
        )
        proposals = propose(*policies, key, samples)
        action, density = jnp.moveaxis(proposals.action, 1, 0)[..., 0], proposals.log_density.T
        q = value(action)
        if fault == "no densities":
            density = jnp.zeros_like(density)
        if fault == "Q at the next observation":
            q = q.at[2 * samples :].multiply(0.2)
        return soft_maximum(q[None], density).mean() - np.log(3 * samples)

    return float(jax.jit(mean)(KEY))


def test_samples_estimate_the_integral() -> None:
    """From below, by Jensen's inequality, and the closer the more samples there are."""
    exact = float(np.log(integrate.quad(lambda a: np.exp(value(a)), -1, 1)[0]))
    few, some, many = (estimate(samples) for samples in (1, 10, 100))
    assert few < some < many < exact + 2e-3
    assert exact - many < 5e-3
    assert 5e-3 < exact - some < 0.1


@pytest.mark.parametrize("fault", ["no densities", "Q at the next observation"])
def test_without_their_densities_or_at_another_state_samples_estimate_something_else(fault: str) -> None:
    exact = float(np.log(integrate.quad(lambda a: np.exp(value(a)), -1, 1)[0]))
    assert abs(estimate(100, fault) - exact) > 0.1


@pytest.mark.parametrize(("floor", "temperature"), [(None, 1.0), (0.3, 1.0), (None, 0.5)])
def test_one_drawn_answer_carries_the_gradient_without_bias(floor: float | None, temperature: float) -> None:
    """The value is the exact one, and the mean gradient over many draws is the exact gradient."""
    action, density = jax.random.uniform(KEY, (6, 9, 2), minval=-1), jnp.linspace(-2.0, 0.0, 54)
    raised = None if floor is None else jnp.full((6, 9), floor)
    rows = jax.random.normal(KEY, (6, 3)), Proposals(action, density.reshape(6, 9), raised), temperature
    critic = critic_for(Box((3,)), Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2), (16,), 2, KEY)

    def exact(net: Any) -> Any:
        return soft_maxima(net, *rows)

    def drawn(net: Any, key: Any) -> Any:
        return drawn_soft_maxima(net, *rows, key)

    keys = jax.random.split(KEY, 4000)
    values, gradients = jax.jit(jax.vmap(eqx.filter_value_and_grad(drawn), (None, 0)))(critic, keys)
    value, gradient = eqx.filter_value_and_grad(exact)(critic)
    np.testing.assert_allclose(values, value, rtol=1e-5)
    for many, one in zip(jax.tree.leaves(gradients), jax.tree.leaves(gradient), strict=True):
        error = np.asarray(many.std(0)) / np.sqrt(len(keys))
        assert (np.abs(many.mean(0) - one) <= 5 * error + 1e-6).all()
        assert (error < 0.1 * np.abs(one).max()).all(), "the test would not notice"


def slopes(*members: list[float]) -> Any:
    """One row."""
    return jnp.asarray(members, jnp.float32)[:, None]


def test_diversity_by_hand() -> None:
    """Cosines 0, 1 / sqrt 2, 1 / sqrt 2, both ways round, divided by N - 1 = 2; lengths do not matter."""
    found = diversity(slopes([2.0, 0.0], [0.0, 0.1], [3.0, 3.0]))
    np.testing.assert_allclose(found, np.sqrt(2), rtol=1e-5)


@pytest.mark.parametrize("members", [2, 3, 10])
def test_diversity_has_its_bounds(members: int) -> None:
    """N where all are parallel; -N / (N - 1) where they cancel."""
    parallel = jnp.arange(1.0, members + 1)[:, None, None] * jnp.ones((members, 4, 3))
    np.testing.assert_allclose(diversity(parallel), members, rtol=1e-5)
    angle = 2 * np.pi * np.arange(members) / members
    star = jnp.asarray(np.stack([np.cos(angle), np.sin(angle)], -1)[:, None], jnp.float32)
    np.testing.assert_allclose(diversity(star), -members / (members - 1), rtol=1e-5)
    anything = diversity(jax.random.normal(KEY, (members, 50, 3)))
    assert -members / (members - 1) < float(anything) < members


def test_a_slope_of_zero_has_no_direction_and_makes_no_nan() -> None:
    with_zero = slopes([0.0, 0.0], [1.0, 0.0], [1.0, 0.0])
    np.testing.assert_allclose(diversity(with_zero), 1.0, rtol=1e-6)
    gradient = np.asarray(jax.grad(diversity)(with_zero))
    np.testing.assert_array_equal(gradient[0], 0.0)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("members", [2, 5, 10, 50])
def test_the_minimum_of_normal_critics(members: int) -> None:
    """Its exact mean, which `mu - sigma quantile((N - pi / 8) / (N - pi / 4 + 1))` is near (eq. 2)."""
    density = lambda x: members * x * stats.norm.pdf(x) * stats.norm.sf(x) ** (members - 1)  # noqa: E731
    exact = integrate.quad(density, -10, 10)[0]
    draws = 1.0 + 2.0 * jax.random.normal(KEY, (members, 40_000))
    assert float(pessimistic(draws, None).mean()) == pytest.approx(1.0 + 2.0 * exact, abs=0.02)
    near = -stats.norm.ppf((members - np.pi / 8) / (members - np.pi / 4 + 1))
    assert near == pytest.approx(exact, abs=0.04)
    if members == 2:
        assert exact == pytest.approx(-0.5642, abs=1e-4)


def test_value_with_entropy_by_hand() -> None:
    np.testing.assert_allclose(with_entropy(jnp.array([1.0, 2.0]), jnp.log(jnp.array([0.5, 1.0])), 2.0),
                               [1 + 2 * np.log(2), 2.0], rtol=1e-6)  # fmt: skip
