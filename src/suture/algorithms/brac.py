"""Behaviour-regularised actor-critic: a divergence from the behaviour is paid for, once or always.

`penalty="actor"` (BRAC-p) charges the policy for its divergence in the state at hand; values are those of the
policy alone. `penalty="reward"` (BRAC-v) charges all later states too, through the critics' target. The state
at hand is charged in the actor's objective only: in its reward as well, the temperature would be doubled.
Over choices, expectations, divergence and penalised values are exact.
Source: Wu et al. 2019 (arXiv:1911.11361) and the authors' code.
"""

import dataclasses
import math
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.behaviour import Behaviour, BehaviourBased
from suture.algorithms.critic_based import Held
from suture.algorithms.multiplier import Multiplier, multiplier, rise
from suture.config import bounded
from suture.errors import ConfigError
from suture.keys import Key
from suture.nets.critics import Critic, critic_for
from suture.nets.distributions import Categorical
from suture.nets.encoder import Observation
from suture.nets.expectation import expected_value
from suture.nets.optimiser import adam
from suture.nets.policies import Policy, policy_for
from suture.nets.search import choice_values
from suture.objectives.returns import one_step_target, soft_value
from suture.spaces import Discrete

PAPER = "Wu et al. 2019 (arXiv:1911.11361)"
LIMITS = (-20.0, math.log(500.0))


class BRACState(eqx.Module):
    """The behaviour, the critics, their slow copy, the policy, its temperature, and its updates so far."""

    behaviour: Behaviour
    critic: Trainable[Critic]
    target_critic: Critic
    actor: Trainable[Policy]
    temperature: Trainable[Multiplier]
    updates: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class BRAC(BehaviourBased[BRACState]):
    """Behaviour-regularised actor-critic: Q-learning that pays for every departure from the log."""

    name: ClassVar[str] = "brac"
    preparation: ClassVar[dict[str, bool]] = {"behaviour_steps": True, "warm_up": False}

    penalty: Literal["actor", "reward"] = bounded(
        "reward", source=PAPER,
        help="actor: the policy pays for its divergence now (BRAC-p); reward: for all of the future (BRAC-v)",
    )  # fmt: skip
    divergence: Literal["kl", "mmd"] = bounded("kl", source=PAPER, help="KL, or squared MMD (continuous)")
    temperature: float = bounded(1.0, above=0.0, unit="reward", source=PAPER, help="price of divergence 1")
    target_divergence: float | None = bounded(
        None, at_least=0.0, traced=True, source=PAPER,
        help="let the temperature, from where it is, rise while the mean divergence exceeds this, else fall",
    )  # fmt: skip
    temperature_learning_rate: float = fields.learning_rate("the temperature", 1e-3, source=PAPER)
    behaviour_model: Literal["gaussian", "tanh_gaussian", "mixture"] = bounded(
        "tanh_gaussian", source=PAPER, help="distribution of the behaviour's continuous actions"
    )
    behaviour_steps: int = bounded(
        10_000, at_least=0, unit="updates", source=PAPER, help="first, to fit the behaviour (paper: 300,000)"
    )
    critic_learning_rate: float = fields.learning_rate("the critics", 1e-3, source=PAPER)

    def init(self, spec: Spec, key: Key) -> BRACState:
        if self.divergence == "mmd" and isinstance(spec.action, Discrete):
            raise ConfigError("BRAC.divergence='mmd' is for continuous actions; over choices KL is exact.")
        keys, seen, space = jax.random.split(key, 3), spec.observation, self.decision_space(spec)
        model = policy_for(seen, space, self.behaviour_model, self.behaviour_hidden, keys[0])
        critic = critic_for(seen, space, self.hidden, self.critics, keys[1], layer_norm=self.layer_norm)
        policy = policy_for(seen, space, "tanh_gaussian", self.hidden, keys[2])
        return BRACState(
            self.new_behaviour(model), Trainable.of(critic, self.critic_optimiser()), critic,
            Trainable.of(policy, self.actor_optimiser()),
            multiplier(self.temperature, adam(self.temperature_learning_rate)), jnp.int32(0),
        )  # fmt: skip

    @property
    def values_hold(self) -> Held:
        return "rewards" if self.penalty == "actor" else "rewards less a penalty"

    def value_limit(self, spec: Spec) -> float | None:
        """None where values hold a divergence, which has no limit."""
        return super().value_limit(spec) if self.penalty == "actor" else None

    def update(self, state: BRACState, batch: Batch, key: Key) -> tuple[BRACState, Metrics]:
        return self.after_fitting(state, batch, key, self.behaviour_steps, self._learn)

    def _learn(self, state: BRACState, batch: Batch, key: Key) -> tuple[BRACState, Metrics]:
        assert batch.reward is not None
        assert batch.discount is not None
        assert batch.next_observation is not None
        key_next, key_actor = jax.random.split(key)
        behaviour, seen = state.behaviour.policy, batch.observation
        price = self.temperature if self.target_divergence is None else state.temperature.net()
        next_value = self._next_value(state, batch.next_observation, price, key_next)
        target = one_step_target(batch.reward, self.discount * batch.discount, next_value)
        critic, metrics = self.fit_critic(state.critic, batch, target)

        def loss(policy: Policy) -> tuple[Array, Metrics]:
            q, divergence = (x.mean() for x in self._appraise(critic.net, policy, behaviour, seen, key_actor))
            value = price * divergence - jnp.where(state.updates < self.warm_up, 0.0, q)
            return value, scalars(actor_loss=value, actor_value=q, policy_divergence=divergence)

        actor, actor_metrics = state.actor.descend(loss, self.actor_optimiser())
        temperature = state.temperature
        if self.target_divergence is not None:
            excess = actor_metrics["policy/divergence"] - self.target_divergence
            temperature = rise(temperature, excess, adam(self.temperature_learning_rate), LIMITS)
        target_critic = follow(state.target_critic, critic.net, self.target_rate)
        after = BRACState(state.behaviour, critic, target_critic, actor, temperature, state.updates + 1)
        return after, metrics | actor_metrics | scalars(policy_temperature=jnp.asarray(price))

    def _appraise(
        self, critic: Critic, policy: Policy, behaviour: Policy, seen: Observation, key: Key
    ) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
        """What the policy is worth in each state, and how far it is from the behaviour there."""
        key_value, key_divergence = jax.random.split(key)
        answer = policy(seen)
        q = expected_value(critic, seen, answer, key_value, samples=1, spread=self.spread)
        return q, self.divergence_of(answer, behaviour(seen), key_divergence, self.divergence)

    def _next_value(
        self, state: BRACState, seen: Observation, price: float | Array, key: Key
    ) -> Float[Array, " batch"]:
        """Of the policy, less its divergence where rewards pay for that too; by the target critics."""
        cloned = state.behaviour.policy(seen)
        if self.penalty == "reward" and isinstance(cloned, Categorical):
            q = choice_values(state.target_critic, seen, self.spread)
            return soft_value(q, cloned.log_probabilities(), price)
        policies = state.actor.net, state.behaviour.policy
        q, divergence = self._appraise(state.target_critic, *policies, seen, key)
        return q - price * divergence if self.penalty == "reward" else q

    def policy(self, state: BRACState) -> Policy:
        return state.actor.net
