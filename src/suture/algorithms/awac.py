"""Advantage-weighted actor-critics: clone the logged actions that the critic prefers to the policy's own.

The critic evaluates the policy that is learned (not the behaviour), so that values and policy improve in
turn. Where values are exact, AWAC's fixed point is `behaviour * exp(Q / temperature)`, normalised.
Source: Nair et al. 2020 (arXiv:2006.09359). CRR (`crr.py`) shares the update and weighs differently.
"""

import abc
import dataclasses
from typing import ClassVar, Literal

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.encoding import SharesEncoder
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import Critic, critic_for
from suture.nets.distributions import Distribution
from suture.nets.expectation import expected_value
from suture.nets.optimiser import adam
from suture.nets.policies import Head, Policy, policy_for
from suture.objectives.returns import one_step_target
from suture.objectives.weights import exponential_weight, softmax_weight

PAPER, CORL = "Nair et al. 2020 (arXiv:2006.09359)", "Tarasov et al. 2022 (arXiv:2210.07105)"


class WeightedState(eqx.Module):
    """The critics of the policy, their slow copy, and the policy."""

    critic: Trainable[Critic]
    target_critic: Critic
    actor: Trainable[Policy]


@dataclasses.dataclass(frozen=True)
class WeightedActorCritic(SharesEncoder[WeightedState]):
    """Q of the policy by temporal differences, and the policy by cloning with weights from the advantage."""

    head: Head = fields.head()
    dropout: float = fields.dropout()
    actor_learning_rate: float = fields.learning_rate("the policy")

    @abc.abstractmethod
    def baseline(self, critic: Critic, batch: Batch, own: Distribution, key: Key) -> Float[Array, " batch"]:
        """What the policy's own actions are worth: the logged action is compared with it."""
        raise NotImplementedError

    @abc.abstractmethod
    def weight(self, advantage: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """How much each logged action counts."""
        raise NotImplementedError

    def init(self, spec: Spec, key: Key) -> WeightedState:
        key_critic, key_actor = jax.random.split(key)
        observation, action, norm = spec.observation, self.decision_space(spec), self.layer_norm
        critic = critic_for(observation, action, self.hidden, self.critics, key_critic, layer_norm=norm)
        policy = policy_for(observation, action, self.head, self.hidden, key_actor, dropout=self.dropout)
        actor = Trainable.of(self.own(policy), self._actor_optimiser())
        return WeightedState(Trainable.of(critic, self.critic_optimiser()), critic, actor)

    def _actor_optimiser(self) -> optax.GradientTransformation:
        return adam(self.actor_learning_rate)

    def update(self, state: WeightedState, batch: Batch, key: Key) -> tuple[WeightedState, Metrics]:
        assert batch.reward is not None
        assert batch.discount is not None
        assert batch.next_observation is not None
        key_next, key_own, key_dropout = jax.random.split(key, 3)
        following = self.policy(state)(batch.next_observation)
        next_value = expected_value(
            state.target_critic, batch.next_observation, following, key_next, samples=1, spread=self.spread
        )
        target = one_step_target(batch.reward, self.discount * batch.discount, next_value)
        critic, metrics = self.fit_critic(state.critic, batch, target)
        q = self.pessimistic(critic.net(batch.observation, batch.action))

        def loss(policy: Policy) -> tuple[Array, Metrics]:
            own = self.seeing(policy, critic.net)(batch.observation, key_dropout)
            advantage = q - self.baseline(critic.net, batch, jax.lax.stop_gradient(own), key_own)
            weight = self.weight(advantage)
            value = -(weight * own.log_likelihood(batch.action)).mean()
            more = scalars(actor_weight=weight.mean(), actor_advantage=advantage.mean())
            return value, scalars(actor_loss=value) | more

        actor, more = state.actor.descend(loss, self._actor_optimiser())
        target_critic = follow(state.target_critic, critic.net, self.target_rate)
        return WeightedState(critic, target_critic, actor), metrics | more

    def policy(self, state: WeightedState) -> Policy:
        return self.seeing(state.actor.net, state.critic.net)


@dataclasses.dataclass(frozen=True)
class AWAC(WeightedActorCritic):
    """Advantage-weighted actor-critic: weights `exp(advantage / temperature)`."""

    name: ClassVar[str] = "awac"

    temperature: float = bounded(
        0.333, above=0.0, unit="reward", source=PAPER,
        help="lambda: how much better an action must be to count e times as much; large is cloning",
    )  # fmt: skip
    weights: Literal["exp", "softmax"] = bounded(
        "exp", source=PAPER, help="limited by max_weight, or divided by their sum over the batch"
    )
    max_weight: float = bounded(100.0, above=0.0, source=CORL, help="exp: limit of the advantage weight")

    def baseline(self, critic: Critic, batch: Batch, own: Distribution, key: Key) -> Float[Array, " batch"]:
        """The mean over choices; one action of the policy otherwise."""
        return expected_value(critic, batch.observation, own, key, samples=1, spread=self.spread)

    def weight(self, advantage: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """`min(exp(advantage / temperature), max_weight)`, or the batch's softmax."""
        if self.weights == "softmax":
            return softmax_weight(advantage, 1 / self.temperature)
        return exponential_weight(advantage, 1 / self.temperature, self.max_weight)
