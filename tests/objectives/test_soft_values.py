"""Soft values and what finds them: closed forms, limits, and the equivalence of XQL and BRAC-v."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import read_oracle

from suture.envs.tabular import canonical, canonical_behaviour
from suture.keys import key_for
from suture.objectives.regressions import gumbel_loss
from suture.objectives.returns import mixed_maximum, soft_value

HALVES = jnp.log(jnp.array([0.5, 0.5]))


def gumbel_minimiser(q: jax.Array, probability: jax.Array, temperature: float) -> float:
    """Where the weighted Gumbel loss is least, by bisection on its derivative."""

    def loss(value: jax.Array) -> jax.Array:
        return (probability * jax.vmap(lambda x: gumbel_loss(x - value, temperature))(q)).sum()

    slope, low, high = jax.jit(jax.grad(loss)), float(q.min()), float(q.max())
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(jnp.float32(middle)) > 0 else (middle, high)
    return low


@pytest.mark.parametrize(("temperature", "exact"), [(1.0, 0.62011), (1e-3, 1.0), (1e4, 0.5)])
def test_soft_value_of_two_points(temperature: float, exact: float) -> None:
    """Of {0, 1}, equally likely: the maximum as the temperature goes to 0, the mean towards infinity."""
    found = float(soft_value(jnp.array([0.0, 1.0]), HALVES, temperature))
    assert found == pytest.approx(exact, abs=1e-3 if temperature != 1 else 1e-5)


def test_soft_value_does_not_overflow_and_leaves_unsupported_choices_out() -> None:
    assert float(soft_value(jnp.array([0.0, 1e4]), HALVES, 1.0)) == pytest.approx(1e4 - np.log(2), rel=1e-6)
    only_first = jnp.array([0.0, -jnp.inf])
    assert float(soft_value(jnp.array([3.0, 1e3]), only_first, 0.5)) == pytest.approx(3.0)


def test_soft_value_is_the_best_value_less_the_divergence() -> None:
    """`max E_pi Q - temperature KL(pi, behaviour)`, against 2,000 random policies and the tilted one."""
    rng = np.random.default_rng(0)
    behaviour, q, temperature = np.array([0.5, 0.3, 0.2]), np.array([1.0, -2.0, 3.0]), 0.7

    def regularised(policy: np.ndarray) -> np.ndarray:
        return policy @ q - temperature * (policy * np.log(policy / behaviour)).sum(-1)

    best = float(soft_value(jnp.asarray(q), jnp.log(behaviour), temperature))
    tilted = behaviour * np.exp(q / temperature)
    assert regularised(tilted / tilted.sum()) == pytest.approx(best, abs=1e-5)
    assert regularised(rng.dirichlet(np.ones(3), 2_000)).max() < best


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_gumbel_regression_finds_the_soft_value(temperature: float) -> None:
    q, probability = jnp.array([0.0, 1.0, 0.3]), jnp.array([0.2, 0.5, 0.3])
    exact = float(soft_value(q, jnp.log(probability), temperature))
    assert gumbel_minimiser(q, probability, temperature) == pytest.approx(exact, abs=1e-4)


def test_gumbel_loss_by_hand() -> None:
    """Errors 1 and -2 at temperature 2: z is 0.5 and -1."""
    exact = (np.exp(0.5) - 0.5 - 1 + np.exp(-1) + 1 - 1) / 2
    assert float(gumbel_loss(jnp.array([1.0, -2.0]), 2.0)) == pytest.approx(exact, rel=1e-6)
    assert float(gumbel_loss(jnp.array([1e9]), 1.0)) == pytest.approx(np.exp(7) - 8, rel=1e-6)


def test_gumbel_regression_by_the_operator_is_brac_v() -> None:
    """Iterated on the canonical problem, XQL's operator reaches BRAC-v's values and policy."""
    oracle, mdp, behaviour = read_oracle(), canonical(), canonical_behaviour()
    log_behaviour = jnp.log(jnp.maximum(behaviour, 1e-38)) + jnp.where(behaviour > 0, 0.0, -jnp.inf)
    for temperature in (0.1, 0.5, 1.0):
        exact, value = oracle[f"soft_xql_bracv_lam{temperature:g}"], np.zeros(4)
        for _ in range(250):
            q = mdp.backup(value)
            value = np.asarray(soft_value(jnp.asarray(q), log_behaviour, temperature), np.float64)
        np.testing.assert_allclose(value, exact["V"], atol=2e-5)
        policy = behaviour * np.exp((q - value[:, None]) / temperature)
        np.testing.assert_allclose(policy, exact["pi"], atol=1e-4)
    for state in range(4):
        q_state, taken = jnp.asarray(q[state], jnp.float32), jnp.asarray(behaviour[state], jnp.float32)
        assert gumbel_minimiser(q_state, taken, 1.0) == pytest.approx(value[state], abs=1e-4)


def test_each_action_is_mixed_before_the_best_is_taken() -> None:
    """Two critics, two actions: mixed first, 0.75 * 1 + 0.25 * 3 = 1.5; the other order would give 2.25."""
    q = jnp.array([[[1.0], [2.0]], [[3.0], [0.0]]])
    assert float(mixed_maximum(q, 0.75)[0]) == pytest.approx(1.5)
    assert float(0.75 * q.max(1).min(0)[0] + 0.25 * q.max(1).max(0)[0]) == pytest.approx(2.25)
    assert float(mixed_maximum(q, 1.0)[0]) == pytest.approx(1.0)
    assert float(mixed_maximum(q, 0.0)[0]) == pytest.approx(3.0)


def test_the_mixture_shrinks_the_bias_of_the_minimum() -> None:
    """Of two standard normals: E min is -0.5642, and 0.75 min + 0.25 max is half of that."""
    q = jax.random.normal(key_for(0, "bootstrap"), (2, 1, 400_000))
    assert float(mixed_maximum(q, 1.0).mean()) == pytest.approx(-0.5642, abs=5e-3)
    assert float(mixed_maximum(q, 0.75).mean()) == pytest.approx(-0.2821, abs=5e-3)
