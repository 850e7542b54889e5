"""TD3: what moves when, by how much, and that nothing keeps it near the log."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.bandit import fixed_point
from making.probe import QUICK, Probe, on_actor_step

from suture.algorithms.base import Spec
from suture.algorithms.td3 import TD3
from suture.errors import ConfigError
from suture.keys import key_for
from suture.spaces import Box
from suture.testing.contract import example_batch

SPEC = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2))
ALGORITHM = TD3(hidden=(6, 6), target_rate=0.1)
BATCH = example_batch(SPEC, ALGORITHM.needs)


def run(algorithm: TD3, updates: int) -> list[Any]:
    """The states from the first one on."""
    states = [jax.jit(lambda key: algorithm.init(SPEC, key), compiler_options=QUICK)(key_for(0, "init"))]
    update = jax.jit(algorithm.update, compiler_options=QUICK)
    for step in range(updates):
        states.append(update(states[-1], BATCH, key_for(0, "update", step))[0])
    return states


def same(one: Any, other: Any) -> bool:
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


@pytest.fixture(scope="module")
def states() -> list[Any]:
    return run(ALGORITHM, 4)


def test_targets_begin_as_copies(states: list[Any]) -> None:
    assert same(states[0].slow.target_actor, states[0].slow.actor.net)
    assert same(states[0].slow.target_critic, states[0].critic.net)


def test_the_policy_and_the_targets_move_every_second_update(states: list[Any]) -> None:
    pairs = list(itertools.pairwise(states))
    assert [same(a.critic, b.critic) for a, b in pairs] == [False] * 4
    for part in ("actor", "target_actor", "target_critic"):
        moved = [not same(getattr(a.slow, part), getattr(b.slow, part)) for a, b in pairs]
        assert moved == [False, True, False, True], part


def test_targets_go_their_rate_of_the_way_to_the_networks_that_just_moved(states: list[Any]) -> None:
    before, after = states[1], states[2]
    for target, source in (("target_actor", after.slow.actor.net), ("target_critic", after.critic.net)):
        expected = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, getattr(before.slow, target), source)
        found = getattr(after.slow, target)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_policy_may_move_at_every_update() -> None:
    states = run(dataclasses.replace(ALGORITHM, actor_every=1), 1)
    assert not same(states[0].slow.actor.net, states[1].slow.actor.net)


def test_the_actor_s_metrics_are_those_of_its_last_update() -> None:
    state, update = run(ALGORITHM, 0)[0], jax.jit(ALGORITHM.update, compiler_options=QUICK)
    losses = list[float]()
    for step in range(4):
        state, metrics = update(state, BATCH, key_for(0, "update", step))
        losses.append(float(metrics["actor/loss"]))
    assert losses[0] == 0
    assert losses[1] == losses[2] != losses[3]


def test_each_loss_reads_its_networks() -> None:
    probe = Probe(ALGORITHM, SPEC, BATCH, prepare=on_actor_step)
    assert probe.readers(lambda s: s.slow.target_actor) == {"critic/loss"}
    assert probe.readers(lambda s: s.slow.target_critic) == {"critic/loss"}
    assert probe.readers(lambda s: s.slow.actor.net) == {"actor/loss"}
    assert probe.readers(lambda s: s.critic.net.mlp, member=1) == {"critic/loss"}


def test_it_ignores_the_log_s_actions() -> None:
    """The quadratic bandit: at the best action, 0.5, whatever the behaviour did."""
    np.testing.assert_allclose(fixed_point(TD3(hidden=()), 1), 0.5, atol=1e-3)
    batch = dataclasses.replace(BATCH, action=jnp.zeros_like(BATCH.action))
    probe = Probe(ALGORITHM, SPEC, BATCH, prepare=on_actor_step)
    assert probe.after(batch=batch)[1]["actor/loss"] == probe.metrics["actor/loss"]


def test_targets_stay_between_0_and_the_value_of_success_where_it_is_given() -> None:
    start = ALGORITHM.init(SPEC, key_for(0, "init"))

    def targets(value: float | None, shift: float) -> float:
        """The largest size of a target, of rewards that are shifted."""
        assert BATCH.reward is not None
        batch = dataclasses.replace(BATCH, reward=BATCH.reward + shift)
        update = jax.jit(dataclasses.replace(ALGORITHM, success_value=value).update, compiler_options=QUICK)
        return float(update(start, batch, key_for(0, "update"))[1]["value/max_abs"])

    assert targets(None, 9.0) > 5
    assert targets(0.5, 9.0) == 0.5
    assert targets(0.5, -9.0) == 0.0
    assert targets(99.0, 9.0) == targets(None, 9.0)
    with pytest.raises(ConfigError, match="success_value"):
        TD3(success_value=0.0)
