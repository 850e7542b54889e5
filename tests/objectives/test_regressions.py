"""Losses of single answers against closed forms: Huber, cross-entropy, flow matching."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

from suture.objectives.regressions import (
    REGRESSIONS,
    cross_entropy_loss,
    flow_matching_loss,
    huber_loss,
)


def test_huber_by_hand() -> None:
    """Half the square up to 1, then a line that continues it; and with the corner at 2."""
    np.testing.assert_allclose(huber_loss(jnp.array([0.5, -1.0, 3.0])), (0.125 + 0.5 + 2.5) / 3, rtol=1e-6)
    np.testing.assert_allclose(huber_loss(jnp.array([3.0]), 2.0), 4.0, rtol=1e-6)
    slopes = jax.grad(lambda errors: 4 * huber_loss(errors))(jnp.array([0.5, -0.5, 7.0, -7.0]))
    np.testing.assert_allclose(slopes, [0.5, -0.5, 1.0, -1.0], rtol=1e-6)


def test_a_rare_outcome_moves_a_huber_answer_less() -> None:
    """0 in 90 % and 10 in 10 %: the mean is 1; with Huber's loss 0.9 q = 0.1, and q = 1/9."""
    outcomes = jnp.array([0.0] * 9 + [10.0])
    for name, exact in (("squared", 1.0), ("huber", 1 / 9)):
        slope = jax.grad(lambda q, loss=REGRESSIONS[name]: loss(q, outcomes))  # type: ignore[index]
        assert float(slope(jnp.float32(exact))) == pytest.approx(0.0, abs=1e-6)


def test_cross_entropy_is_that_of_the_probability() -> None:
    logit, target = np.array([-2.0, 0.0, 1.5, 30.0]), np.array([0.0, 0.25, 1.0, 1.0])
    q = special.expit(logit)
    exact = -(target * np.log(q) + (1 - target) * np.log1p(-q + 1e-300))
    np.testing.assert_allclose(
        cross_entropy_loss(jnp.asarray(logit), jnp.asarray(target)), exact.mean(), rtol=1e-5
    )
    slope = jax.grad(cross_entropy_loss)(jnp.asarray(logit, jnp.float32), jnp.asarray(target))
    np.testing.assert_allclose(slope, (q - target) / 4, atol=1e-6)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_cross_entropy_does_not_overflow(logit: float) -> None:
    value, slope = jax.value_and_grad(cross_entropy_loss)(jnp.float32(logit), jnp.float32(0.5))
    assert float(value) == pytest.approx(5e3)
    assert abs(float(slope)) == pytest.approx(0.5)


def test_flow_matching_by_hand() -> None:
    """At time 0.25 from noise 2 to action -2 a point is at 1 and must move by -4."""
    asked = list[tuple[float, float]]()

    def velocity(x: jax.Array, time: jax.Array) -> jax.Array:
        asked.append((float(x[0, 0]), float(time[0, 0])))
        return jnp.full_like(x, -3.0)

    action, noise = jnp.array([[-2.0]]), jnp.array([[2.0]])
    loss = flow_matching_loss(velocity, action, noise, jnp.array([[0.25]]))
    assert asked == [(1.0, 0.25)]
    assert float(loss) == pytest.approx(1.0)


def test_the_best_velocity_is_the_mean_of_those_that_pass() -> None:
    """Two actions, -1 and 1: at a point, their mean velocity, weighted by how likely each led there."""
    generator = np.random.default_rng(0)
    noise, time = generator.normal(size=(400_000, 1)), np.full((400_000, 1), 0.5)
    action = generator.choice([-1.0, 1.0], size=noise.shape)
    near = np.abs((1 - time) * noise + time * action - 0.3)[:, 0] < 0.02
    rows = (jnp.asarray(part[near]) for part in (action, noise, time))
    action, noise, time = rows
    found = optimize.minimize_scalar(
        lambda v: float(flow_matching_loss(lambda x, t: jnp.full_like(x, v), action, noise, time))
    ).x
    weights = np.exp(-0.5 * ((0.3 - 0.5 * np.array([-1.0, 1.0])) / 0.5) ** 2)
    exact = (weights * (np.array([-1.0, 1.0]) - 0.3) / 0.5).sum() / weights.sum()
    assert found == pytest.approx(exact, abs=0.05)
