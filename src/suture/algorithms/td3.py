"""Deterministic policies that climb a critic: twin delayed policy gradients (TD3).

Source: Fujimoto et al. 2018 (arXiv:1802.09477), algorithm 1, and the authors' code: noise on the target's
action, the smaller of two target critics, and a policy that moves, with both targets, every second update.
"""

import abc
import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.encoding import SharesEncoder
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import Critic, critic_for
from suture.nets.optimiser import adam
from suture.nets.policies import Policy, policy_for
from suture.objectives.returns import one_step_target

PAPER = "Fujimoto et al. 2018 (arXiv:1802.09477)"


class Slow(eqx.Module):
    """What moves every `actor_every` updates: the policy, both targets, and the actor's last metrics."""

    actor: Trainable[Policy]
    target_actor: Policy
    target_critic: Critic
    metrics: Metrics


class DeterministicState(eqx.Module):
    """The critics, what follows them more slowly, and the number of updates so far."""

    critic: Trainable[Critic]
    slow: Slow
    updates: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class DeterministicActorCritic(SharesEncoder[DeterministicState]):
    """A policy `action = pi(observation)` that follows a critic's gradient with respect to the action."""

    actions: ClassVar[frozenset[str]] = frozenset({"continuous"})

    noise: float = bounded(
        0.2, at_least=0.0, unit="half ranges of the action", source=PAPER,
        help="standard deviation of the noise on the target's action",
    )  # fmt: skip
    noise_limit: float = bounded(
        0.5, at_least=0.0, unit="half ranges of the action", source=PAPER, help="largest such noise"
    )
    actor_every: int = bounded(
        2, at_least=1, unit="updates", source=PAPER, help="the policy and the targets move once in so many"
    )
    actor_learning_rate: float = fields.learning_rate("the policy", source=PAPER)

    @abc.abstractmethod
    def actor_loss(self, critic: Critic, batch: Batch, action: Array) -> tuple[Array, Metrics]:
        """The loss of the policy's actions, (batch, dimensions), and its metrics."""
        raise NotImplementedError

    def next_value(self, critic: Critic, batch: Batch, action: Array) -> Float[Array, " batch"]:
        """What an action at the next observation is worth, by the target critics."""
        assert batch.next_observation is not None
        return self.pessimistic(critic(batch.next_observation, action))

    def init(self, spec: Spec, key: Key) -> DeterministicState:
        key_critic, key_actor = jax.random.split(key)
        space = self.decision_space(spec)
        critic = critic_for(
            spec.observation, space, self.hidden, self.critics, key_critic, layer_norm=self.layer_norm
        )
        actor = self.own(policy_for(spec.observation, space, "deterministic", self.hidden, key_actor))
        metrics = scalars(actor_loss=jnp.zeros(()), actor_value=jnp.zeros(()))
        slow = Slow(Trainable.of(actor, self._actor_optimiser()), actor, critic, metrics)
        return DeterministicState(
            Trainable.of(critic, self.critic_optimiser()), slow, jnp.zeros((), jnp.int32)
        )

    def _actor_optimiser(self) -> optax.GradientTransformation:
        return adam(self.actor_learning_rate)

    def update(self, state: DeterministicState, batch: Batch, key: Key) -> tuple[DeterministicState, Metrics]:
        assert batch.reward is not None
        assert batch.discount is not None
        assert batch.next_observation is not None
        target_actor = self.seeing(state.slow.target_actor, state.slow.target_critic)
        following = target_actor(batch.next_observation).mode()
        noise = self.noise * jax.random.normal(key, following.shape)
        noisy = jnp.clip(following + jnp.clip(noise, -self.noise_limit, self.noise_limit), -1, 1)
        next_value = self.next_value(state.slow.target_critic, batch, noisy)
        target = one_step_target(batch.reward, self.discount * batch.discount, next_value)
        critic, metrics = self.fit_critic(state.critic, batch, target)
        updates = state.updates + 1
        slow = jax.lax.cond(
            updates % self.actor_every == 0,
            lambda slow: self._move(slow, critic.net, batch),
            lambda slow: slow,
            state.slow,
        )
        return DeterministicState(critic, slow, updates), metrics | slow.metrics

    def _move(self, slow: Slow, critic: Critic, batch: Batch) -> Slow:
        """One step of the policy up the critics, then one of both targets."""

        def loss(policy: Policy) -> tuple[Array, Metrics]:
            return self.actor_loss(critic, batch, self.seeing(policy, critic)(batch.observation).mode())

        actor, metrics = slow.actor.descend(loss, self._actor_optimiser())
        target_actor = follow(slow.target_actor, actor.net, self.target_rate)
        return Slow(actor, target_actor, follow(slow.target_critic, critic, self.target_rate), metrics)

    def policy(self, state: DeterministicState) -> Policy:
        return self.seeing(state.slow.actor.net, state.critic.net)


@dataclasses.dataclass(frozen=True)
class TD3(DeterministicActorCritic):
    """TD3 as it is online, without anything that keeps it near the log: it over-estimates offline."""

    name: ClassVar[str] = "td3"

    def actor_loss(self, critic: Critic, batch: Batch, action: Array) -> tuple[Array, Metrics]:
        """Deterministic policy gradient: minus the first critic."""
        value = critic.first()(batch.observation, action).mean()
        return -value, scalars(actor_loss=-value, actor_value=value)
