"""Q-learning by a search for the best action, and DQN, whose search asks for every choice.

Nothing keeps it near the log: offline it over-estimates what the log does not show, unless that is broad,
such as the replay of an online agent.
"""

import abc
import dataclasses
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.critic_based import CriticBased
from suture.config import bounded
from suture.errors import ConfigError
from suture.keys import Key
from suture.nets.critics import Critic, SigmoidCritic, critic_for
from suture.nets.encoder import Observation
from suture.nets.optimiser import Schedule, adam, cosine
from suture.nets.policies import Policy
from suture.nets.search import GreedyPolicy, Maximiser, value_of
from suture.objectives.maximise import Enumerate
from suture.objectives.regressions import REGRESSIONS, Regression
from suture.objectives.returns import one_step_target

QT_OPT = "Kalashnikov et al. 2018 (arXiv:1806.10293)"


class QState(eqx.Module):
    """The critics, their targets (an average of them, and perhaps an old copy of it), the updates so far.

    steps: the length of the critics' schedule (0: constant).
    """

    critic: Trainable[Critic]
    targets: tuple[Critic, ...]
    updates: Int[Array, ""]
    steps: int = eqx.field(static=True)


@dataclasses.dataclass(frozen=True)
class QLearning(CriticBased[QState]):
    """`Q(s, a) = r + gamma V(s')`, where V is the least that the targets say of the best action found."""

    critics: int = fields.critics("Mnih et al. 2015", 1)
    loss: Regression = fields.regression("squared")
    double: bool = fields.double(False)
    targets: Literal["one", "two_lagged"] = fields.targets("one")
    critic_schedule: Schedule = fields.schedule("constant", "the critics'", QT_OPT)
    lag: int = bounded(200, at_least=1, unit="updates", source=QT_OPT, help="time between such copies")

    @abc.abstractmethod
    def maximiser(self, critic: Critic) -> Maximiser:
        """The search for the best action."""
        raise NotImplementedError

    def network_for(self, spec: Spec, key: Key) -> Critic:
        """The critics before the first update."""
        action, norm = self.decision_space(spec), self.layer_norm
        return critic_for(spec.observation, action, self.hidden, self.critics, key, layer_norm=norm)

    def init(self, spec: Spec, key: Key) -> QState:
        if self.loss == "cross_entropy" and (spec.reward_limit or 0.0) > 1:
            raise ConfigError(
                f"{type(self).__name__}.loss='cross_entropy' is for values in [0, 1], and rewards reach "
                f"{spec.reward_limit:g}. Scale them with --reward-scale, or choose loss='squared'."
            )
        critic = self.network_for(spec, key)
        targets = (critic,) if self.targets == "one" else (critic, critic)
        steps = spec.steps if self.critic_schedule == "cosine" else 0
        optimiser = self._optimiser(steps)
        return QState(Trainable.of(critic, optimiser), targets, jnp.zeros((), jnp.int32), steps)

    def _optimiser(self, steps: int) -> optax.GradientTransformation:
        return adam(self.critic_learning_rate, cosine(steps))

    def answers(self, critic: Critic) -> Critic:
        """The values that a network stands for."""
        return SigmoidCritic(critic) if self.loss == "cross_entropy" else critic

    def critic(self, state: QState) -> Critic:
        return self.answers(state.critic.net)

    def best_value(self, state: QState, observation: Observation, key: Key) -> Float[Array, " batch"]:
        """What the targets say of the best action that a search finds: V(s)."""
        chooser = self.answers(state.critic.net if self.double else state.targets[0])
        best = self.maximiser(chooser)(value_of(chooser, self.spread), observation, key)
        values = [self.pessimistic(self.answers(net)(observation, best)) for net in state.targets]
        return jnp.stack(values).min(0)

    def update(self, state: QState, batch: Batch, key: Key) -> tuple[QState, Metrics]:
        assert batch.reward is not None
        assert batch.discount is not None
        assert batch.next_observation is not None
        next_value = self.best_value(state, batch.next_observation, key)
        target = one_step_target(batch.reward, self.discount * batch.discount, next_value)
        if self.loss == "cross_entropy":
            target = jnp.clip(target, 0.0, 1.0)
        critic, metrics = self.fit_critic(
            state.critic, batch, target, regression=REGRESSIONS[self.loss],
            optimiser=self._optimiser(state.steps),
        )  # fmt: skip
        updates = state.updates + 1
        average, *old = state.targets
        average = follow(average, critic.net, self.target_rate)
        now = updates % self.lag == 0
        old = [jax.tree.map(lambda new, kept: jnp.where(now, new, kept), average, copy) for copy in old]
        more = scalars(value_mean=next_value.mean())
        return QState(critic, (average, *old), updates, state.steps), metrics | more


@dataclasses.dataclass(frozen=True)
class DQN(QLearning):
    """Deep Q-learning with double estimates: no constraint keeps it near the log."""

    name: ClassVar[str] = "dqn"
    actions: ClassVar[frozenset[str]] = frozenset({"discrete"})

    loss: Regression = fields.regression("huber")
    double: bool = fields.double(True)

    def maximiser(self, critic: Critic) -> Maximiser:
        return Enumerate(critic.action_size)

    def policy(self, state: QState) -> Policy:
        return GreedyPolicy(self.answers(state.critic.net), self.spread)


def double_target(
    method: CriticBased[Any], policy: Policy, target_critic: Critic, batch: Batch
) -> Float[Array, " batch"]:
    """`r + gamma Q'(s', a')`: a policy of the critics chooses a', and their slow copy Q' values it.

    Source: van Hasselt et al. 2016 (arXiv:1509.06461).
    """
    assert batch.reward is not None
    assert batch.discount is not None
    assert batch.next_observation is not None
    best = policy(batch.next_observation).mode()
    next_value = method.pessimistic(target_critic(batch.next_observation, best))
    return one_step_target(batch.reward, method.discount * batch.discount, next_value)
