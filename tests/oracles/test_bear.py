"""BEAR: the published formulas in float64, which network each loss reads, its multiplier and its warm-up."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.logs import built, changed, walk_log
from making.parity import Plain, agree, agree_with_differences
from making.probe import Probe
from making.shaken import shaken

from suture.algorithms.base import Batch, Spec
from suture.algorithms.bc import BC
from suture.algorithms.bear import BEAR
from suture.errors import RefusedInput
from suture.keys import key_for
from suture.objectives.divergences import random_frequencies
from suture.spaces import Array, Box
from suture.testing.contract import example_batch

SPEC = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2))
SMALL: dict[str, Any] = {
    "hidden": (6, 6), "behaviour_hidden": (6, 6), "warm_up": 0, "divergence_samples": 3, "target_samples": 4,
}  # fmt: skip
METHODS = {
    "laplacian": BEAR(**SMALL, sigma=0.7),
    "gaussian": BEAR(**SMALL, kernel="gaussian", sigma=0.7, behaviour_model="tanh_gaussian"),
    "gaussian model": BEAR(**SMALL, sigma=0.7, behaviour_model="gaussian"),
    "mixture model": BEAR(**SMALL, sigma=0.7, behaviour_model="mixture"),
    "spread": BEAR(**SMALL, sigma=0.7, critics=3, spread=1.5),
    # Wide: at 0.7 the frequencies, Cauchy's, reach 60 and the phases 250, which float32 holds to 1e-5 only.
    "rff": BEAR(**SMALL, mmd="rff", features=8, sigma=7.0),
}


def unlike(state: Any) -> Any:
    """A state whose slow copies are not what they follow; biases are not 0, where ReLU bends."""

    places = lambda s: [s.critic.net, s.target_critic, s.actor.net, s.target_actor, s.behaviour.model.net]  # noqa: E731
    return eqx.tree_at(places, state, [shaken(net, seed) for seed, net in enumerate(places(state))])


@functools.cache
def probe(name: str) -> Probe:
    return Probe(METHODS[name], SPEC, example_batch(SPEC, BEAR.needs), prepare=unlike)


class Statement:
    """The losses of the paper in float64 NumPy, for a state and a batch."""

    def __init__(self, algorithm: BEAR, state: Any, batch: Batch):
        self.algorithm = algorithm
        self.batch = jax.tree.map(lambda column: np.asarray(column, np.float64), batch)
        self.actor, self.critic = Plain(state.actor.net.mlp), Plain(state.critic.net.mlp)
        _, key_next, key_actor = jax.random.split(key_for(0, "update"), 3)
        self.key_ours, self.key_theirs, self.key_features = jax.random.split(key_actor, 3)
        seen, target_actor, target_critic = (
            self.batch.next_observation, Plain(state.target_actor.mlp), Plain(state.target_critic.mlp)
        )  # fmt: skip
        mixed = list[Array]()
        for raw in self.raw(target_actor, seen, key_next, 4):
            q = target_critic(np.concatenate([seen, np.tanh(raw)], 1))[..., 0]
            mixed.append(0.75 * q.min(0) + 0.25 * q.max(0) if algorithm.spread is None else self.least(q))
        self.target = self.batch.reward + 0.99 * self.batch.discount * np.max(mixed, axis=0)
        self.theirs = self.of_behaviour(state.behaviour.policy)

    def raw(self, net: Plain, seen: Array, key: Any, count: int) -> list[Array]:
        """Actions of a tanh Gaussian before the tanh."""
        mean, log_std = np.split(net(seen), 2, axis=-1)
        noise = [
            np.asarray(jax.random.normal(k, mean.shape), np.float64) for k in jax.random.split(key, count)
        ]
        return [mean + np.exp(np.clip(log_std, -5, 2)) * one for one in noise]

    def of_behaviour(self, policy: Any) -> list[Array]:
        seen = self.batch.observation
        if self.algorithm.behaviour_model == "tanh_gaussian":
            return self.raw(Plain(policy.mlp), seen, self.key_theirs, 3)
        if self.algorithm.behaviour_model != "vae":
            drawn = [np.asarray(policy(seen).sample(k)) for k in jax.random.split(self.key_theirs, 3)]
            assert np.abs(drawn).max() > 1, "actions beyond the limits are the case in question"
            return [np.arctanh(np.clip(one, -0.95, 0.95)) for one in drawn]
        decoder = Plain(policy.decoder)
        noise = [np.asarray(jax.random.normal(k, (12, 4))) for k in jax.random.split(self.key_theirs, 3)]
        return [decoder(np.concatenate([seen, np.clip(one, -0.5, 0.5)], 1)) for one in noise]

    def distance(self, ours: list[Array]) -> Array:
        if self.algorithm.mmd == "rff":
            w = np.asarray(random_frequencies(self.key_features, 8, 2, "laplacian", 7.0), np.float64)
            features = lambda x: np.concatenate([np.cos(x @ w.T), np.sin(x @ w.T)], -1) / np.sqrt(8)  # noqa: E731
            ours_mean, theirs_mean = (np.mean([features(x) for x in z], axis=0) for z in (ours, self.theirs))
            return np.sqrt(((ours_mean - theirs_mean) ** 2).sum(-1) + 1e-6)
        laplacian = self.algorithm.kernel == "laplacian"
        size = (lambda d: np.abs(d).sum(-1)) if laplacian else (lambda d: (d**2).sum(-1))
        mean = lambda x, y: np.mean([np.exp(-size(a - b) / 1.4) for a in x for b in y], axis=0)  # noqa: E731
        return np.sqrt(mean(ours, ours) + mean(self.theirs, self.theirs) - 2 * mean(ours, self.theirs) + 1e-6)

    def least(self, q: Array) -> Array:
        spread = self.algorithm.spread
        return q.min(0) if spread is None else q.mean(0) - spread * q.std(0)

    def critic_loss(self) -> float:
        q = self.critic(np.concatenate([self.batch.observation, self.batch.action], 1))[..., 0]
        return float(np.square(q - self.target).mean(1).sum())

    def actor_loss(self) -> float:
        seen = self.batch.observation
        ours = self.raw(self.actor, seen, self.key_ours, 3)
        q = self.least(self.critic(np.concatenate([seen, np.tanh(ours[0])], 1))[..., 0])
        return float((1.0 * (self.distance(ours) - 0.05) - q).mean())


@pytest.mark.parametrize("name", METHODS)
def test_losses_and_gradients_are_the_paper_s(name: str) -> None:
    one = probe(name)
    plain = Statement(METHODS[name], one.state, one.batch)
    after, metrics = one.after()
    agree(metrics["critic/loss"], plain.critic_loss(), "critic loss")
    agree(metrics["actor/loss"], plain.actor_loss(), "actor loss")
    agree_with_differences(after.critic, plain.critic, plain.critic_loss)
    agree_with_differences(after.actor, plain.actor, plain.actor_loss)


def test_each_loss_reads_its_networks() -> None:
    one = probe("laplacian")
    assert one.readers(lambda s: s.target_critic) == {"critic/loss"}
    assert one.readers(lambda s: s.target_actor) == {"critic/loss"}
    assert one.readers(lambda s: s.critic.net) == {"critic/loss", "actor/loss"}
    assert one.readers(lambda s: s.actor.net) == {"actor/loss"}
    assert one.readers(lambda s: s.behaviour.model.net.decoder) == {"behaviour/loss", "actor/loss"}
    assert one.readers(lambda s: s.behaviour.model.net.encoder) == {"behaviour/loss"}
    both = [one.readers(lambda s: s.critic.net.mlp, member=m) for m in (0, 1)]
    assert both == [{"critic/loss", "actor/loss"}] * 2, "the actor climbs the smaller of the critics"


@pytest.mark.parametrize(("threshold", "sign"), [(0.0, 1), (10.0, -1)])
def test_the_multiplier_rises_where_the_constraint_is_broken(threshold: float, sign: int) -> None:
    """One step of Adam is the rate, 1e-3; the logarithm stays in [-5, 10]."""
    algorithm = dataclasses.replace(METHODS["laplacian"], threshold=threshold)
    one = Probe(
        algorithm, SPEC, probe("laplacian").batch, prepare=unlike, moving=("multiplier_learning_rate",)
    )
    assert float(one.after()[0].multiplier.net.log) == pytest.approx(sign * 1e-3, abs=1e-6)
    edge = 10.0 if sign > 0 else -5.0
    limit = eqx.tree_at(lambda s: s.multiplier.net.log, one.state, jnp.float32(edge))
    after, metrics = one.after(limit)
    assert float(after.multiplier.net.log) == edge
    assert metrics["policy/multiplier"] == pytest.approx(np.exp(edge), rel=1e-5)
    exact = np.exp(edge) * (metrics["policy/mmd"] - threshold) - metrics["actor/value"]
    assert metrics["actor/loss"] == pytest.approx(exact, rel=1e-4, abs=1e-3)


def test_while_it_warms_up_the_policy_does_not_see_values() -> None:
    one = Probe(
        dataclasses.replace(METHODS["laplacian"], warm_up=1), SPEC, probe("laplacian").batch, prepare=unlike
    )
    other = one.with_moved(lambda s: s.critic.net.mlp)
    (cold, metrics), (cold_too, _) = one.after(), one.after(other)
    assert eqx.tree_equal(cold.actor.optimiser.mu, cold_too.actor.optimiser.mu)
    assert metrics["critic/loss"] > 0, "the critics learn meanwhile"
    warm, warm_too = (
        one.after(eqx.tree_at(lambda s: s.updates, s, jnp.int32(1)))[0] for s in (one.state, other)
    )
    assert not eqx.tree_equal(warm.actor.optimiser.mu, warm_too.actor.optimiser.mu)


def test_a_finished_behaviour_is_kept_and_another_learns_along() -> None:
    algorithm = dataclasses.replace(METHODS["gaussian"], behaviour_learning_rate=1e-3)
    state, batch = probe("gaussian").state, probe("gaussian").batch
    given = BC(hidden=(6, 6), head="tanh_gaussian").init(SPEC, key_for(3, "init")).actor.net
    update = jax.jit(algorithm.update)
    own, _ = update(state, batch, key_for(0, "update"))
    assert not eqx.tree_equal(own.behaviour.policy, state.behaviour.policy)
    adopted, _ = update(algorithm.adopt(state, given), batch, key_for(0, "update"))
    assert eqx.tree_equal(adopted.behaviour.policy.mlp, given.mlp)


def test_it_plays_the_best_of_its_own_actions_by_the_first_critic() -> None:
    algorithm = dataclasses.replace(METHODS["laplacian"], act_samples=7)
    state, seen = probe("laplacian").state, probe("laplacian").batch.observation
    answer = algorithm.policy(state)(seen)
    keys = jax.random.split(key_for(5, "act"), 7)
    drawn = jax.vmap(lambda row: jax.vmap(state.actor.net(row).sample)(keys), out_axes=1)(seen)
    best = np.asarray(state.critic.net(seen, drawn)[0]).argmax(0)
    np.testing.assert_allclose(
        answer.sample(key_for(5, "act")), np.asarray(drawn)[best, np.arange(12)], rtol=1e-5
    )
    assert np.array_equal(answer.mode(), answer.mode())
    assert not np.array_equal(answer.mode(), answer.sample(key_for(5, "act")))


def test_choices_are_sent_elsewhere() -> None:
    data = built(changed(walk_log(), action=np.arange(15) % 3, action_space=None), discrete=True)
    with pytest.raises(RefusedInput, match="Use bcq"):
        BEAR().require(data)
