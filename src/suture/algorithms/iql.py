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
import optax
from jaxtyping import Array

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, scalars
from suture.algorithms.implicit import PAPER, ImplicitValues, Values
from suture.config import OWN, bounded
from suture.errors import ConfigError
from suture.keys import Key
from suture.nets.critics import Critic, Value
from suture.nets.optimiser import Schedule, adam, cosine
from suture.nets.policies import Head, Policy, policy_for, with_std
from suture.nets.search import GreedyInSupport
from suture.objectives.ascent import scaled_ascent
from suture.objectives.weights import exponential_weight
from suture.spaces import Discrete

EXTRACTION = "Park et al. 2024 (arXiv:2406.09329)"
CLONING_STD = 1.0
"""Of a gaussian head in ddpg_bc, where a learned one would grow the weight of cloning as it falls."""


class IQLState(eqx.Module):
    """V, the critics, their slow copy, the policy, and the length of the actor's schedule (0: constant)."""

    value: Trainable[Value]
    critic: Trainable[Critic]
    target_critic: Critic
    actor: Trainable[Policy]
    steps: int = eqx.field(static=True)


@dataclasses.dataclass(frozen=True)
class IQL(ImplicitValues[IQLState]):
    """Implicit Q-learning: multi-step dynamic programming without asking about unseen actions."""

    name: ClassVar[str] = "iql"

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
    bc_weight: float = bounded(
        1.0, at_least=0.0, source=EXTRACTION,
        help="ddpg_bc: weight of cloning, with standard deviation 1 in a gaussian head",
    )  # fmt: skip
    threshold: float = bounded(
        0.05,
        at_least=0.0,
        below=1.0,
        unit="probability",
        source=OWN,
        help="greedy: the least that a choice is taken",
    )
    actor_learning_rate: float = fields.learning_rate("the policy", source=PAPER)
    actor_schedule: Schedule = fields.schedule("cosine", "the policy's", PAPER)
    head: Head = fields.head(source=PAPER)
    dropout: float = fields.dropout(source=PAPER)

    def init(self, spec: Spec, key: Key) -> IQLState:
        if (self.extraction != "awr") and (self.extraction == "greedy") != isinstance(spec.action, Discrete):
            kind = "discrete" if self.extraction == "greedy" else "continuous"
            raise ConfigError(f"IQL.extraction={self.extraction!r} is for {kind} actions, not {spec.action}.")
        key_value, key_critic, key_actor = jax.random.split(key, 3)
        values, action = self.init_values(spec, (key_value, key_critic)), self.decision_space(spec)
        policy = policy_for(spec.observation, action, self.head, self.hidden, key_actor, dropout=self.dropout)
        steps = spec.steps if self.actor_schedule == "cosine" else 0
        return IQLState(*values, Trainable.of(self.own(policy), self._actor_optimiser(steps)), steps)

    def _actor_optimiser(self, steps: int) -> optax.GradientTransformation:
        return adam(self.actor_learning_rate, cosine(steps))

    def update(self, state: IQLState, batch: Batch, key: Key) -> tuple[IQLState, Metrics]:
        before = Values(state.value, state.critic, state.target_critic)
        values, advantage, metrics = self.fit_values(before, batch)
        actor, actor_metrics = self._extract(state, batch, advantage, key)
        return IQLState(*values, actor, state.steps), metrics | actor_metrics

    def _extract(
        self, state: IQLState, batch: Batch, advantage: Array, key: Key
    ) -> tuple[Trainable[Policy], Metrics]:
        cloned = self.extraction == "greedy"
        temperature = 0.0 if cloned else self.inverse_temperature
        weight = exponential_weight(advantage, temperature, self.max_weight)

        def seen(policy: Policy) -> Policy:
            return self.seeing(policy, state.critic.net)

        def weighted(policy: Policy) -> tuple[Array, Metrics]:
            loss = -(weight * seen(policy)(batch.observation, key).log_likelihood(batch.action)).mean()
            return loss, scalars(actor_loss=loss, actor_weight=weight.mean())

        def ascending(policy: Policy) -> tuple[Array, Metrics]:
            answer = with_std(seen(policy), CLONING_STD)(batch.observation, key)
            q = self.pessimistic(state.target_critic(batch.observation, answer.mode()))
            loss = scaled_ascent(q) - self.bc_weight * answer.log_likelihood(batch.action).mean()
            return loss, scalars(actor_loss=loss, actor_value=q.mean())

        loss = ascending if self.extraction == "ddpg_bc" else weighted
        return state.actor.descend(loss, self._actor_optimiser(state.steps))

    def policy(self, state: IQLState) -> Policy:
        policy = self.seeing(state.actor.net, state.critic.net)
        if self.extraction == "greedy":
            return GreedyInSupport(policy, state.critic.net, self.threshold, self.spread)
        return policy
