"""The fixed points of the canonical MDP, reached by the real update of IQL with tables for networks."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import LOGGED, probabilities, read_oracle, solve, worth

from suture.algorithms.iql import IQL
from suture.envs.tabular import canonical
from suture.envs.tabular import evaluate as evaluate_exactly


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return read_oracle()


@functools.cache
def tables(expectile: float, inverse_temperature: float = 3.0) -> tuple[Any, Any, Any]:
    """V (4,), Q (4, 3) of the smaller critic, and the policy (4, 3), at the fixed point."""
    algorithm = IQL(
        hidden=(), discount=0.9, expectile=expectile, inverse_temperature=inverse_temperature,
        actor_schedule="constant", target_rate=0.05, max_weight=1e9,
    )  # fmt: skip
    state = solve(algorithm)
    states = jnp.arange(4)
    q = state.critic.net.values(states).min(0)
    return np.asarray(state.value.net(states)), np.asarray(q), probabilities(state.actor.net)


@pytest.mark.parametrize("expectile", [0.5, 0.7, 0.9, 0.99])
def test_values_are_the_exact_expectile_fixed_point(oracle: dict[str, Any], expectile: float) -> None:
    exact = oracle[f"iql_tau{expectile:g}"]
    value, q, _ = tables(expectile)
    np.testing.assert_allclose(value, exact["V"], atol=1e-3)
    np.testing.assert_allclose(q[LOGGED], np.array(exact["Q"])[LOGGED], atol=1e-3)


@pytest.mark.parametrize(("expectile", "temperature"), [(0.7, 3.0), (0.7, 10.0), (0.9, 10.0), (0.99, 10.0)])
def test_the_extracted_policy_is_worth_what_it_must(
    oracle: dict[str, Any], expectile: float, temperature: float
) -> None:
    """The behaviour reweighted by exp(temperature * advantage): its exact return."""
    policy = tables(expectile, temperature)[2]
    assert abs(worth(policy) - oracle[f"iql_tau{expectile:g}"][f"J_awr_inv{temperature:g}"]) < 2e-3


def test_greedy_at_a_high_expectile_is_the_in_support_optimum(oracle: dict[str, Any]) -> None:
    q = tables(0.99)[1]
    greedy = np.where(LOGGED, q, -np.inf).argmax(1)
    assert greedy.tolist() == [1, 0, 0, 2]
    assert abs(evaluate_exactly(canonical(), np.eye(3)[greedy])[2] - oracle["in_support_optimal"]["J"]) < 1e-5
