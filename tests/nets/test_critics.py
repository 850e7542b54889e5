"""Ensembles of critics: their pessimism in closed form, and critics that answer with probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suture.keys import key_for
from suture.nets.critics import SigmoidCritic, critic_for, pessimistic
from suture.spaces import Box, Discrete

Q = jnp.array([[1.0, -2.0, 5.0], [3.0, -2.0, 5.0], [8.0, 4.0, 5.0]])


def test_the_minimum() -> None:
    np.testing.assert_array_equal(pessimistic(Q, None), [1.0, -2.0, 5.0])


@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_the_mean_less_deviations(spread: float) -> None:
    """(1, 3, 8) has mean 4 and variance 26 / 3; (-2, -2, 4) has 0 and 8; three fives have 5 and 0."""
    exact = np.array([4.0, 0.0, 5.0]) - spread * np.sqrt([26 / 3, 8.0, 0.0])
    np.testing.assert_allclose(pessimistic(Q, spread), exact, atol=1e-5)
    np.testing.assert_allclose(jax.jit(pessimistic)(Q, jnp.float32(spread)), exact, atol=1e-5)


def test_its_gradient_is_finite_where_all_agree() -> None:
    """The root of a variance of 0 has no slope: there, and for one critic alone, only the mean has one."""
    slopes = np.asarray(jax.grad(lambda q: pessimistic(q, 2.0).sum())(Q))
    np.testing.assert_allclose(slopes[:, 2], 1 / 3, rtol=1e-6)
    deviation = np.array([1.0, 3.0, 8.0]) - 4
    exact = 1 / 3 - 2 * deviation / (3 * np.sqrt(26 / 3))
    np.testing.assert_allclose(slopes[:, 0], exact, rtol=1e-5)
    alone = jax.grad(lambda q: pessimistic(q, 2.0).sum())(Q[:1])
    np.testing.assert_array_equal(alone, 1.0)


@pytest.mark.parametrize(("space", "size", "action"), [
    (Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2), 2, jnp.ones((5, 2))),
    (Discrete(4), 4, jnp.zeros(5, jnp.int32)),
])  # fmt: skip
def test_a_critic_knows_its_actions_and_can_be_a_logit(
    space: Box | Discrete, size: int, action: jax.Array
) -> None:
    critic = critic_for(Box((3,)), space, (8,), 2, key_for(0, "init"))
    assert critic.action_size == size
    likely = SigmoidCritic(critic)
    assert likely.action_size == size
    seen = jax.random.normal(key_for(0, "act"), (5, 3))
    exact = 1 / (1 + np.exp(-np.asarray(critic(seen, action), np.float64)))
    np.testing.assert_allclose(likely(seen, action), exact, rtol=1e-5)
    np.testing.assert_array_equal(likely.first()(seen, action), likely(seen, action)[:1])
