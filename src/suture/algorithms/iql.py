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

from suture.algorithms.base import Algorithm, Batch, Metrics, Spec, Trainable, follow, scalars
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import Critic, Value, critic_for
from suture.nets.policies import Head, Policy, policy_for
from suture.objectives.regressions import expectile_loss, squared_loss
from suture.objectives.returns import one_step_target
from suture.objectives.weights import exponential_weight

PAPER = "Kostrikov et al. 2021 (arXiv:2110.06169)"


class IQLState(eqx.Module):
    """V, the critics, their slow copy, the policy, and how long the run (and so the actor's schedule) is."""

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
    discount: float = bounded(0.99, at_least=0.0, at_most=1.0, help="gamma, per step")
    target_rate: float = bounded(0.005, above=0.0, at_most=1.0, help="Polyak rate of the target critics")
    value_learning_rate: float = bounded(3e-4, above=0.0, source=PAPER, help="Adam step size of V")
    critic_learning_rate: float = bounded(3e-4, above=0.0, source=PAPER, help="Adam step size of Q")
    actor_learning_rate: float = bounded(3e-4, above=0.0, source=PAPER, help="Adam step size of the policy")
    actor_schedule: Literal["cosine", "constant"] = bounded(
        "cosine", source=PAPER, help="the actor's step size falls to 0 over the run, or stays"
    )
    head: Head = bounded("gaussian", source=PAPER, help="distribution of continuous actions")
    hidden: tuple[int, ...] = bounded(
        (256, 256), at_least=1, unit="units", help="widths of the hidden layers"
    )
    critics: int = bounded(
        2, at_least=1, source=PAPER, help="size of the critic ensemble; its minimum is used"
    )
    dropout: float = bounded(
        0.0, at_least=0.0, below=1.0, traced=False, source=PAPER,
        help="share of the actor's hidden units dropped while training; 0.1 for small human data sets",
    )  # fmt: skip
    value_layer_norm: bool = bounded(False, help="layer norm in V and Q (for sparse, long-horizon tasks)")

    def init(self, spec: Spec, key: Key) -> IQLState:
        key_value, key_critic, key_actor = jax.random.split(key, 3)
        observation, action, norm = spec.observation, spec.action, self.value_layer_norm
        value = Value(observation, self.hidden, key_value, layer_norm=norm)
        critic = critic_for(observation, action, self.hidden, self.critics, key_critic, layer_norm=norm)
        policy = policy_for(observation, action, self.head, self.hidden, key_actor, dropout=self.dropout)
        return IQLState(
            Trainable.of(value, optax.adam(self.value_learning_rate)),
            Trainable.of(critic, optax.adam(self.critic_learning_rate)),
            critic,
            Trainable.of(policy, self._actor_optimiser(spec.steps)),
            spec.steps,
        )

    def _actor_optimiser(self, steps: int) -> optax.GradientTransformation:
        if self.actor_schedule == "constant":
            return optax.adam(self.actor_learning_rate)
        # The factor is scheduled, not the rate: a rate that a sweep traces cannot build a schedule.
        decay = optax.scale_by_schedule(optax.cosine_decay_schedule(1.0, steps))
        return optax.chain(optax.adam(self.actor_learning_rate), decay)

    def update(self, state: IQLState, batch: Batch, key: Key) -> tuple[IQLState, Metrics]:
        assert batch.reward is not None
        assert batch.discount is not None
        target_q = state.target_critic(batch.observation, batch.action).min(0)

        value, value_metrics = self._update_value(state.value, batch, target_q)
        v, next_v = self._values(value.net, batch)
        actor, actor_metrics = self._update_actor(state, batch, target_q - v, key)
        target = one_step_target(batch.reward, self.discount * batch.discount, next_v)
        critic, critic_metrics = self._update_critic(state.critic, batch, target)
        target_critic = follow(state.target_critic, critic.net, self.target_rate)

        state = IQLState(value, critic, target_critic, actor, state.steps)
        gap = scalars(
            value_mean=v.mean(), value_gap=(target_q - v).mean(), value_max_abs=jnp.abs(target).max()
        )
        return state, value_metrics | critic_metrics | actor_metrics | gap

    def _update_value(
        self, value: Trainable[Value], batch: Batch, target_q: Array
    ) -> tuple[Trainable[Value], Metrics]:
        def loss(net: Value) -> tuple[Array, Metrics]:
            error = target_q - net(batch.observation)
            objective = expectile_loss(error, self.expectile)
            return objective, scalars(value_loss=objective)

        return value.descend(loss, optax.adam(self.value_learning_rate))

    def _values(self, net: Value, batch: Batch) -> tuple[Array, Array]:
        """V of the observations and of the next observations, in one pass."""
        both = jax.tree.map(
            lambda now, after: jnp.concatenate([now, after]), batch.observation, batch.next_observation
        )
        v, next_v = jnp.split(net(both), 2)
        return v, next_v

    def _update_actor(
        self, state: IQLState, batch: Batch, advantage: Array, key: Key
    ) -> tuple[Trainable[Policy], Metrics]:
        weight = exponential_weight(advantage, self.inverse_temperature, self.max_weight)

        def loss(policy: Policy) -> tuple[Array, Metrics]:
            log_prob = policy(batch.observation, key).log_prob(batch.action)
            objective = -(weight * log_prob).mean()
            return objective, scalars(actor_loss=objective, actor_weight=weight.mean())

        return state.actor.descend(loss, self._actor_optimiser(state.steps))

    def _update_critic(
        self, critic: Trainable[Critic], batch: Batch, target: Array
    ) -> tuple[Trainable[Critic], Metrics]:
        def loss(net: Critic) -> tuple[Array, Metrics]:
            q = net(batch.observation, batch.action)
            objective = self.critics * squared_loss(target - q)  # the sum over the ensemble
            return objective, scalars(critic_loss=objective, critic_mean=q.mean())

        return critic.descend(loss, optax.adam(self.critic_learning_rate))

    def policy(self, state: IQLState) -> Policy:
        return state.actor.net

    def value_limit(self, spec: Spec) -> float | None:
        if spec.reward_limit is None or self.discount >= 1:
            return None
        return spec.reward_limit / (1 - self.discount)
