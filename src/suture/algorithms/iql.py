"""Implicit Q-learning (Kostrikov et al. 2021, arXiv:2110.06169).

Values are learned from logged actions alone: V is an upper expectile of Q over the behaviour's actions, Q
regresses on `r + gamma V(s')`, and the policy clones logged actions weighted by their advantage. The order
within a step and the choice of networks (target critics in the V and actor losses, the online V in the Q
loss) are the reference implementation's.
"""

import dataclasses
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from suture.algorithms import fields
from suture.algorithms.base import Algorithm, Batch, Metrics, Spec, Trainable, follow, scalars
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import Critic, Value, critic_for
from suture.nets.optimiser import adam
from suture.nets.policies import Head, Policy, policy_for
from suture.objectives.regressions import expectile_loss, squared_loss
from suture.objectives.returns import one_step_target
from suture.objectives.weights import exponential_weight

PAPER = "Kostrikov et al. 2021 (arXiv:2110.06169)"


class IQLState(eqx.Module):
    """V, the critics, their slow copy, the policy, and the length of the actor's schedule (0: constant)."""

    value: Trainable[Value]
    critic: Trainable[Critic]
    target_critic: Critic
    actor: Trainable[Policy]
    steps: int = eqx.field(static=True)


@dataclasses.dataclass(frozen=True)
class IQL(Algorithm[IQLState]):
    """Implicit Q-learning: multi-step dynamic programming without asking about unseen actions."""

    name: ClassVar[str] = "iql"

    expectile: float = bounded(
        0.7, above=0.0, below=1.0, source=PAPER,
        help="level of the value expectile: 0.5 evaluates the behaviour, towards 1 its best actions; "
        "0.9 where fragments must be stitched",
    )  # fmt: skip
    inverse_temperature: float = bounded(
        3.0, at_least=0.0, unit="1 / reward", source=PAPER,
        help="how sharply the policy prefers high advantages: 0 is cloning",
    )  # fmt: skip
    max_weight: float = bounded(100.0, above=0.0, source=PAPER, help="limit of the advantage weight")
    discount: float = fields.discount()
    target_rate: float = fields.target_rate()
    value_learning_rate: float = fields.learning_rate("V", source=PAPER)
    critic_learning_rate: float = fields.learning_rate("the critics", source=PAPER)
    actor_learning_rate: float = fields.learning_rate("the policy", source=PAPER)
    actor_schedule: Literal["cosine", "constant"] = bounded(
        "cosine", source=PAPER, help="the policy's step size falls to 0 over the run, or stays"
    )
    head: Head = fields.head(source=PAPER)
    hidden: tuple[int, ...] = fields.hidden(source=PAPER)
    critics: int = fields.critics(source=PAPER)
    dropout: float = fields.dropout(source=PAPER)
    layer_norm: bool = bounded(False, help="layer norm in V and the critics (for sparse, long tasks)")

    def init(self, spec: Spec, key: Key) -> IQLState:
        key_value, key_critic, key_actor = jax.random.split(key, 3)
        observation, action, norm = spec.observation, spec.action, self.layer_norm
        value = Value(observation, self.hidden, key_value, layer_norm=norm)
        critic = critic_for(observation, action, self.hidden, self.critics, key_critic, layer_norm=norm)
        policy = policy_for(observation, action, self.head, self.hidden, key_actor, dropout=self.dropout)
        return IQLState(
            Trainable.of(value, adam(self.value_learning_rate)),
            Trainable.of(critic, adam(self.critic_learning_rate)),
            critic,
            Trainable.of(policy, self._actor_optimiser(spec.steps)),
            spec.steps if self.actor_schedule == "cosine" else 0,
        )

    def _actor_optimiser(self, steps: int) -> optax.GradientTransformation:
        cosine = optax.cosine_decay_schedule(1.0, steps) if self.actor_schedule == "cosine" else None
        return adam(self.actor_learning_rate, cosine)

    def update(self, state: IQLState, batch: Batch, key: Key) -> tuple[IQLState, Metrics]:
        assert batch.reward is not None
        assert batch.discount is not None
        target_q = state.target_critic(batch.observation, batch.action).min(0)

        def value_loss(net: Value) -> tuple[Array, Metrics]:
            loss = expectile_loss(target_q - net(batch.observation), self.expectile)
            return loss, scalars(value_loss=loss)

        value, value_metrics = state.value.descend(value_loss, adam(self.value_learning_rate))
        v, next_v = _values(value.net, batch)
        weight = exponential_weight(target_q - v, self.inverse_temperature, self.max_weight)

        def actor_loss(policy: Policy) -> tuple[Array, Metrics]:
            loss = -(weight * policy(batch.observation, key).log_prob(batch.action)).mean()
            return loss, scalars(actor_loss=loss, actor_weight=weight.mean())

        actor, actor_metrics = state.actor.descend(actor_loss, self._actor_optimiser(state.steps))
        target = one_step_target(batch.reward, self.discount * batch.discount, next_v)

        def critic_loss(net: Critic) -> tuple[Array, Metrics]:
            q = net(batch.observation, batch.action)
            loss = self.critics * squared_loss(target - q)  # summed over the ensemble
            return loss, scalars(critic_loss=loss, critic_mean=q.mean())

        critic, critic_metrics = state.critic.descend(critic_loss, adam(self.critic_learning_rate))
        target_critic = follow(state.target_critic, critic.net, self.target_rate)
        values = scalars(value_mean=v.mean(), value_max_abs=jnp.abs(target).max())
        after = IQLState(value, critic, target_critic, actor, state.steps)
        return after, value_metrics | critic_metrics | actor_metrics | values

    def policy(self, state: IQLState) -> Policy:
        return state.actor.net

    def value_limit(self, spec: Spec) -> float | None:
        if spec.reward_limit is None or self.discount >= 1:
            return None
        # At least 1: fresh networks answer about 1 even where all rewards are 0.
        return max(spec.reward_limit, 1.0) / (1 - self.discount)


def _values(value: Value, batch: Batch) -> tuple[Array, Array]:
    """V of the observations and of the next observations, in one pass."""
    both = jax.tree.map(lambda *rows: jnp.concatenate(rows), batch.observation, batch.next_observation)
    v, next_v = jnp.split(value(both), 2)
    return v, next_v
