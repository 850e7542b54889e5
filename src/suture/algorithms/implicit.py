"""Values that look for the best logged actions and ask about no others: what IQL and IFQL share."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.critic_based import S
from suture.algorithms.encoding import SharesEncoder
from suture.keys import Key
from suture.nets.critics import Critic, Value, critic_for
from suture.nets.mlp import Activation
from suture.nets.optimiser import adam
from suture.objectives.regressions import expectile_loss
from suture.objectives.returns import one_step_target

PAPER = "Kostrikov et al. 2021 (arXiv:2110.06169)"


class Values(NamedTuple):
    """V, the critics, and their slow copy."""

    value: Trainable[Value]
    critic: Trainable[Critic]
    target_critic: Critic


@dataclasses.dataclass(frozen=True)
class ImplicitValues(SharesEncoder[S]):
    """V is an upper expectile of Q over the behaviour's actions; Q regresses on `r + gamma V(s')`."""

    expectile: float = fields.expectile()
    value_learning_rate: float = fields.learning_rate("V", source=PAPER)

    def init_values(self, spec: Spec, keys: tuple[Key, Key], activation: Activation = "relu") -> Values:
        """Fresh networks, from a key for V and one for the critics."""
        observation, action, norm = spec.observation, self.decision_space(spec), self.layer_norm
        value = Value(observation, self.hidden, keys[0], layer_norm=norm, activation=activation)
        critic = critic_for(
            observation, action, self.hidden, self.critics, keys[1], layer_norm=norm, activation=activation
        )
        return Values(
            Trainable.of(self.own(value), adam(self.value_learning_rate)),
            Trainable.of(critic, self.critic_optimiser()),
            critic,
        )

    def fit_values(self, values: Values, batch: Batch) -> tuple[Values, Float[Array, " batch"], Metrics]:
        """One step of V towards the slow critics, then of the critics towards the new V, then the slow copy.

        Also returns the advantages of the logged actions: slow critics less the new V. The choice of networks
        is that of the authors' code.
        """
        assert batch.reward is not None
        assert batch.discount is not None
        critics = values.critic.net
        target_q = self.pessimistic(values.target_critic(batch.observation, batch.action))

        def value_loss(net: Value) -> tuple[Array, Metrics]:
            loss = expectile_loss(target_q - self.seeing(net, critics)(batch.observation), self.expectile)
            return loss, scalars(value_loss=loss)

        value, value_metrics = values.value.descend(value_loss, adam(self.value_learning_rate))
        v, next_v = self._now_and_next(self.seeing(value.net, critics), batch)
        target = one_step_target(batch.reward, self.discount * batch.discount, next_v)
        critic, critic_metrics = self.fit_critic(values.critic, batch, target)
        target_critic = follow(values.target_critic, critic.net, self.target_rate)
        metrics = value_metrics | critic_metrics | scalars(value_mean=v.mean())
        return Values(value, critic, target_critic), target_q - v, metrics

    def value(self, state: Any) -> Value:
        """V of a state, as it is asked."""
        return self.seeing(state.value.net, state.critic.net)

    def _now_and_next(self, value: Value, batch: Batch) -> tuple[Array, Array]:
        """V of the observations and of the next observations: in one pass, or where the first are encoded."""
        assert batch.next_observation is not None
        if self.shared_encoder:
            return value(batch.observation), value(batch.next_observation)
        both = jax.tree.map(lambda *rows: jnp.concatenate(rows), batch.observation, batch.next_observation)
        v, next_v = jnp.split(value(both), 2)
        return v, next_v
