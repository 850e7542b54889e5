"""Fitted Q evaluation of a stochastic policy: exact on the canonical problem, and not of the mode."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import LOGGED, SPEC, exact_batch, solve, table

from suture.data.build import build
from suture.data.dataset import Dataset
from suture.envs.tabular import canonical, evaluate, sample_log
from suture.evaluation.ope import fqe
from suture.evaluation.ope.fqe import FQE
from suture.nets.policies import policy_for
from suture.training.train import train

POLICY = np.where(LOGGED, [[0.2, 0.5, 0.3], [0.6, 0.4, 0.0], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7]], 0.0)


def table_policy(probabilities: Any) -> Any:
    """A categorical policy that is a table."""
    policy = policy_for(SPEC.observation, SPEC.action, "gaussian", (), jax.random.key(0))
    logits = jnp.log(jnp.asarray(probabilities, jnp.float32) + 1e-9)
    return eqx.tree_at(
        lambda p: (p.mlp.layers[0].weight, p.mlp.layers[0].bias), policy, (logits, jnp.zeros(3))
    )


@functools.cache
def fitted() -> Any:
    algorithm = FQE(hidden=(), discount=0.9, target_rate=0.05)
    return solve(algorithm, prepare=lambda state: dataclasses.replace(state, policy=table_policy(POLICY)))


def test_q_is_the_exact_value_of_the_stochastic_policy() -> None:
    exact = evaluate(canonical(), POLICY)[0]
    np.testing.assert_allclose(table(fitted().critic.net)[LOGGED], exact[LOGGED], atol=2e-3)


def test_the_greedy_policy_is_another_one() -> None:
    """What an evaluation by the mode would answer is far from it: the test above tells them apart."""
    stochastic = evaluate(canonical(), POLICY)[2]
    mode = evaluate(canonical(), np.eye(3)[POLICY.argmax(1)])[2]
    assert abs(stochastic - mode) > 0.3


def test_the_policy_does_not_move() -> None:
    before = table_policy(POLICY)
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(fitted().policy), strict=True):
        np.testing.assert_array_equal(one, other)


def test_ends_are_not_bootstrapped_past() -> None:
    batch = eqx.tree_at(lambda b: b.discount, exact_batch(), jnp.zeros(800))
    algorithm = FQE(hidden=(), discount=0.9)
    state = solve(
        algorithm, batch=batch, steps=2_000,
        prepare=lambda state: dataclasses.replace(state, policy=table_policy(POLICY)),
    )  # fmt: skip
    np.testing.assert_allclose(table(state.critic.net)[LOGGED], canonical().reward[LOGGED], atol=2e-3)


@pytest.mark.usefixtures("compiled_once")
def test_a_run_is_evaluated_on_a_log(tmp_path: Path) -> None:
    """The behaviour's own clone on 12,000 logged steps: its exact value within the noise of the log."""
    from suture.algorithms.bc import BC

    behaviour = np.array([[0.6, 0.3, 0.1], [0.1, 0.9, 0.0], [0.05, 0.5, 0.45], [0.4, 0.4, 0.2]])
    data: Dataset = build(sample_log(canonical(), behaviour, episodes=400, horizon=30, seed=0)).admit()
    cloning = BC(hidden=(), learning_rate=0.01)
    run = train(cloning, data, steps=1_000, out=tmp_path / "bc", normalise="none")
    method = FQE(hidden=(), discount=0.9, critic_learning_rate=1e-2, target_rate=0.02)
    answer = fqe.fit(run, data, steps=2_000, seeds=2, fqe=method)
    starts = np.asarray(data.observation)[data.episode_start[:-1]]
    values = answer.values(starts).mean(1)
    exact = evaluate(canonical(), behaviour)[2]
    assert np.abs(values - exact).max() < 0.15
