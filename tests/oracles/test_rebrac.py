"""ReBRAC: the published formulas in float64, fixed points in closed form, and what each loss reads."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.bandit import fixed_point
from making.canonical import solve
from making.parity import Plain, agree, agree_with_differences
from making.probe import QUICK, Probe, on_actor_step

from suture.algorithms.base import Batch, Spec
from suture.algorithms.rebrac import ReBRAC
from suture.keys import key_for
from suture.spaces import Array, Box
from suture.testing.contract import example_batch, example_columns

SPEC = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2))
ALGORITHM = ReBRAC(hidden=(6, 6), actor_penalty=0.3, critic_penalty=0.2, noise=0.4, noise_limit=0.5)


def unlike(state: Any) -> Any:
    """A state whose targets are not the networks that they follow, about to move its policy."""
    other = jax.jit(lambda key: ALGORITHM.init(SPEC, key), compiler_options=QUICK)(key_for(1, "init"))
    slow = state.slow
    wide = jax.tree.map(lambda leaf: 20 * leaf, other.slow.actor.net)  # some actions at the bounds
    slow = type(slow)(slow.actor, wide, other.critic.net, slow.metrics)
    return on_actor_step(type(state)(state.critic, slow, state.updates))


@pytest.fixture(scope="module")
def probe() -> Probe:
    return Probe(ALGORITHM, SPEC, example_batch(SPEC, ALGORITHM.needs), prepare=unlike)


class Statement:
    """The losses of the paper in float64 NumPy, for a state and a batch."""

    def __init__(self, state: Any, batch: Batch, noise: Array):
        self.batch = jax.tree.map(lambda column: np.asarray(column, np.float64), batch)
        self.actor, self.critic = Plain(state.slow.actor.net.mlp), Plain(state.critic.net.mlp)
        self.target = self._target(
            Plain(state.slow.target_actor.mlp), Plain(state.slow.target_critic.mlp), noise
        )
        self.size = np.abs(self.smaller_q()).mean()

    def _target(self, actor: Plain, critic: Plain, noise: Array) -> Array:
        b = self.batch
        action = np.clip(np.tanh(actor(b.next_observation)) + np.clip(0.4 * noise, -0.5, 0.5), -1, 1)
        assert (np.abs(0.4 * noise) > 0.5).any()
        assert (np.abs(action) == 1).any(), "both clips must matter here"
        q = critic(np.concatenate([b.next_observation, action], 1))[..., 0].min(0)
        penalty = 0.2 * b.next_action_known * np.square(action - b.next_action).sum(1)
        return b.reward + 0.99 * b.discount * (q - penalty)

    def smaller_q(self) -> Array:
        """The smaller critic's value of the policy's own action."""
        seen = self.batch.observation
        return self.critic(np.concatenate([seen, np.tanh(self.actor(seen))], 1))[..., 0].min(0)

    def critic_loss(self) -> float:
        q = self.critic(np.concatenate([self.batch.observation, self.batch.action], 1))[..., 0]
        return float(np.square(q - self.target).mean(1).sum())

    def actor_loss(self) -> float:
        """The divisor is a constant: what it was before anything was moved."""
        own = np.tanh(self.actor(self.batch.observation))
        distance = np.square(own - self.batch.action).sum(1)
        return float((0.3 * distance - self.smaller_q() / self.size).mean())


def test_losses_and_gradients_are_the_paper_s(probe: Probe) -> None:
    noise = np.asarray(jax.random.normal(key_for(0, "update"), (12, 2)), np.float64)
    plain = Statement(probe.state, probe.batch, noise)
    after, metrics = probe.after()
    agree(metrics["critic/loss"], plain.critic_loss(), "critic loss")
    agree(metrics["actor/loss"], plain.actor_loss(), "actor loss")
    agree_with_differences(after.critic, plain.critic, plain.critic_loss)
    agree_with_differences(after.slow.actor, plain.actor, plain.actor_loss)


def test_each_loss_reads_its_networks(probe: Probe) -> None:
    assert probe.readers(lambda s: s.slow.target_actor) == {"critic/loss"}
    assert probe.readers(lambda s: s.slow.target_critic) == {"critic/loss"}
    assert probe.readers(lambda s: s.slow.actor.net) == {"actor/loss"}
    assert probe.readers(lambda s: s.critic.net.mlp) == {"critic/loss", "actor/loss"}


def test_values_and_actions_begin_near_zero_and_targets_as_copies() -> None:
    """Normalised features would make the first values as large as 1, and far apart."""
    algorithm = ReBRAC(hidden=(64, 64, 64))
    state = jax.jit(lambda key: algorithm.init(SPEC, key), compiler_options=QUICK)(key_for(0, "init"))
    seen = jax.random.normal(key_for(0, "act"), (100, 3))
    action = state.slow.actor.net(seen).mode()
    q = state.critic.net(seen, action)
    assert 0 < jnp.abs(q).max() < 0.1
    assert 0 < jnp.abs(action).max() < 0.1
    np.testing.assert_array_equal(state.slow.target_critic(seen, action), q)
    np.testing.assert_array_equal(state.slow.target_actor(seen).mode(), action)


def test_layer_norm_is_in_the_critics_alone(probe: Probe) -> None:
    assert [len(net.mlp.norms) for net in (probe.state.critic.net, probe.state.slow.actor.net)] == [2, 0]


@pytest.mark.parametrize(("penalty", "exact"), [(0.01, 0.493071), (0.1, 0.437713), (1.0, 0.239482)])
def test_the_policy_rests_where_value_and_cloning_balance(penalty: float, exact: float) -> None:
    algorithm = ReBRAC(hidden=(), layer_norm=False, actor_penalty=penalty)
    np.testing.assert_allclose(fixed_point(algorithm, 6), exact, atol=1e-3)


def test_values_fall_by_the_expected_distance_to_what_the_log_did_next() -> None:
    """A loop that pays 1, policy 0.5, next actions -0.2 +- 0.4: (1 - 0.9 * 0.1 * (0.49 + 0.16)) / 0.1."""
    seen, ones = jnp.ones((4, 1)), jnp.ones(4)
    batch = Batch(
        observation=seen, action=0.5 * seen, reward=ones, discount=ones, next_observation=seen,
        next_action=jnp.array([[-0.6], [0.2]] * 2), next_action_known=ones,
    )  # fmt: skip
    algorithm = ReBRAC(
        hidden=(),
        layer_norm=False,
        discount=0.9,
        noise=0.0,
        target_rate=0.05,
        actor_penalty=1e4,
        critic_penalty=0.1,
    )
    spec = Spec(observation=Box((1,)), action=Box((1,), low=(-1.0,), high=(1.0,)))
    state = solve(algorithm, batch=batch, spec=spec)
    q = state.critic.net(seen, batch.action)
    np.testing.assert_allclose(q, 9.4150, atol=1e-3)


def test_what_the_log_did_next_costs_nothing_where_it_is_unknown(probe: Probe) -> None:
    batch = probe.batch
    unknown = type(batch)(**vars(batch) | {"next_action_known": jnp.zeros(12)})
    elsewhere = type(batch)(**vars(unknown) | {"next_action": 1 - batch.next_action})
    losses = [probe.after(batch=one)[1]["critic/loss"] for one in (batch, unknown, elsewhere)]
    assert losses[0] != losses[1] == losses[2]


def test_of_chunks_each_known_action_is_penalised() -> None:
    """Two actions of two dimensions: the second one's distance counts where the log is known so far."""
    algorithm = ReBRAC(hidden=(6,), chunk=2, critic_penalty=0.2, noise=0.0)
    columns = example_columns(SPEC, algorithm.needs, algorithm.window)
    one = Probe(algorithm, SPEC, algorithm.batch(columns))
    batch = one.batch
    assert batch.next_action is not None
    assert batch.next_action.shape == (12, 4)
    following = one.state.slow.target_actor(batch.next_observation).mode()
    square = np.square(np.asarray(following - batch.next_action, np.float64)).reshape(12, 2, 2).sum(-1)
    critic = one.state.slow.target_critic

    def exact(known: Any) -> Array:
        value = np.asarray(critic(batch.next_observation, following).min(0))
        return value - 0.2 * (square * np.asarray(known)).sum(1)

    for known in ([1.0, 1.0], [1.0, 0.0], [0.0, 0.0]):
        flags = jnp.tile(jnp.array(known), (12, 1))
        told = type(batch)(**vars(batch) | {"next_action_known": flags})
        np.testing.assert_allclose(
            algorithm.next_value(critic, told, following), exact(flags), rtol=1e-5, atol=1e-7
        )
    assert np.isfinite(list(one.metrics.values())).all()
