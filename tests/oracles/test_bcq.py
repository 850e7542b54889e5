"""BCQ: the published formulas in float64, for continuous actions and for choices, and its fixed point."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import LOGGED, read_oracle, solve
from making.parity import Plain, agree, agree_with_differences, central_differences, gradient_of
from making.probe import Probe
from making.shaken import shaken
from scipy import special

from suture.algorithms.base import Batch, Spec
from suture.algorithms.bcq import BCQ
from suture.algorithms.qlearning import DQN
from suture.envs.tabular import canonical, canonical_behaviour
from suture.envs.tabular import evaluate as evaluate_exactly
from suture.keys import key_for
from suture.nets.imitated import likely
from suture.nets.vae import PerturbedPolicy
from suture.spaces import Array, Box, Discrete
from suture.testing.contract import example_batch

SEEN = Box((3,))
SPEC = Spec(observation=SEEN, action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2))
CHOICES = Spec(observation=SEEN, action=Discrete(4))
METHOD = BCQ(hidden=(6, 6), behaviour_hidden=(6, 6), target_samples=4, perturbation=0.3)


def unlike(state: Any) -> Any:
    """A state whose slow copies are not what they follow; biases are not 0, where ReLU bends."""

    def nets(s: Any) -> list[Any]:
        more = [s.behaviour.net, s.perturbation.net, s.target_perturbation] if hasattr(s, "behaviour") else []
        return [s.critic.net, s.target_critic, *more]

    return eqx.tree_at(nets, state, [shaken(net, seed) for seed, net in enumerate(nets(state))])


@functools.cache
def probe(spread: float | None = None) -> Probe:
    return Probe(
        dataclasses.replace(METHOD, spread=spread), SPEC, example_batch(SPEC, BCQ.needs), prepare=unlike
    )


@functools.cache
def choice_probe(threshold: float = 0.3) -> Probe:
    method = dataclasses.replace(METHOD, threshold=threshold)
    return Probe(method, CHOICES, example_batch(CHOICES, BCQ.needs), prepare=lambda s: sure(unlike(s)))


def sure(state: Any) -> Any:
    """A state whose imitation has clear likes."""
    return eqx.tree_at(lambda s: s.critic.net.imitation.layers[-1].weight, state, replace_fn=lambda w: 30 * w)


class Statement:
    """The losses of the first paper in float64 NumPy, for a state and a batch."""

    def __init__(self, state: Any, batch: Batch, spread: float | None = None):
        self.batch = jax.tree.map(lambda column: np.asarray(column, np.float64), batch)
        self.decoder, self.critic = Plain(state.behaviour.net.decoder), Plain(state.critic.net.mlp)
        self.mover, target_mover = Plain(state.perturbation.net.mlp), Plain(state.target_perturbation.mlp)
        _, key_next, self.key_actor = jax.random.split(key_for(0, "update"), 3)
        target_critic, mixed = Plain(state.target_critic.mlp), list[Array]()
        for key in jax.random.split(key_next, 4):
            seen = self.batch.next_observation
            q = target_critic(np.concatenate([seen, self.proposed(target_mover, seen, key)], 1))[..., 0]
            usual = 0.75 * q.min(0) + 0.25 * q.max(0)
            mixed.append(usual if spread is None else q.mean(0) - spread * q.std(0))
        self.target = self.batch.reward + 0.99 * self.batch.discount * np.max(mixed, axis=0)

    def proposed(self, mover: Plain, seen: Array, key: Any) -> Array:
        noise = np.clip(np.asarray(jax.random.normal(key, (12, 4)), np.float64), -0.5, 0.5)
        action = np.tanh(self.decoder(np.concatenate([seen, noise], 1)))
        return np.clip(action + 0.3 * np.tanh(mover(np.concatenate([seen, action], 1))), -1, 1)

    def critic_loss(self) -> float:
        q = self.critic(np.concatenate([self.batch.observation, self.batch.action], 1))[..., 0]
        return float(np.square(q - self.target).mean(1).sum())

    def actor_loss(self) -> float:
        seen = self.batch.observation
        action = self.proposed(self.mover, seen, self.key_actor)
        return float(-self.critic(np.concatenate([seen, action], 1))[0, :, 0].mean())


@pytest.mark.parametrize("spread", [None, 1.5])
def test_losses_and_gradients_are_the_paper_s(spread: float | None) -> None:
    one = probe(spread)
    plain = Statement(one.state, one.batch, spread)
    after, metrics = one.after()
    agree(metrics["critic/loss"], plain.critic_loss(), "critic loss")
    agree(metrics["actor/loss"], plain.actor_loss(), "actor loss")
    agree_with_differences(after.critic, plain.critic, plain.critic_loss)
    agree_with_differences(after.perturbation, plain.mover, plain.actor_loss)
    key_fit = jax.random.split(key_for(0, "update"), 3)[0]
    exact = one.state.behaviour.net.loss(one.batch.observation, one.batch.action, key_fit)
    agree(metrics["behaviour/loss"], exact, "loss of the VAE")


def test_each_loss_reads_its_networks() -> None:
    one = probe()
    assert one.readers(lambda s: s.target_critic) == {"critic/loss"}
    assert one.readers(lambda s: s.target_perturbation) == {"critic/loss"}
    assert one.readers(lambda s: s.perturbation.net) == {"actor/loss"}
    assert one.readers(lambda s: s.critic.net.mlp, member=0) == {"critic/loss", "actor/loss"}
    assert one.readers(lambda s: s.critic.net.mlp, member=1) == {"critic/loss"}, "the first critic is climbed"
    every = {"critic/loss", "actor/loss", "behaviour/loss"}
    assert one.readers(lambda s: s.behaviour.net.decoder) == every
    assert one.readers(lambda s: s.behaviour.net.encoder) == {"behaviour/loss"}


def test_slow_copies_move_by_their_rate() -> None:
    one = probe()
    after = one.after()[0]
    for now, before, followed in (
        (after.target_critic, one.state.target_critic, one.state.critic.net),
        (after.target_perturbation, one.state.target_perturbation, one.state.perturbation.net),
    ):
        for a, b, c in zip(*map(jax.tree.leaves, (now, before, followed)), strict=True):
            np.testing.assert_allclose(a, b + 0.005 * (c - b), atol=1e-6)


def test_it_plays_the_best_moved_proposal_by_the_first_critic() -> None:
    method, state, seen = dataclasses.replace(METHOD, act_samples=9), probe().state, probe().batch.observation
    answer, net = method.policy(state)(seen).sample(key_for(5, "act")), state.perturbation.net
    proposals, keys = PerturbedPolicy(state.behaviour.net, net, 0.3), jax.random.split(key_for(5, "act"), 9)
    for row in (0, 1):
        actions = jnp.stack([proposals(seen[row]).sample(key) for key in keys])
        q = state.critic.net(jnp.tile(seen[row], (9, 1)), actions)[0]
        np.testing.assert_allclose(answer[row], actions[q.argmax()], rtol=1e-4, atol=1e-6)


def test_what_is_likely_is_so_relative_to_the_likeliest() -> None:
    taken = jnp.log(jnp.array([0.6, 0.25, 0.15]))
    assert likely(taken, 0.3).tolist() == [True, True, False]
    assert likely(taken, 0.0).tolist() == [True, True, True]
    assert likely(taken, 0.999).tolist() == [True, False, False]
    assert likely(jnp.array([0.0, -200.0]), 0.0).tolist() == [True, True], "however unlikely"


class ChoiceStatement:
    """The loss of the second paper in float64 NumPy, for a state and a batch."""

    def __init__(self, state: Any, batch: Batch, threshold: float):
        self.batch = jax.tree.map(lambda column: np.asarray(column, np.float64), batch)
        self.taken = np.asarray(batch.action)
        self.critic, self.imitation = Plain(state.critic.net.critic.mlp), Plain(state.critic.net.imitation)
        seen, target_critic = self.batch.next_observation, Plain(state.target_critic.critic.mlp)
        share = special.softmax(self.imitation(seen), axis=-1)
        allowed = share / share.max(-1, keepdims=True) > threshold
        best = np.where(allowed, self.critic(seen).min(0), -1e8).argmax(-1)
        next_value = target_critic(seen)[:, np.arange(12), best].min(0)
        self.target = self.batch.reward + 0.99 * self.batch.discount * next_value

    def td_loss(self) -> float:
        error = np.abs(self.critic(self.batch.observation)[:, np.arange(12), self.taken] - self.target)
        return float(np.where(error < 1, error**2 / 2, error - 0.5).mean(1).sum())

    def imitation_loss(self) -> float:
        logits = self.imitation(self.batch.observation)
        log_prob = special.log_softmax(logits, axis=-1)[np.arange(12), self.taken]
        return float(-log_prob.mean() + 1e-2 * (logits**2).mean())

    def loss(self) -> float:
        return self.td_loss() + self.imitation_loss()


@pytest.mark.parametrize("threshold", [0.7, 0.95])
def test_losses_and_gradients_over_choices_are_the_paper_s(threshold: float) -> None:
    one = choice_probe(threshold)
    plain = ChoiceStatement(one.state, one.batch, threshold)
    after, metrics = one.after()
    agree(metrics["critic/loss"], plain.td_loss(), "critic loss")
    gradient = gradient_of(after.critic)
    for ours, net in ((gradient.critic.mlp, plain.critic), (gradient.imitation, plain.imitation)):
        leaves = [x for layer in ours.layers for x in (layer.weight, layer.bias)]
        exact = list(central_differences(plain.loss, net.arrays))
        largest = max(np.abs(array).max() for array in exact)
        for a, b in zip(leaves, exact, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * largest)


def test_thresholds_decide_which_choice_is_backed_up() -> None:
    losses = {t: choice_probe(t).metrics["critic/loss"] for t in (0.0, 0.7, 0.95)}
    assert len(set(losses.values())) == 3, losses


def test_over_choices_each_loss_reads_its_networks() -> None:
    one = choice_probe()
    assert one.readers(lambda s: s.target_critic.critic) == {"critic/loss"}
    assert one.readers(lambda s: s.target_critic.imitation) == set()
    assert one.readers(lambda s: s.critic.net.critic) == {"critic/loss"}
    assert one.readers(lambda s: s.critic.net.imitation) == {"critic/loss", "behaviour/loss"}


def test_where_all_choices_are_allowed_it_is_double_q_learning() -> None:
    one = choice_probe(0.0)
    dqn = Probe(DQN(hidden=(6, 6)), CHOICES, one.batch)
    state = eqx.tree_at(
        lambda s: [s.critic.net, s.targets[0]], dqn.state,
        [one.state.critic.net.critic, one.state.target_critic.critic],
    )  # fmt: skip
    after, metrics = dqn.after(state)
    agree(metrics["critic/loss"], one.metrics["critic/loss"], "critic loss")
    ours = one.after()[0].critic.optimiser.mu.critic
    for a, b in zip(*map(jax.tree.leaves, (ours, after.critic.optimiser.mu)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_near_threshold_1_it_is_the_likeliest_choice() -> None:
    state, seen = choice_probe().state, choice_probe().batch.observation
    chosen = dataclasses.replace(METHOD, threshold=0.999).policy(state)(seen).mode()
    assert chosen.tolist() == state.critic.net.imitate(seen).mode().tolist()


def test_the_canonical_problem_has_its_exact_solution() -> None:
    """Values and policy over the choices that are at least 0.3 times as likely as the likeliest."""
    exact = read_oracle()["bcq_thr0.3"]
    method = BCQ(hidden=(), discount=0.9, target_rate=0.05)
    state = solve(method, steps=2_000, rates=(3e-2, 1e-2, 1e-3, 1e-4))
    states, mask = jnp.arange(4), np.array(exact["mask"], bool)
    assert np.array_equal(likely(state.critic.net.imitate(states).log_probabilities(), 0.3), mask)
    q = np.asarray(state.critic.net.critic.values(states).mean(0), np.float64)
    np.testing.assert_allclose(q[LOGGED], np.array(exact["Q"])[LOGGED], atol=1e-3)
    greedy = np.asarray(method.policy(state)(states).mode())
    assert abs(evaluate_exactly(canonical(), np.eye(3)[greedy])[2] - exact["J"]) < 1e-3
    assert exact["J"] == pytest.approx(2.53162, abs=1e-5)
    assert not np.array_equal(mask, canonical_behaviour() > 0.3), "an absolute threshold is another method"
