"""Advantage-weighted regression (Peng et al. 2019, arXiv:1910.00177): one improvement of the behaviour.

V regresses on TD(lambda) returns of logged windows, and logged actions are cloned with weights
`exp(advantage / temperature)`. No value of the learned policy is asked for: AWR cannot stitch.

The paper's advantages are returns less V. They hold the luck of one recording, and as `E exp(G)` exceeds
`exp(E G)` they seek risk: between an arm that pays 1 and one that pays 2.5 or -1.5, at temperature 0.5, the
lucky arm is taken in 91 % of the cases; by expected values, in 27 %. `advantages="exact"` learns Q of the
behaviour, without that preference: one-step RL (Brandfonbrener et al. 2021, arXiv:2106.08909).
"""

import dataclasses
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from suture.algorithms import fields
from suture.algorithms.base import Algorithm, Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.critic_based import value_limit
from suture.algorithms.moments import Moments
from suture.config import OWN, bounded
from suture.errors import ConfigError
from suture.keys import Key
from suture.nets.critics import Critic, Value, critic_for
from suture.nets.optimiser import adam
from suture.nets.policies import Head, Policy, policy_for, with_std
from suture.objectives.regressions import squared_loss
from suture.objectives.returns import lambda_return, one_step_target
from suture.objectives.weights import exponential_weight, whiten

PAPER = "Peng et al. 2019 (arXiv:1910.00177)"


class AWRState(eqx.Module):
    """V, its slow copy, Q (for exact advantages alone), the policy, and the moments of the advantages."""

    value: Trainable[Value]
    target_value: Value
    critic: Trainable[Critic] | None
    actor: Trainable[Policy]
    moments: Moments


@dataclasses.dataclass(frozen=True)
class AWR(Algorithm[AWRState]):
    """Advantage-weighted regression: clone logged actions, the better ones more."""

    name: ClassVar[str] = "awr"

    discount: float = fields.discount()
    window_length: int = bounded(
        16, at_least=1, unit="steps", source=OWN, help="of a return; behind is the value of what follows"
    )
    mixing: float = bounded(
        0.95, at_least=0.0, at_most=1.0, source=PAPER,
        help="lambda of the returns: 0 is one step, 1 all recorded rewards of the window",
    )  # fmt: skip
    advantages: Literal["td_lambda", "exact"] = bounded(
        "td_lambda", source=PAPER, help="returns less V, which seek risk; or Q of the behaviour less V"
    )
    whitened: bool = bounded(True, source=PAPER, help="advantages in standard deviations over the log")
    temperature: float = bounded(
        1.0, above=0.0, source=PAPER, help="of the weights, in standard deviations; in reward if not whitened"
    )
    max_weight: float = bounded(20.0, above=0.0, source=PAPER, help="limit of the advantage weight")
    head: Head = fields.head(source=PAPER)
    std: float | None = bounded(
        None, above=0.0, traced=True, unit="half ranges of the action", source=PAPER,
        help="fixed standard deviation of a gaussian policy (the paper: 0.2 to 0.4); learned where not given",
    )  # fmt: skip
    target_rate: float = fields.target_rate()
    value_learning_rate: float = fields.learning_rate("V")
    critic_learning_rate: float = fields.learning_rate("Q")
    actor_learning_rate: float = fields.learning_rate("the policy")
    hidden: tuple[int, ...] = fields.hidden()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.std is not None and self.head != "gaussian":
            raise ConfigError(f"AWR.std fixes the deviation of a gaussian head, not of {self.head!r}.")

    @property
    def window(self) -> int:
        return self.window_length

    def batch(self, columns: dict[str, Any]) -> Batch:
        """Windows as they are, with `known`; a window of one row is a window too."""
        if self.window == 1:
            windows = jax.tree.map(lambda column: column[:, None], columns)
            return Batch(**windows, known=jnp.ones_like(windows["reward"]))
        known = (jnp.arange(self.window) < columns["reach"][:, :1]).astype(jnp.float32)
        return Batch(**{name: column for name, column in columns.items() if name != "reach"}, known=known)

    def value_limit(self, spec: Spec) -> float | None:
        return value_limit(spec, self.discount)

    def init(self, spec: Spec, key: Key) -> AWRState:
        key_value, key_critic, key_actor = jax.random.split(key, 3)
        value = Value(spec.observation, self.hidden, key_value)
        policy = policy_for(spec.observation, spec.action, self.head, self.hidden, key_actor)
        critic = None
        if self.advantages == "exact":
            net = critic_for(spec.observation, spec.action, self.hidden, 1, key_critic)
            critic = Trainable.of(net, adam(self.critic_learning_rate))
        return AWRState(
            Trainable.of(value, adam(self.value_learning_rate)), value, critic,
            Trainable.of(with_std(policy, self.std), adam(self.actor_learning_rate)), Moments.empty(),
        )  # fmt: skip

    def update(self, state: AWRState, batch: Batch, key: Key) -> tuple[AWRState, Metrics]:
        assert batch.reward is not None
        assert batch.discount is not None
        assert batch.known is not None
        assert batch.next_observation is not None
        next_v, discount = state.target_value(batch.next_observation), self.discount * batch.discount
        returns = lambda_return(batch.reward, discount, next_v, batch.known, self.mixing)
        target = one_step_target(batch.reward[:, 0], discount[:, 0], next_v[:, 0])
        observation, action = jax.tree.map(lambda rows: rows[:, 0], (batch.observation, batch.action))

        def value_loss(net: Value) -> tuple[Array, Metrics]:
            loss = squared_loss(returns - net(observation))
            return loss, scalars(value_loss=loss, value_max_abs=jnp.abs(returns).max())

        def critic_loss(net: Critic) -> tuple[Array, Metrics]:
            loss = squared_loss(target - net(observation, action))
            return loss, scalars(critic_loss=loss)

        value, metrics = state.value.descend(value_loss, adam(self.value_learning_rate))
        critic, achieved = None, returns
        if state.critic is not None:
            critic, more = state.critic.descend(critic_loss, adam(self.critic_learning_rate))
            achieved, metrics = critic.net(observation, action)[0], metrics | more
        advantage = achieved - value.net(observation)
        moments = state.moments.with_batch(advantage)
        scaled = whiten(advantage, moments.mean, moments.deviation) if self.whitened else advantage
        weight = exponential_weight(scaled, 1 / self.temperature, self.max_weight)

        def actor_loss(policy: Policy) -> tuple[Array, Metrics]:
            loss = -(weight * with_std(policy, self.std)(observation, key).log_likelihood(action)).mean()
            return loss, scalars(actor_loss=loss, actor_weight=weight.mean())

        actor, more = state.actor.descend(actor_loss, adam(self.actor_learning_rate))
        target_value = follow(state.target_value, value.net, self.target_rate)
        return AWRState(value, target_value, critic, actor, moments), metrics | more

    def policy(self, state: AWRState) -> Policy:
        return state.actor.net
