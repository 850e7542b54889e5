"""AWR: its losses in float64, one-step fixed points, the risk that returns seek, and windows of rows."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import LOGGED, exact_batch, probabilities, read_oracle, solve, table, worth
from making.parity import Plain, agree, agree_with_differences
from making.probe import QUICK, Probe
from making.sets import dataset_of

from suture.algorithms.awr import AWR
from suture.algorithms.base import Batch, Spec
from suture.algorithms.moments import Moments
from suture.data.normalise import Normaliser
from suture.data.stage import Stage
from suture.errors import ConfigError
from suture.keys import key_for
from suture.spaces import Array, Box, Discrete
from suture.testing.contract import example_columns

SPEC = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2))
TABLES = AWR(hidden=(), discount=0.9, window_length=1, whitened=False, max_weight=2e4, target_rate=0.05)


def windows(batch: Batch) -> Batch:
    """Windows of one row."""
    known = jnp.ones_like(batch.reward)
    return jax.tree.map(lambda column: column[:, None], dataclasses.replace(batch, known=known))


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return read_oracle()


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_with_exact_advantages_it_is_one_step(oracle: dict[str, Any], temperature: float) -> None:
    """The behaviour times exp(A / temperature), with Q and V of the behaviour."""
    exact = oracle[f"awr_onestep_alpha{temperature:g}"]
    algorithm = dataclasses.replace(TABLES, advantages="exact", temperature=temperature)
    state = solve(algorithm, batch=windows(exact_batch()), rates=(3e-2, 1e-2, 1e-3))
    policy = probabilities(state.actor.net)
    np.testing.assert_allclose(policy, exact["pi"], atol=1e-3)
    assert abs(worth(policy) - exact["J"]) < 1e-3
    value, q = np.asarray(state.value.net(jnp.arange(4))), table(state.critic.net)
    np.testing.assert_allclose(value, oracle["behaviour"]["V"], atol=1e-3)
    np.testing.assert_allclose(q[LOGGED], np.array(oracle["behaviour"]["Q"])[LOGGED], atol=1e-3)


ARMS = Batch(
    observation=jnp.zeros((4, 1), jnp.int32), action=jnp.array([[0], [0], [1], [1]]),
    reward=jnp.array([[1.0], [1.0], [2.5], [-1.5]]), discount=jnp.zeros((4, 1)),
    next_observation=jnp.zeros((4, 1), jnp.int32), known=jnp.ones((4, 1)),
)  # fmt: skip


@pytest.mark.parametrize(("advantages", "safe"), [("exact", 0.7311), ("td_lambda", 0.0905)])
def test_returns_seek_risk(advantages: Any, safe: float) -> None:
    """One arm pays 1; the other 2.5 or -1.5, on average less. Weights of returns prefer the other."""
    algorithm = dataclasses.replace(TABLES, advantages=advantages, temperature=0.5)
    state = solve(algorithm, batch=ARMS, spec=Spec(observation=Discrete(1), action=Discrete(2)), steps=2_000)
    found = jax.nn.softmax(state.actor.net(jnp.zeros(1, jnp.int32)).logits)[0, 0]
    assert abs(float(found) - safe) < 1e-3


@pytest.mark.parametrize("length", [1, 5])
def test_a_loop_that_pays_one_is_worth_the_geometric_series(length: int) -> None:
    """1 / (1 - gamma) for any window: what follows the window is worth V, and is discounted."""
    seen, ones = jnp.zeros((4, length), jnp.int32), jnp.ones((4, length))
    batch = Batch(
        observation=seen, action=seen, reward=ones, discount=ones, next_observation=seen, known=ones
    )
    algorithm = dataclasses.replace(TABLES, window_length=length, mixing=0.7)
    state = solve(algorithm, batch=batch, spec=Spec(observation=Discrete(1), action=Discrete(2)), steps=2_000)
    np.testing.assert_allclose(state.value.net(seen[0]), 10.0, rtol=1e-3)


METHODS = {
    "returns": AWR(hidden=(6, 6), window_length=4, mixing=0.8, max_weight=1.3, std=0.4),
    "exact": AWR(
        hidden=(6, 6), window_length=4, advantages="exact", whitened=False, temperature=0.6, std=0.4
    ),
}


def unlike(state: Any) -> Any:
    """A state whose target is not the network that it follows."""
    return dataclasses.replace(state, target_value=jax.tree.map(lambda leaf: 0.5 - leaf, state.target_value))


@pytest.fixture(scope="module", params=METHODS)
def probe(request: pytest.FixtureRequest) -> Probe:
    algorithm = METHODS[request.param]
    batch = algorithm.batch(example_columns(SPEC, algorithm.needs, algorithm.window))
    return Probe(algorithm, SPEC, batch, prepare=unlike)


class Statement:
    """The losses of the paper in float64 NumPy, for a state and a batch of windows."""

    def __init__(self, algorithm: AWR, state: Any, batch: Batch):
        self.windows = jax.tree.map(lambda column: np.asarray(column, np.float64), batch)
        self.seen, self.action = self.windows.observation[:, 0], self.windows.action[:, 0]
        self.value, self.actor = Plain(state.value.net.mlp), Plain(state.actor.net.mlp)
        self.critic = Plain(state.critic.net.mlp) if state.critic else None
        next_v = Plain(state.target_value.mlp)(self.windows.next_observation)[..., 0]
        self.returns = np.array([self.lambda_return(algorithm, row, next_v[row]) for row in range(12)])
        self.target = self.windows.reward[:, 0] + 0.99 * self.windows.discount[:, 0] * next_v[:, 0]
        advantage = (self.q() if self.critic else self.returns) - self.value(self.seen)[..., 0]
        if algorithm.whitened:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-5)
        self.weight = np.minimum(np.exp(advantage / algorithm.temperature), algorithm.max_weight)

    def lambda_return(self, algorithm: AWR, row: int, next_v: Array) -> float:
        """By the forward view: n-step returns and their weights."""
        count = int(self.windows.known[row].sum())
        total, factor, mixed, left = 0.0, 1.0, 0.0, 1.0
        for k in range(count):
            total += factor * self.windows.reward[row, k]
            factor *= 0.99 * self.windows.discount[row, k]
            share = left if k == count - 1 else left * (1 - algorithm.mixing)
            mixed, left = mixed + share * (total + factor * next_v[k]), left - share
        return mixed

    def q(self) -> Array:
        assert self.critic is not None
        return self.critic(np.concatenate([self.seen, self.action], 1))[0, :, 0]

    def value_loss(self) -> float:
        return float(np.square(self.value(self.seen)[..., 0] - self.returns).mean())

    def critic_loss(self) -> float:
        return float(np.square(self.q() - self.target).mean())

    def actor_loss(self) -> float:
        standard = (self.action - np.tanh(self.actor(self.seen))) / 0.4
        log_prob = (-np.square(standard) / 2 - np.log(0.4) - np.log(2 * np.pi) / 2).sum(1)
        return float(-(self.weight * log_prob).mean())


def test_losses_and_gradients_are_the_paper_s(probe: Probe) -> None:
    plain = Statement(probe.algorithm, probe.state, probe.batch)
    after, metrics = probe.after()
    assert np.asarray(probe.batch.known).min() == 0, "some windows must end early"
    agree(metrics["value/loss"], plain.value_loss(), "value loss")
    agree(metrics["actor/loss"], plain.actor_loss(), "actor loss")
    agree_with_differences(after.value, plain.value, plain.value_loss)
    agree_with_differences(after.actor, plain.actor, plain.actor_loss)
    if plain.critic is not None:
        agree(metrics["critic/loss"], plain.critic_loss(), "critic loss")
        agree_with_differences(after.critic, plain.critic, plain.critic_loss)


def test_each_loss_reads_its_networks(probe: Probe) -> None:
    exact = probe.algorithm.advantages == "exact"
    assert probe.readers(lambda s: s.target_value) == (
        {"value/loss", "critic/loss"} if exact else {"value/loss", "actor/loss"}
    )
    assert probe.readers(lambda s: s.value.net) == {"value/loss", "actor/loss"}
    assert probe.readers(lambda s: s.actor.net.mlp) == {"actor/loss"}
    if exact:
        assert probe.readers(lambda s: s.critic.net.mlp) == {"critic/loss", "actor/loss"}


def test_a_given_deviation_stays_and_is_the_policy_s() -> None:
    algorithm = AWR(hidden=(6,), window_length=1, std=0.3)
    state = jax.jit(lambda key: algorithm.init(SPEC, key), compiler_options=QUICK)(key_for(0, "init"))
    batch = algorithm.batch(example_columns(SPEC, algorithm.needs, 1))
    for fixed, std in ((algorithm, 0.3), (dataclasses.replace(algorithm, std=None), None)):
        after, _ = jax.jit(fixed.update, compiler_options=QUICK)(state, batch, key_for(0, "update"))
        found = np.exp(fixed.policy(after)(jnp.zeros((1, 3))).log_std)
        assert np.allclose(found, 0.3, rtol=1e-6) == (std is not None)
    with pytest.raises(ConfigError, match="not of 'mixture'"):
        AWR(std=0.3, head="mixture")


def test_windows_hold_the_rows_that_follow_and_say_which_are_known() -> None:
    data = dataset_of((5, 2))
    algorithm = AWR(window_length=3)
    stage = Stage(
        dataset=data, normaliser=Normaliser(action=None), needs=algorithm.needs, rows=np.arange(7), window=3
    )
    batch = algorithm.batch(stage.everything().draw(jnp.arange(7)))
    reach = np.array([3, 3, 3, 2, 1, 2, 1])
    np.testing.assert_array_equal(batch.known, np.arange(3) < reach[:, None])
    assert data.reward is not None
    for row in range(7):
        np.testing.assert_array_equal(batch.reward[row, : reach[row]], data.reward[row : row + reach[row]])  # type: ignore[index]


def test_moments_count_the_first_batches_fully_and_forget_slowly() -> None:
    one, two = np.array([1.0, 3.0, 8.0]), np.array([-2.0, 0.0, 5.0])
    moments = Moments.empty().with_batch(jnp.asarray(one))
    np.testing.assert_allclose((moments.mean, moments.deviation), (one.mean(), one.std()), rtol=1e-5)
    moments = moments.with_batch(jnp.asarray(two))
    share = 0.99 / 1.99  # of the first batch
    mean = share * one.mean() + (1 - share) * two.mean()
    square = share * np.square(one).mean() + (1 - share) * np.square(two).mean()
    np.testing.assert_allclose(
        (moments.mean, moments.deviation), (mean, np.sqrt(square - mean**2)), rtol=1e-5
    )
