"""Weights and ascents against closed forms, and two remarks on advantage weighting as numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from suture.objectives.ascent import scaled_ascent, squared_distance
from suture.objectives.weights import exponential_weight, indicator_weight, softmax_weight, whiten


def test_softmax_weights_average_one_and_do_not_overflow() -> None:
    advantage = np.array([0.0, 0.5, -1.0])
    exact = 3 * np.exp(2 * advantage) / np.exp(2 * advantage).sum()
    np.testing.assert_allclose(softmax_weight(jnp.asarray(advantage), 2.0), exact, rtol=1e-6)
    far = softmax_weight(jnp.array([0.0, 1e6, 1e6, -1e30]), 2.0)
    np.testing.assert_allclose(far, [0.0, 2.0, 2.0, 0.0], rtol=1e-6)


def test_indicators_are_open_at_zero() -> None:
    np.testing.assert_array_equal(indicator_weight(jnp.array([-1.0, 0.0, 1e-9, 2.0])), [0.0, 0.0, 1.0, 1.0])


def test_whitened_by_hand() -> None:
    np.testing.assert_allclose(
        whiten(jnp.array([1.0, 7.0]), 3.0, 2.0), [-2 / 2.00001, 4 / 2.00001], rtol=1e-6
    )
    assert float(whiten(jnp.array([3.0]), 3.0, 0.0)[0]) == 0.0  # equal advantages: no infinity


def test_scaled_ascent_is_the_mean_over_the_mean_size() -> None:
    q = jnp.array([2.0, -1.0, 5.0])
    assert float(scaled_ascent(q)) == pytest.approx(-2.0 / (8.0 / 3.0))
    # The divisor is a constant: each gradient is -1 / (3 * mean|Q|), of one sign wherever Q is negative.
    np.testing.assert_allclose(jax.grad(scaled_ascent)(q), np.full(3, -1 / 8.0), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda x: scaled_ascent(100 * x))(q), np.full(3, -1 / 8.0), rtol=1e-6)
    assert float(scaled_ascent(jnp.zeros(3))) == 0.0


def test_squared_distance_is_a_sum_over_dimensions() -> None:
    one, other = jnp.array([[1.0, 2.0], [0.0, 0.0]]), jnp.array([[0.0, 0.0], [3.0, -4.0]])
    np.testing.assert_allclose(squared_distance(one, other), [5.0, 25.0])


def constrained_best(behaviour: np.ndarray, advantage: np.ndarray, price: float) -> np.ndarray:
    """argmax over policies of `E_pi A - price * KL(pi, behaviour)`, found numerically."""

    def policy(logits: np.ndarray) -> np.ndarray:
        weight = np.exp(logits - logits.max())
        return weight / weight.sum()

    def loss(logits: np.ndarray) -> float:
        pi = policy(logits)
        return float(price * (pi * np.log(pi / behaviour)).sum() - (pi * advantage).sum())

    return policy(optimize.minimize(loss, np.zeros(len(behaviour)), tol=1e-14).x)


@pytest.mark.parametrize("price", [0.5, 2.0, 4.0])
def test_the_temperature_is_the_price_of_the_divergence(price: float) -> None:
    """Not its inverse: at price eta the best policy is the behaviour times exp(A / eta)."""
    behaviour, advantage = np.array([0.6, 0.3, 0.1]), np.array([-0.4, 0.2, 1.8])
    best = constrained_best(behaviour, advantage, price)

    def weighted(inverse_temperature: float) -> np.ndarray:
        weight = behaviour * np.asarray(exponential_weight(jnp.asarray(advantage), inverse_temperature, 1e9))
        return weight / weight.sum()

    np.testing.assert_allclose(weighted(1 / price), best, atol=1e-5)
    assert np.abs(weighted(price) - best).max() > 0.1


def test_without_the_normaliser_shared_policies_weigh_states_by_their_spread() -> None:
    """Two states, one policy for both: weights exp(A) without Z(s) follow the state of the larger stakes.

    Behaviour (1/2, 1/2); advantages (1, -1) in one state, (-2, 2) in the other, temperature 1. Each state
    wants sigmoid(2) and sigmoid(-4) of the first choice; their mean is 0.4494. Weighted by Z(s) = cosh(1)
    and cosh(2) it is 0.2689.
    """
    advantage = jnp.array([[1.0, -1.0], [-2.0, 2.0]])
    weight = np.asarray(exponential_weight(advantage, 1.0, 1e9), np.float64) / 2
    z = weight.sum(1, keepdims=True)
    np.testing.assert_allclose(z[:, 0], np.cosh([1.0, 2.0]), rtol=1e-6)
    with_z, without_z = (weight / z).sum(0) / 2, weight.sum(0) / weight.sum()
    each = 1 / (1 + np.exp([-2.0, 4.0]))
    assert with_z[0] == pytest.approx(each.mean(), abs=1e-6)
    assert without_z[0] == pytest.approx(np.cosh([1.0, 2.0]) @ each / np.cosh([1.0, 2.0]).sum(), abs=1e-6)
    assert (round(float(with_z[0]), 4), round(float(without_z[0]), 4)) == (0.4494, 0.2689)
    # The batch's softmax divides all states by one number: it does not bring Z(s) back.
    flat = np.asarray(softmax_weight(advantage.reshape(-1), 1.0)).reshape(2, 2)
    np.testing.assert_allclose(flat.sum(0) / flat.sum(), without_z, rtol=1e-5)
