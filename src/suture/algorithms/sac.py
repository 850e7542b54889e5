"""Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905), and what the methods built on it share.

The policy is rewarded for its entropy, at a temperature that is learned so that the entropy reaches a target.
Nothing keeps it near the log: offline it is the naive baseline, whose values run away. Policy, critics and
temperature all move from the networks before the update, so that each is asked once about each observation.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax
from jaxtyping import Array

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.critic_based import Asked, Held, S, value_limit
from suture.algorithms.encoding import SharesEncoder
from suture.algorithms.multiplier import Multiplier, multiplier, rise
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import Critic, critic_for
from suture.nets.distributions import Categorical, Distribution
from suture.nets.drawn import Drawn, draw
from suture.nets.optimiser import adam
from suture.nets.policies import Policy, policy_for
from suture.objectives.returns import one_step_target, with_entropy
from suture.spaces import Box, Discrete

PAPER, CHOICES = "Haarnoja et al. 2018 (arXiv:1812.05905)", "Christodoulou 2019 (arXiv:1910.07207)"
Asking: TypeAlias = Callable[[Critic, Distribution, Distribution, Key], Asked]
"""How critics are asked, given the policy at the observations and at the next ones, and a key."""


class SACState(eqx.Module):
    """The critics, their slow copy, the policy, and the temperature of its entropy."""

    critic: Trainable[Critic]
    target_critic: Critic
    actor: Trainable[Policy]
    temperature: Trainable[Multiplier]


@dataclasses.dataclass(frozen=True)
class SoftActorCritic(SharesEncoder[S]):
    """A stochastic policy that climbs the critics, with its entropy as a further reward."""

    entropy_backup: bool = bounded(
        True, source=PAPER, help="the entropy of later steps counts in values; if not, only in the policy"
    )
    target_entropy: float | None = bounded(
        None, traced=True, unit="nats", source=f"{PAPER}; {CHOICES}",
        help="the entropy that the temperature is learned for; None: minus the dimensions of the action, or "
        "0.98 of the largest entropy of choices",
    )  # fmt: skip
    initial_temperature: float = bounded(1.0, above=0.0, unit="reward / nat", source=PAPER, help="at first")
    actor_learning_rate: float = fields.learning_rate("the policy", source=PAPER)
    temperature_learning_rate: float = fields.learning_rate("the temperature", source=PAPER)

    @property
    def values_hold(self) -> Held:
        return "rewards and entropy" if self.entropy_backup else "rewards"

    def value_limit(self, spec: Spec) -> float | None:
        """With the entropy aimed at, at the first temperature: one that rises far above it has run away."""
        entropy = self.initial_temperature * abs(self.entropy_target(self.decision_space(spec)))
        return value_limit(spec, self.discount, entropy if self.entropy_backup else 0.0)

    def soft_init(self, spec: Spec, key: Key) -> SACState:
        """Critics, policy and temperature before the first update."""
        keys, seen, space = jax.random.split(key), spec.observation, self.decision_space(spec)
        critic = critic_for(seen, space, self.hidden, self.critics, keys[0], layer_norm=self.layer_norm)
        policy = policy_for(seen, space, "tanh_gaussian", self.hidden, keys[1])
        return SACState(
            Trainable.of(critic, self.critic_optimiser()), critic,
            Trainable.of(self.own(policy), adam(self.actor_learning_rate)),
            multiplier(self.initial_temperature, adam(self.temperature_learning_rate)),
        )  # fmt: skip

    def soft_update(
        self, state: SACState, batch: Batch, key: Key, ask: Asking | None = None
    ) -> tuple[SACState, Metrics]:
        """One step of everything.   ask: how the critics are asked in their loss, where it has a penalty."""
        assert batch.reward is not None
        assert batch.discount is not None
        assert batch.next_observation is not None
        key_now, key_next, key_ask = jax.random.split(key, 3)

        def loss(policy: Policy) -> tuple[Array, tuple[Distribution, Array, Array]]:
            now = self.seeing(policy, state.critic.net)(batch.observation)
            drawn = draw(now, key_now)
            value = self.actor_loss(state, batch, now, drawn)
            return value, (now, value, -drawn.mean(drawn.log_prob).mean())

        actor, (now, actor_loss, entropy) = state.actor.descend(loss, adam(self.actor_learning_rate))
        following = self.seeing(state.actor.net, state.critic.net)(batch.next_observation)
        next_value = self.next_value(state, batch, following, key_next)
        target = one_step_target(batch.reward, self.discount * batch.discount, next_value)
        asked = (lambda net: ask(net, now, following, key_ask)) if ask else None
        critic, metrics = self.fit_critic(state.critic, batch, target, asked)
        size, choices = state.critic.net.action_size, isinstance(now, Categorical)
        lacking = self.entropy_target(Discrete(size) if choices else Box((size,))) - entropy
        after = SACState(
            critic, follow(state.target_critic, critic.net, self.target_rate), actor,
            rise(state.temperature, lacking, adam(self.temperature_learning_rate)),
        )  # fmt: skip
        return after, metrics | scalars(
            actor_loss=actor_loss, policy_entropy=entropy, policy_temperature=state.temperature.net(),
            value_mean=next_value.mean(),
        )  # fmt: skip

    def actor_loss(self, state: SACState, batch: Batch, now: Distribution, drawn: Drawn) -> Array:
        """What the policy descends: minus the pessimistic value of its actions, and of its entropy."""
        q = self.pessimistic(state.critic.net(batch.observation, drawn.action))
        return -drawn.mean(with_entropy(q, drawn.log_prob, state.temperature.net())).mean()

    def next_value(self, state: SACState, batch: Batch, following: Distribution, key: Key) -> Array:
        """The value of the next observations, (batch,), by the slow critics."""
        assert batch.next_observation is not None
        drawn = draw(following, key)
        q = self.pessimistic(state.target_critic(batch.next_observation, drawn.action))
        price = state.temperature.net() if self.entropy_backup else 0.0
        return drawn.mean(with_entropy(q, drawn.log_prob, price))

    def entropy_target(self, space: Box | Discrete) -> float:
        """The entropy that the temperature is learned for, over decisions of this space."""
        usual = 0.98 * math.log(space.n) if isinstance(space, Discrete) else -float(space.size)
        return usual if self.target_entropy is None else self.target_entropy


class SoftPolicy(SoftActorCritic[SACState]):
    """Soft actor-critics whose state is no more than that."""

    def init(self, spec: Spec, key: Key) -> SACState:
        return self.soft_init(spec, key)

    def update(self, state: SACState, batch: Batch, key: Key) -> tuple[SACState, Metrics]:
        return self.soft_update(state, batch, key)

    def policy(self, state: SACState) -> Policy:
        return self.seeing(state.actor.net, state.critic.net)


@dataclasses.dataclass(frozen=True)
class SAC(SoftPolicy):
    """Soft actor-critic on the log as it is: the naive baseline."""

    name: ClassVar[str] = "sac"
