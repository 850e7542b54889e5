"""Flows against velocities whose paths are known, and what policies of noise promise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suture.errors import RefusedInput
from suture.keys import key_for
from suture.nets.flow import FlowPolicy, JumpPolicy, NoisePolicy, euler
from suture.spaces import Box

SPACE = Box((3,))
NOISE = jax.random.normal(key_for(0, "act"), (10_000, 1))


def to_two_points(x: Any, time: float) -> Any:
    """The velocity from noise to -1 or 1, each with probability one half."""
    expected = jnp.tanh(time * x / (1 - time) ** 2)
    return (expected - x) / (1 - time)


def test_one_step_leads_to_the_mean_and_ten_to_the_two_ways() -> None:
    assert float(jnp.abs(euler(to_two_points, NOISE, 1)).max()) < 1e-6
    ten = np.asarray(euler(to_two_points, NOISE, 10))
    assert (np.abs(np.abs(ten) - 1) < 0.05).mean() > 0.9999
    assert abs((ten > 0).mean() - 0.5) < 0.02
    four = np.asarray(euler(to_two_points, NOISE, 4))
    assert (np.abs(np.abs(four) - 1) < 0.05).mean() < 0.99


def test_steps_are_taken_at_the_beginnings_of_equal_intervals() -> None:
    times = list[float]()

    def velocity(x: Any, time: float) -> Any:
        times.append(time)
        return jnp.full_like(x, time)

    moved = euler(velocity, jnp.zeros((1, 1)), 4)
    assert times == [0.0, 0.25, 0.5, 0.75]
    assert float(moved[0, 0]) == pytest.approx(sum(times) / 4)


def test_a_gaussian_arrives_where_it_must() -> None:
    """From a unit Gaussian to mean 0.3 and deviation 0.2, in steps small enough."""

    def velocity(x: Any, time: float) -> Any:
        spread = (1 - time) ** 2 + (0.2 * time) ** 2
        action = 0.3 + 0.04 * time / spread * (x - 0.3 * time)
        noise = (1 - time) / spread * (x - 0.3 * time)
        return action - noise

    end = np.asarray(euler(velocity, NOISE, 200))
    np.testing.assert_allclose(end, 0.3 + 0.2 * np.asarray(NOISE), atol=0.01)


@pytest.fixture(scope="module", params=["flow", "jump"])
def policy(request: Any) -> NoisePolicy:
    key = key_for(0, "init")
    if request.param == "flow":
        return FlowPolicy(SPACE, 2, (8,), 4, key)
    return JumpPolicy(SPACE, 2, (8,), key)


def test_samples_are_bounded_and_their_own(policy: NoisePolicy) -> None:
    seen = jnp.ones((500, 3))
    one, two = (policy(seen).sample(key_for(seed, "act")) for seed in (0, 1))
    assert one.shape == (500, 2)
    assert float(jnp.abs(one).max()) <= 1
    assert not np.array_equal(one, two)
    assert float(one.std(0).min()) > 0.02


def test_a_mode_is_one_action_of_an_observation(policy: NoisePolicy) -> None:
    """It depends neither on the row nor on the batch; it is what one draw becomes, not what noise 0 does."""
    seen = jnp.concatenate([jnp.ones((2, 3)), jnp.zeros((1, 3)), jnp.ones((1, 3))])
    modes = np.asarray(policy(seen).mode())
    np.testing.assert_allclose(modes[[1, 3]], modes[[0, 0]], atol=1e-6)
    np.testing.assert_allclose(policy(jnp.ones(3)).mode(), modes[0], atol=1e-6)
    still = jnp.clip(policy(seen[:1]).of(jnp.zeros((1, 2))), -1, 1)
    assert float(jnp.abs(still - modes[0]).max()) > 1e-3


def test_there_is_no_density(policy: NoisePolicy) -> None:
    answer = policy(jnp.ones((1, 3)))
    assert not answer.has_density
    with pytest.raises(RefusedInput, match="cannot say how likely"):
        answer.log_prob(jnp.zeros((1, 2)))


def test_the_velocity_sees_features_place_and_time() -> None:
    flow = FlowPolicy(SPACE, 2, (8,), 4, key_for(0, "init"))
    features, x = jnp.ones((5, 3)), jnp.ones((5, 2))
    usual = flow.velocity(features, x, 0.5)
    np.testing.assert_allclose(flow.velocity(features, x, jnp.full((5, 1), 0.5)), usual, atol=1e-6)
    for other in ((2 * features, x, 0.5), (features, 2 * x, 0.5), (features, x, 0.7)):
        assert float(jnp.abs(flow.velocity(*other) - usual).min()) > 1e-4
