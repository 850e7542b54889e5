"""The fixed points of the canonical MDP, reached by the real update of IQL with tables for networks.

Observations are choices, so linear networks are tables; the batch holds every logged transition in
proportion to its probability, so that the only noise is that of float32.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suture.algorithms.base import Batch, Spec
from suture.algorithms.iql import IQL, IQLState
from suture.envs.tabular import canonical, canonical_behaviour
from suture.envs.tabular import evaluate as evaluate_exactly
from suture.keys import key_for
from suture.spaces import Discrete

STEPS = 6_000
RATES = (3e-2, 3e-3, 3e-4)
SPEC = Spec(observation=Discrete(4), action=Discrete(3))


@pytest.fixture(scope="module")
def oracle(data_folder: Path) -> dict[str, Any]:
    path = data_folder.parent / "spec" / "oracle.json"
    if not path.is_file():
        pytest.skip(f"the exact answers are absent: {path}")
    return json.loads(path.read_text())


def exact_batch() -> Batch:
    """Every transition of the canonical MDP under its behaviour, 200 rows a state."""
    mdp, behaviour = canonical(), canonical_behaviour()
    rows: list[tuple[int, int, float, int]] = []
    for s, a, after in np.ndindex(mdp.transition.shape):
        copies = 200 * behaviour[s, a] * mdp.transition[s, a, after]
        assert abs(copies - round(copies)) < 1e-9
        rows += [(s, a, float(mdp.reward[s, a]), after)] * round(copies)
    columns = [jnp.asarray(column) for column in zip(*rows, strict=True)]
    assert len(rows) == 800
    return Batch(
        observation=columns[0], action=columns[1], reward=columns[2].astype(jnp.float32),
        discount=jnp.ones(len(rows)), next_observation=columns[3],
    )  # fmt: skip


@functools.cache
def solve(expectile: float, inverse_temperature: float = 3.0) -> IQLState:
    """Train to the fixed point: Adam at falling rates."""
    batch, state = exact_batch(), None
    for rate in RATES:
        algorithm = IQL(
            hidden=(), discount=0.9, expectile=expectile, inverse_temperature=inverse_temperature,
            actor_schedule="constant", target_rate=0.05, max_weight=1e9,
            value_learning_rate=rate, critic_learning_rate=rate, actor_learning_rate=rate,
        )  # fmt: skip
        state = algorithm.init(SPEC, key_for(0, "init")) if state is None else state
        state = train(algorithm, state, batch)
    assert state is not None
    return state


def train(algorithm: IQL, state: IQLState, batch: Batch) -> IQLState:
    fields = (
        "value_learning_rate",
        "critic_learning_rate",
        "actor_learning_rate",
        "expectile",
        "inverse_temperature",
    )
    values = {name: jnp.float32(getattr(algorithm, name)) for name in fields}
    return _train(dataclasses.replace(algorithm, **dict.fromkeys(fields, 0.5)), values, state, batch)


@functools.partial(jax.jit, static_argnums=0)
def _train(template: IQL, values: dict[str, Any], state: IQLState, batch: Batch) -> IQLState:
    algorithm = dataclasses.replace(template, **values)

    def body(step: Any, state: IQLState) -> IQLState:
        return algorithm.update(state, batch, key_for(0, "update", step))[0]

    return jax.lax.fori_loop(0, STEPS, body, state)


def tables(state: IQLState) -> tuple[Any, Any, Any]:
    """V (4,), Q (4, 3) of the smaller critic, and the policy (4, 3)."""
    states = jnp.arange(4)
    q = state.critic.net.values(states).min(0)  # pyright: ignore[reportAttributeAccessIssue]
    logits = state.actor.net(states).logits  # pyright: ignore[reportAttributeAccessIssue]
    return np.asarray(state.value.net(states)), np.asarray(q), np.asarray(jax.nn.softmax(logits))


@pytest.mark.parametrize("expectile", [0.5, 0.7, 0.9, 0.99])
def test_values_are_the_exact_expectile_fixed_point(oracle: dict[str, Any], expectile: float) -> None:
    exact = oracle[f"iql_tau{expectile:g}"]
    value, q, _ = tables(solve(expectile))
    np.testing.assert_allclose(value, exact["V"], atol=1e-3)
    logged = canonical_behaviour() > 0
    np.testing.assert_allclose(q[logged], np.array(exact["Q"])[logged], atol=1e-3)


@pytest.mark.parametrize(("expectile", "temperature"), [(0.7, 3.0), (0.7, 10.0), (0.9, 10.0)])
def test_the_extracted_policy_is_worth_what_it_must(
    oracle: dict[str, Any], expectile: float, temperature: float
) -> None:
    """The behaviour reweighted by exp(temperature * advantage): its exact return."""
    _, _, policy = tables(solve(expectile, temperature))
    policy = np.where(canonical_behaviour() > 0, policy, 0.0)
    worth = evaluate_exactly(canonical(), policy / policy.sum(1, keepdims=True))[2]
    assert abs(worth - oracle[f"iql_tau{expectile:g}"][f"J_awr_inv{temperature:g}"]) < 2e-3


def test_greedy_at_a_high_expectile_is_the_in_support_optimum(oracle: dict[str, Any]) -> None:
    _, q, _ = tables(solve(0.99))
    greedy = np.where(canonical_behaviour() > 0, q, -np.inf).argmax(1)
    assert greedy.tolist() == [1, 0, 0, 2]
    assert abs(evaluate_exactly(canonical(), np.eye(3)[greedy])[2] - oracle["in_support_optimal"]["J"]) < 1e-5
