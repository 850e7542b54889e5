"""AWAC and CRR: the published formulas in float64, exact fixed points, and which network each loss reads."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import LOGGED, probabilities, read_oracle, solve, table, worth
from making.parity import Plain, agree, agree_with_differences, central_differences, gradient_of
from making.probe import Probe

from suture.algorithms.awac import AWAC
from suture.algorithms.base import Batch, Spec
from suture.algorithms.crr import CRR
from suture.keys import key_for
from suture.spaces import Array, Box
from suture.testing.contract import example_batch

SPEC = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2))
SOFT = AWAC(hidden=(), discount=0.9, target_rate=0.05, max_weight=1e9)


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return read_oracle()


def tables(algorithm: Any, steps: int = 4_000) -> tuple[Array, Array]:
    """Q and the policy, (4, 3) each, at the fixed point."""
    state = solve(algorithm, steps=steps, rates=(3e-2, 1e-2, 1e-3, 1e-4))
    return table(state.critic.net), probabilities(state.actor.net)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_awac_is_the_behaviour_times_exp_q(oracle: dict[str, Any], temperature: float) -> None:
    exact = oracle[f"bracp_awac_lam{temperature:g}"]
    q, policy = tables(
        dataclasses.replace(SOFT, temperature=temperature), steps=10_000 if temperature == 0.1 else 4_000
    )
    np.testing.assert_allclose(q[LOGGED], np.array(exact["Q"])[LOGGED], atol=1e-3)
    np.testing.assert_allclose(policy, exact["pi"], atol=1e-3)
    assert abs(worth(policy) - exact["J"]) < 1e-3


def test_binary_crr_is_the_in_support_optimum(oracle: dict[str, Any]) -> None:
    _, policy = tables(CRR(hidden=(), discount=0.9, target_rate=0.05, weights="binary"))
    np.testing.assert_allclose(policy, oracle["crr_binary"]["pi"], atol=1e-3)
    assert abs(worth(policy) - oracle["crr_binary"]["J"]) < 1e-3


def test_exponential_crr_is_awac_where_expectations_are_exact(oracle: dict[str, Any]) -> None:
    _, policy = tables(CRR(hidden=(), discount=0.9, target_rate=0.05, temperature=0.5, max_weight=1e9))
    assert abs(worth(policy) - oracle["bracp_awac_lam0.5"]["J"]) < 1e-3


LOG_STD = np.array([-0.5, 0.2])
METHODS = {
    "awac": AWAC(hidden=(6, 6), temperature=0.4, max_weight=1.5),
    "softmax awac": AWAC(hidden=(6, 6), temperature=0.4, weights="softmax"),
    "crr": CRR(hidden=(6, 6), temperature=0.7, max_weight=1.5),
    "binary crr": CRR(hidden=(6, 6), weights="binary"),
    "max crr": CRR(hidden=(6, 6), temperature=0.7, advantage="max", policy_samples=3),
}


def unlike(state: Any) -> Any:
    """A state whose target is not the critic that it follows, with deviations that are not 1."""
    target = jax.tree.map(lambda leaf: leaf[::-1] * 0.9, state.target_critic)
    policy = dataclasses.replace(state.actor.net, log_std=jnp.asarray(LOG_STD, jnp.float32))
    return type(state)(state.critic, target, dataclasses.replace(state.actor, net=policy))


@pytest.fixture(scope="module", params=METHODS)
def probe(request: pytest.FixtureRequest) -> Probe:
    algorithm = METHODS[request.param]
    return Probe(algorithm, SPEC, example_batch(SPEC, algorithm.needs), prepare=unlike)


class Statement:
    """The losses of the papers in float64 NumPy, for a state and a batch."""

    def __init__(self, algorithm: Any, state: Any, batch: Batch):
        self.batch = jax.tree.map(lambda column: np.asarray(column, np.float64), batch)
        self.actor, self.critic, self.log_std = (
            Plain(state.actor.net.mlp),
            Plain(state.critic.net.mlp),
            LOG_STD.copy(),
        )
        key_next, key_own, _ = jax.random.split(key_for(0, "update"), 3)
        next_value = self.values(Plain(state.target_critic.mlp), self.batch.next_observation, key_next, 1)[0]
        self.target = self.batch.reward + 0.99 * self.batch.discount * next_value
        own = self.values(
            self.critic, self.batch.observation, key_own, getattr(algorithm, "policy_samples", 1)
        )
        over_mean = getattr(algorithm, "advantage", "mean") == "mean"
        advantage = self.q().min(0) - (own.mean(0) if over_mean else own.max(0))
        self.weight = self.weights(algorithm, advantage)

    def values(self, critic: Plain, seen: Array, key: Any, samples: int) -> Array:
        """The smaller critic's value of actions drawn from the policy, (samples, batch)."""
        found = list[Array]()
        for one in jax.random.split(key, samples):
            noise = np.asarray(jax.random.normal(one, (12, 2)), np.float64)
            action = np.clip(np.tanh(self.actor(seen)) + np.exp(LOG_STD) * noise, -1, 1)
            found.append(critic(np.concatenate([seen, action], 1))[..., 0].min(0))
        return np.stack(found)

    def weights(self, algorithm: Any, advantage: Array) -> Array:
        if algorithm.weights == "binary":
            return 1.0 * (advantage > 0)
        weight = np.exp(advantage / algorithm.temperature)
        if algorithm.weights == "softmax":
            return len(weight) * weight / weight.sum()
        return np.minimum(weight, algorithm.max_weight)

    def q(self) -> Array:
        return self.critic(np.concatenate([self.batch.observation, self.batch.action], 1))[..., 0]

    def critic_loss(self) -> float:
        return float(np.square(self.q() - self.target).mean(1).sum())

    def actor_loss(self) -> float:
        standard = (self.batch.action - np.tanh(self.actor(self.batch.observation))) / np.exp(self.log_std)
        log_prob = (-np.square(standard) / 2 - self.log_std - np.log(2 * np.pi) / 2).sum(1)
        return float(-(self.weight * log_prob).mean())


def test_losses_and_gradients_are_the_papers(probe: Probe) -> None:
    plain = Statement(probe.algorithm, probe.state, probe.batch)
    after, metrics = probe.after()
    assert len(np.unique(plain.weight)) > 1
    agree(metrics["critic/loss"], plain.critic_loss(), "critic loss")
    agree(metrics["actor/loss"], plain.actor_loss(), "actor loss")
    agree_with_differences(after.critic, plain.critic, plain.critic_loss)
    agree_with_differences(after.actor, plain.actor, plain.actor_loss)
    exact = next(central_differences(plain.actor_loss, [plain.log_std]))
    agree(gradient_of(after.actor).log_std, exact, "log std")


def test_each_loss_reads_its_networks(probe: Probe) -> None:
    assert probe.readers(lambda s: s.target_critic) == {"critic/loss"}
    assert probe.readers(lambda s: s.actor.net) == {"critic/loss", "actor/loss"}
    assert probe.readers(lambda s: s.critic.net.mlp) == {"critic/loss", "actor/loss"}


def test_the_policy_sees_the_critics_that_have_just_moved() -> None:
    """On both sides of the advantage."""
    algorithm = dataclasses.replace(METHODS["awac"], critic_learning_rate=0.1)
    probe = Probe(
        algorithm, SPEC, example_batch(SPEC, AWAC.needs), prepare=unlike, moving=("critic_learning_rate",)
    )
    after, metrics = probe.after()
    moved = dataclasses.replace(probe.state, critic=after.critic)
    agree(metrics["actor/loss"], Statement(algorithm, moved, probe.batch).actor_loss(), "actor loss")
