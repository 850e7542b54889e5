"""Implicit Q-learning (Kostrikov et al. 2021, arXiv:2110.06169).

Values are learned from logged actions alone: V is an upper expectile of Q over the behaviour's actions, Q
regresses on `r + gamma V(s')`, and the policy is extracted from Q. The order within a step and the choice of
networks (target critics in the V and actor losses, the online V in the Q loss) are the reference
implementation's.
"""

import dataclasses
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.critic_based import CriticBased
from suture.config import bounded
from suture.errors import ConfigError
from suture.keys import Key
from suture.nets.critics import Critic, Value, critic_for
from suture.nets.optimiser import adam
from suture.nets.policies import Head, Policy, policy_for
from suture.nets.search import GreedyInSupport
from suture.objectives.regressions import expectile_loss
from suture.objectives.returns import one_step_target
from suture.objectives.weights import exponential_weight
from suture.spaces import Discrete

PAPER = "Kostrikov et al. 2021 (arXiv:2110.06169)"
EXTRACTION = "Park et al. 2024 (arXiv:2406.09329)"


class IQLState(eqx.Module):
    """V, the critics, their slow copy, the policy, and the length of the actor's schedule (0: constant)."""

    value: Trainable[Value]
    critic: Trainable[Critic]
    target_critic: Critic
    actor: Trainable[Policy]
    steps: int = eqx.field(static=True)


@dataclasses.dataclass(frozen=True)
class IQL(CriticBased[IQLState]):
    """Implicit Q-learning: multi-step dynamic programming without asking about unseen actions."""

    name: ClassVar[str] = "iql"

    expectile: float = bounded(
        0.7, above=0.0, below=1.0, source=PAPER,
        help="level of the value expectile: 0.5 evaluates the behaviour, towards 1 its best actions; "
        "0.9 where fragments must be stitched",
    )  # fmt: skip
    extraction: Literal["awr", "ddpg_bc", "greedy"] = bounded(
        "awr", source=EXTRACTION,
        help="the policy: logged actions weighted by advantage; ascent on Q with cloning (continuous); "
        "or the best choice that the behaviour takes often enough (discrete)",
    )  # fmt: skip
    inverse_temperature: float = bounded(
        3.0, at_least=0.0, unit="1 / reward", source=PAPER,
        help="awr: how sharply the policy prefers high advantages, 0 is cloning",
    )  # fmt: skip
    max_weight: float = bounded(100.0, above=0.0, source=PAPER, help="awr: limit of the advantage weight")
    bc_weight: float = bounded(1.0, at_least=0.0, source=EXTRACTION, help="ddpg_bc: weight of cloning")
    threshold: float = bounded(
        0.05, at_least=0.0, below=1.0, unit="probability", help="greedy: the least that a choice is taken"
    )
    value_learning_rate: float = fields.learning_rate("V", source=PAPER)
    actor_learning_rate: float = fields.learning_rate("the policy", source=PAPER)
    actor_schedule: Literal["cosine", "constant"] = bounded(
        "cosine", source=PAPER, help="the policy's step size falls to 0 over the run, or stays"
    )
    head: Head = fields.head(source=PAPER)
    dropout: float = fields.dropout(source=PAPER)

    def init(self, spec: Spec, key: Key) -> IQLState:
        if (self.extraction != "awr") and (self.extraction == "greedy") != isinstance(spec.action, Discrete):
            kind = "discrete" if self.extraction == "greedy" else "continuous"
            raise ConfigError(f"IQL.extraction={self.extraction!r} is for {kind} actions, not {spec.action}.")
        key_value, key_critic, key_actor = jax.random.split(key, 3)
        observation, action, norm = spec.observation, self.decision_space(spec), self.layer_norm
        value = Value(observation, self.hidden, key_value, layer_norm=norm)
        critic = critic_for(observation, action, self.hidden, self.critics, key_critic, layer_norm=norm)
        policy = policy_for(observation, action, self.head, self.hidden, key_actor, dropout=self.dropout)
        return IQLState(
            Trainable.of(value, adam(self.value_learning_rate)),
            Trainable.of(critic, self.critic_optimiser()),
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
        target_q = self.pessimistic(state.target_critic(batch.observation, batch.action))

        def value_loss(net: Value) -> tuple[Array, Metrics]:
            loss = expectile_loss(target_q - net(batch.observation), self.expectile)
            return loss, scalars(value_loss=loss)

        value, value_metrics = state.value.descend(value_loss, adam(self.value_learning_rate))
        v, next_v = _values(value.net, batch)
        actor, actor_metrics = self._extract(state, batch, target_q - v, key)
        target = one_step_target(batch.reward, self.discount * batch.discount, next_v)
        critic, critic_metrics = self.fit_critic(state.critic, batch, target)
        target_critic = follow(state.target_critic, critic.net, self.target_rate)
        after = IQLState(value, critic, target_critic, actor, state.steps)
        return after, value_metrics | critic_metrics | actor_metrics | scalars(value_mean=v.mean())

    def _extract(
        self, state: IQLState, batch: Batch, advantage: Array, key: Key
    ) -> tuple[Trainable[Policy], Metrics]:
        cloned = self.extraction == "greedy"
        temperature = 0.0 if cloned else self.inverse_temperature
        weight = exponential_weight(advantage, temperature, self.max_weight)

        def weighted(policy: Policy) -> tuple[Array, Metrics]:
            loss = -(weight * policy(batch.observation, key).log_prob(batch.action)).mean()
            return loss, scalars(actor_loss=loss, actor_weight=weight.mean())

        def ascending(policy: Policy) -> tuple[Array, Metrics]:
            answer = policy(batch.observation, key)
            q = self.pessimistic(state.target_critic(batch.observation, answer.mode()))
            size = jax.lax.stop_gradient(jnp.abs(q).mean()) + 1e-6
            loss = (-q / size - self.bc_weight * answer.log_prob(batch.action)).mean()
            return loss, scalars(actor_loss=loss, actor_value=q.mean())

        loss = ascending if self.extraction == "ddpg_bc" else weighted
        return state.actor.descend(loss, self._actor_optimiser(state.steps))

    def policy(self, state: IQLState) -> Policy:
        if self.extraction == "greedy":
            return GreedyInSupport(state.actor.net, state.critic.net, self.threshold, self.spread)
        return state.actor.net


def _values(value: Value, batch: Batch) -> tuple[Array, Array]:
    """V of the observations and of the next observations, in one pass."""
    both = jax.tree.map(lambda *rows: jnp.concatenate(rows), batch.observation, batch.next_observation)
    v, next_v = jnp.split(value(both), 2)
    return v, next_v
