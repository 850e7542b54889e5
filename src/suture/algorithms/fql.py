"""Flow Q-learning (Park et al. 2025, arXiv:2502.02538).

A flow clones the behaviour, with all its ways to act. A second network jumps at once to where the flow ends,
and climbs the critics at the same time: it is the policy, and no gradient runs back along the flow. All
networks move together, each by the others as they were before the step.
"""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.critic_based import CriticBased
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import Critic, critic_for
from suture.nets.flow import FlowPolicy, JumpPolicy
from suture.nets.optimiser import adam
from suture.nets.policies import Policy
from suture.objectives.ascent import scaled_ascent
from suture.objectives.regressions import flow_matching_loss, squared_loss
from suture.objectives.returns import one_step_target

PAPER = "Park et al. 2025 (arXiv:2502.02538)"


class FQLState(eqx.Module):
    """The critics, their slow copy, the flow, and the policy."""

    critic: Trainable[Critic]
    target_critic: Critic
    flow: Trainable[FlowPolicy]
    actor: Trainable[JumpPolicy]


@dataclasses.dataclass(frozen=True)
class FQL(CriticBased[FQLState]):
    """Flow Q-learning: a clone with several ways to act keeps a one-step policy near the log."""

    name: ClassVar[str] = "fql"
    actions: ClassVar[frozenset[str]] = frozenset({"continuous"})

    bc_weight: float = bounded(
        1.0, at_least=0.0, source=PAPER,
        help="alpha: how near the policy stays to the flow; tune it first, within 0.03 to 10 (to 1000 and "
        "more where values are not normalised)",
    )  # fmt: skip
    normalise_q: bool = bounded(
        True, source=PAPER, help="divide the policy's value by its mean size, so that rewards have no scale"
    )
    flow_steps: int = fields.flow_steps(PAPER)
    spread: float | None = fields.spread(0.0)
    hidden: tuple[int, ...] = fields.hidden(PAPER, (512, 512, 512, 512))
    layer_norm: bool = bounded(True, source=PAPER, help="layer norm in the critics")
    actor_learning_rate: float = fields.learning_rate("the policy and the flow", source=PAPER)

    def init(self, spec: Spec, key: Key) -> FQLState:
        key_critic, key_flow, key_actor = jax.random.split(key, 3)
        observation, space = spec.observation, self.decision_space(spec)
        critic = critic_for(
            observation, space, self.hidden, self.critics, key_critic,
            layer_norm=self.layer_norm, activation="gelu",
        )  # fmt: skip
        flow = FlowPolicy(observation, space.size, self.hidden, self.flow_steps, key_flow)
        actor = JumpPolicy(observation, space.size, self.hidden, key_actor)
        actors = self._actor_optimiser()
        return FQLState(
            Trainable.of(critic, self.critic_optimiser()),
            critic,
            Trainable.of(flow, actors),
            Trainable.of(actor, actors),
        )

    def _actor_optimiser(self) -> optax.GradientTransformation:
        return adam(self.actor_learning_rate)

    def update(self, state: FQLState, batch: Batch, key: Key) -> tuple[FQLState, Metrics]:
        assert batch.reward is not None
        assert batch.discount is not None
        assert batch.next_observation is not None
        key_next, key_flow, key_actor = jax.random.split(key, 3)
        following = state.actor.net(batch.next_observation).sample(key_next)
        next_value = self.pessimistic(state.target_critic(batch.next_observation, following))
        target = one_step_target(batch.reward, self.discount * batch.discount, next_value)
        critic, critic_metrics = self.fit_critic(state.critic, batch, target)
        flow, flow_metrics = clone(state.flow, batch, self._actor_optimiser(), key_flow)
        actor, actor_metrics = self._climb(state, batch, key_actor)
        target_critic = follow(state.target_critic, critic.net, self.target_rate)
        after = FQLState(critic, target_critic, flow, actor)
        return after, critic_metrics | flow_metrics | actor_metrics

    def _climb(self, state: FQLState, batch: Batch, key: Key) -> tuple[Trainable[JumpPolicy], Metrics]:
        """One step of the policy: to the flow's answers to the same noise, and up the mean of the critics."""
        cloned = state.flow.net(batch.observation)
        noise = cloned.noise(key)
        wanted = jax.lax.stop_gradient(jnp.clip(cloned.of(noise), -1.0, 1.0))

        def loss(net: JumpPolicy) -> tuple[Array, Metrics]:
            action = net(batch.observation).of(noise)
            distance = squared_loss(wanted - action)
            q = state.critic.net(batch.observation, jnp.clip(action, -1.0, 1.0)).mean(0)
            ascent = scaled_ascent(q) if self.normalise_q else -q.mean()
            value = self.bc_weight * distance + ascent
            return value, scalars(actor_loss=value, actor_distance=distance, actor_value=q.mean())

        return state.actor.descend(loss, self._actor_optimiser())

    def policy(self, state: FQLState) -> Policy:
        return state.actor.net


def clone(
    flow: Trainable[FlowPolicy], batch: Batch, optimiser: optax.GradientTransformation, key: Key
) -> tuple[Trainable[FlowPolicy], Metrics]:
    """One step of a flow towards the logged actions."""
    key_noise, key_time = jax.random.split(key)
    noise = jax.random.normal(key_noise, batch.action.shape)
    time = jax.random.uniform(key_time, (len(batch.action), 1))

    def loss(net: FlowPolicy) -> tuple[Array, Metrics]:
        features = net.encoder(batch.observation)
        value = flow_matching_loss(lambda x, time: net.velocity(features, x, time), batch.action, noise, time)
        return value, scalars(flow_loss=value)

    return flow.descend(loss, optimiser)
