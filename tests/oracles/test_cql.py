"""CQL and Cal-QL: the authors' formulas in float64, exact fixed points, learned factors, who reads what."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import exact_batch, read_oracle, solve
from making.parity import Plain, agree, agree_with_differences
from making.probe import Probe
from making.soft import SPEC, Penalised, log_sum_exp
from scipy.special import softmax

from suture.algorithms.base import Spec
from suture.algorithms.cql import CQL, CalQL
from suture.config import bounds_of, fields_of
from suture.envs.tabular import canonical, evaluate
from suture.errors import ConfigError
from suture.keys import key_for
from suture.spaces import Array, Box, Discrete
from suture.testing.contract import example_batch
from suture.training.sweep import Sweep

SMALL: dict[str, Any] = {"hidden": (6, 6), "samples": 3, "initial_temperature": 0.7}
METHODS: dict[str, Any] = {
    "cql": CQL(**SMALL),
    "cool": CQL(**SMALL, conservative_temperature=0.5, per_sample=True, critics=3, entropy_backup=True),
    "learned factor": CQL(**SMALL, target_gap=0.8, max_target_backup=True, discount=0.9),
    "cloning": CQL(**SMALL, bc_steps=1, conservative_weight=0.5),
    "cal_ql": CalQL(**SMALL),
}


def unlike(state: Any) -> Any:
    """A state whose target is not the critic that it follows, and whose factor is not 1. Biases are not 0:
    rows without an active unit would stand at the kink of the next layer's."""

    def shifted(leaf: Any) -> Any:
        return leaf + 0.1 * jnp.sin(1.0 + jnp.arange(leaf.size)).reshape(leaf.shape)

    state = eqx.tree_at(
        lambda s: [layer.bias for layer in s.learner.critic.net.mlp.layers], state, replace_fn=shifted
    )
    target = jax.tree.map(lambda leaf: leaf[::-1] * 0.9, state.learner.target_critic)
    state = eqx.tree_at(lambda s: s.learner.target_critic, state, target)
    if state.factor is None:
        return state
    return eqx.tree_at(lambda s: s.factor.net.log, state, jnp.float32(0.3))


@pytest.fixture(scope="module", params=METHODS)
def probe(request: pytest.FixtureRequest) -> Probe:
    algorithm = METHODS[request.param]
    return Probe(algorithm, SPEC, example_batch(SPEC, algorithm.needs), prepare=unlike)


def test_losses_and_gradients_are_the_authors(probe: Probe) -> None:
    plain = Penalised(probe.algorithm, probe.state, probe.batch)
    after, metrics = probe.after()
    agree(metrics["critic/loss"], plain.squared_errors(), "critic loss")
    agree(metrics["conservative/gap"], plain.gaps().mean(), "gap")
    agree(metrics["conservative/weight"], plain.weight, "weight")
    agree(metrics["actor/loss"], plain.actor_loss(), "actor loss")
    agree_with_differences(after.learner.critic, plain.critic, plain.critic_loss)
    agree_with_differences(after.learner.actor, plain.actor, plain.actor_loss)
    if after.factor is not None:
        exceeded = plain.gaps().mean() - probe.algorithm.target_gap
        agree(after.factor.optimiser.mu.log, -0.1 * exceeded, "factor")


def test_a_drawn_gradient_leaves_the_losses_as_they_are_and_moves_the_critics_alone() -> None:
    """On this machine's random draw; that its mean is the gradient is shown in test_penalties.py."""
    batch = example_batch(SPEC, CQL.needs)
    (exact, told), (drawn, said) = (
        Probe(CQL(**SMALL, sampled_gradient=way), SPEC, batch, prepare=unlike).after()
        for way in (False, True)
    )
    for name, value in told.items():
        agree(said[name], value, name)
    assert eqx.tree_equal(exact.learner.actor, drawn.learner.actor)
    assert not eqx.tree_equal(exact.learner.critic, drawn.learner.critic)


def test_cal_ql_is_cql_where_the_recorded_return_is_low_and_free_where_it_is_high() -> None:
    """Low: every gradient is CQL's. High: the policy's actions are not pushed, uniform ones are."""
    algorithm = METHODS["cal_ql"]
    probe = Probe(algorithm, SPEC, example_batch(SPEC, algorithm.needs), prepare=unlike)
    plain = Probe(METHODS["cql"], SPEC, example_batch(SPEC, CQL.needs), prepare=unlike)

    def gradient(level: float) -> Any:
        batch = eqx.tree_at(lambda b: b.return_to_go, probe.batch, jnp.full(12, level, jnp.float32))
        return probe.after(batch=batch)[0].learner.critic.optimiser.mu

    exact = plain.after()[0].learner.critic.optimiser.mu
    for ours, theirs in zip(jax.tree.leaves(gradient(-1e3)), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    higher = [gradient(level) for level in (30.0, 31.0)]  # so high that the soft maximum is the return
    for one, other in zip(*map(jax.tree.leaves, higher), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_each_loss_reads_its_networks(probe: Probe) -> None:
    cloning = probe.algorithm.bc_steps > 0
    assert probe.readers(lambda s: s.learner.target_critic) == {"critic/loss"}
    assert probe.readers(lambda s: s.learner.actor.net) == {"critic/loss", "actor/loss"}
    reads = {"critic/loss"} if cloning else {"critic/loss", "actor/loss"}
    assert probe.readers(lambda s: s.learner.critic.net.mlp) == reads
    backed_up = {"critic/loss"} if probe.algorithm.entropy_backup else set[str]()
    assert probe.readers(lambda s: s.learner.temperature.net) == {"actor/loss"} | backed_up


def test_what_is_recorded_after_a_true_end_does_not_matter() -> None:
    """Not even as a proposal of the policy one step on."""
    algorithm = METHODS["cql"]
    probe = Probe(algorithm, SPEC, example_batch(SPEC, algorithm.needs))
    ended = np.asarray(probe.batch.discount) == 0
    other = jnp.where(ended[:, None], 7.0, probe.batch.next_observation)
    assert (
        probe.after(batch=eqx.tree_at(lambda b: b.next_observation, probe.batch, other))[1] == probe.metrics
    )


def test_cloning_ends_after_its_updates() -> None:
    algorithm = METHODS["cloning"]
    probe = Probe(algorithm, SPEC, example_batch(SPEC, algorithm.needs), prepare=unlike)
    state = probe.after()[0]
    plain = Penalised(algorithm, state, probe.batch)
    assert plain.updates == 1
    agree(probe.after(state)[1]["actor/loss"], plain.actor_loss(), "actor loss")


def test_the_discount_of_recorded_returns_cannot_be_swept() -> None:
    assert bounds_of(fields_of(CQL)["discount"]).traced
    with pytest.raises(ConfigError, match="discount"):
        Sweep(CalQL(), discount=[0.9, 0.99])


CHOICES = Spec(observation=Box((3,)), action=Discrete(3))


def test_losses_and_gradients_of_choices_are_double_q_learning_s_with_the_penalty() -> None:
    """The critics choose the next action, and their slow copy says what it is worth."""
    algorithm = CQL(hidden=(6,), conservative_temperature=0.5, discount=0.9, conservative_weight=2.0)

    def prepare(state: Any) -> Any:
        other = algorithm.init(CHOICES, key_for(1, "init")).learner.target_critic
        return eqx.tree_at(lambda s: s.learner.target_critic, state, other)

    probe = Probe(algorithm, CHOICES, example_batch(CHOICES, algorithm.needs), prepare=prepare)
    learner, batch = probe.state.learner, probe.batch
    critic, slow, rows = Plain(learner.critic.net.mlp), Plain(learner.target_critic.mlp), np.arange(12)
    seen, after, reward, discount = (
        np.asarray(column, np.float64)
        for column in (batch.observation, batch.next_observation, batch.reward, batch.discount)
    )
    best, own = critic(after).min(0).argmax(1), slow(after).min(0).argmax(1)
    assert (best != own).any()
    target = reward + 0.9 * discount * slow(after)[:, rows, best].min(0)

    def gaps() -> Array:
        q = critic(seen)
        return (0.5 * log_sum_exp(q / 0.5, 2) - q[:, rows, np.asarray(batch.action)]).mean(1)

    def errors() -> float:
        return float(np.square(critic(seen)[:, rows, np.asarray(batch.action)] - target).mean(1).sum())

    state, metrics = probe.after()
    agree(metrics["critic/loss"], errors(), "critic loss")
    agree(metrics["conservative/gap"], gaps().mean(), "gap")
    agree_with_differences(state.learner.critic, critic, lambda: errors() + 2.0 * float(gaps().sum()))


FULL = 0.9 * np.array([[0.6, 0.3, 0.1], [0.1, 0.9, 0.0], [0.05, 0.5, 0.45], [0.4, 0.4, 0.2]]) + 0.1 / 3
COPIES = (1500, 300, 1200, 1500)
TABLE: dict[str, Any] = {"hidden": (), "discount": 0.9, "target_rate": 0.05}


def values(state: Any) -> Array:
    """Q, (4, 3), of the first critic."""
    return np.asarray(state.learner.critic.net.values(jnp.arange(4))[0], np.float64)


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_choices_reach_the_exact_fixed_point(alpha: float) -> None:
    """Of the paper's half squared errors with alpha, which is ours with a weight of twice alpha."""
    exact = read_oracle()[f"cqlH_dqn_alpha{alpha:g}_half"]
    state = solve(CQL(**TABLE, conservative_weight=2 * alpha), batch=exact_batch(FULL, COPIES), steps=2_000)
    q = values(state)
    np.testing.assert_allclose(q, exact["Q"], atol=1e-3)
    backed_up = canonical().backup(q.max(1))
    np.testing.assert_allclose(q, backed_up - alpha * (softmax(q, axis=1) / FULL - 1), atol=1e-3)
    assert abs(evaluate(canonical(), np.eye(3)[q.argmax(1)])[2] - exact["J"]) < 1e-5


def test_an_unseen_choice_has_no_fixed_point() -> None:
    """Its value falls for ever, and only its own: everything else is where it was."""
    algorithm = CQL(**TABLE, conservative_weight=0.2, critics=1)
    some, more = (values(solve(algorithm, steps=steps, rates=(1e-2,))) for steps in (2_000, 4_000))
    fell = some - more
    assert fell[1, 2] > 1
    fell[1, 2] = 0
    np.testing.assert_allclose(fell, 0, atol=0.02)


def test_the_learned_factor_keeps_the_gap_at_its_target() -> None:
    """It lies between the behaviour's entropy (0.94), which is the least that there is, and log 3."""
    target, batch = 1.0, exact_batch(FULL, COPIES)
    algorithm = CQL(**TABLE, target_gap=target)
    state = solve(algorithm, batch=batch, steps=2_000)
    q, rows = values(state), np.asarray(batch.observation)
    gap = np.log(np.exp(q).sum(1))[rows] - q[rows, np.asarray(batch.action)]
    assert abs(gap.mean() - target) < 2e-3
    assert 0.01 < float(state.factor.net()) < 10


@pytest.mark.parametrize(("target", "sign"), [(-50.0, 1), (50.0, -1)])
def test_the_learned_factor_rises_while_the_gap_exceeds_its_target(target: float, sign: int) -> None:
    algorithm = dataclasses.replace(METHODS["learned factor"], target_gap=target)
    probe = Probe(algorithm, SPEC, example_batch(SPEC, algorithm.needs), moving=("factor_learning_rate",))
    weights, state = [probe.metrics["conservative/weight"]], probe.state
    for _ in range(4):
        state, metrics = probe.after(state)
        weights.append(metrics["conservative/weight"])
    assert (sign * np.diff(weights)[1:] > 0).all()
