"""What methods that learn action values share: fields, n-step targets, chunks of actions, critic updates."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from suture.algorithms import fields
from suture.algorithms.base import Algorithm, Batch, Metrics, Spec, Trainable, scalars
from suture.config import bounded
from suture.data.returns import effective_horizon
from suture.nets.critics import Critic, pessimistic
from suture.nets.optimiser import adam
from suture.objectives.regressions import squared_loss
from suture.objectives.returns import n_step_return
from suture.spaces import Box

S = TypeVar("S")
C = TypeVar("C", bound=Critic)
Asked: TypeAlias = tuple[Float[Array, " members batch"], Array | float, Metrics]
"""Values of the logged actions, what a penalty adds to the loss, and metrics."""
Held: TypeAlias = Literal["rewards", "rewards and entropy", "rewards less a penalty"]
"""What is summed up in values."""


@dataclasses.dataclass(frozen=True)
class CriticBased(Algorithm[S]):
    """Learns Q: an ensemble of critics that regresses on backed-up values.

    With `n_step` > 1 targets hold the rewards of n logged steps. With `chunk` > 1 a decision is `chunk`
    actions, played one after the other, and targets span at least as many steps.
    """

    discount: float = fields.discount()
    n_step: int = bounded(
        1, at_least=1, unit="steps", source="Watkins 1989",
        help="logged steps in a target: more carry values faster, and take the behaviour for the policy",
    )  # fmt: skip
    chunk: int = bounded(
        1, at_least=1, unit="actions", source="Li et al. 2025 (arXiv:2507.07969)",
        help="actions of one decision, played one after the other",
    )  # fmt: skip
    target_rate: float = fields.target_rate()
    critics: int = fields.critics()
    spread: float | None = fields.spread()
    critic_learning_rate: float = fields.learning_rate("the critics")
    hidden: tuple[int, ...] = fields.hidden()
    layer_norm: bool = bounded(
        False, source=fields.BALL, help="layer norm in the critics (for sparse, long tasks)"
    )
    success_value: float | None = fields.success_value()

    @property
    def span(self) -> int:
        """How many logged steps' rewards a target holds."""
        return max(self.n_step, self.chunk)

    @property
    def window(self) -> int:
        return self.span

    @property
    def decision_steps(self) -> int:
        return self.chunk

    def decision_space(self, spec: Spec) -> Any:
        """The space of one decision: that of the actions, or of `chunk` actions side by side in [-1, 1]."""
        if self.chunk == 1 or not isinstance(spec.action, Box):
            return spec.action
        size = self.chunk * spec.action.size
        return Box((size,), low=(-1.0,) * size, high=(1.0,) * size)

    def batch(self, columns: dict[str, Any]) -> Batch:
        """Windows of rows as transitions of `n_step` steps whose actions are chunks."""
        if self.window == 1:
            return Batch(**columns)
        reach = columns["reach"][:, 0]
        known = (jnp.arange(self.span) < reach[:, None]).astype(jnp.float32)
        rows, last = jnp.arange(len(reach)), (known.sum(-1) - 1).astype(jnp.int32)
        reward, factors = n_step_return(columns["reward"][:, : self.span], known, self.discount)
        action = columns["action"][:, : self.chunk]
        ahead = {"next_observation", "next_action", "next_action_known"} & columns.keys()
        return Batch(
            observation=jax.tree.map(lambda column: column[:, 0], columns["observation"]),
            **{name: jax.tree.map(lambda column: column[rows, last], columns[name]) for name in ahead},
            action=action[:, 0] if self.chunk == 1 else action.reshape(len(last), -1),
            reward=reward,
            discount=factors * columns["discount"][rows, last],
            return_to_go=columns["return_to_go"][:, 0] if "return_to_go" in columns else None,
        )

    def value_limit(self, spec: Spec) -> float | None:
        return value_limit(spec, self.discount)

    def pessimistic(self, q: Float[Array, " members *batch"]) -> Float[Array, "*batch"]:
        """One value of an ensemble: its minimum, or its mean less `spread` standard deviations."""
        return pessimistic(q, self.spread)

    @property
    def values_hold(self) -> Held:
        """What the values sum up: only those of rewards alone are claims about returns.

        A penalty of the critic's loss, such as CQL's, is none of this: it lowers the estimate, not what is
        estimated.
        """
        return "rewards"

    def critic(self, state: Any) -> Critic:
        """The critics that a state holds."""
        return state.critic.net

    def critic_optimiser(self) -> optax.GradientTransformation:
        return adam(self.critic_learning_rate)

    def fit_critic(
        self,
        critic: Trainable[C],
        batch: Batch,
        target: Float[Array, " batch"],
        ask: Callable[[C], Asked] | None = None,
        regression: Callable[[Array, Array], Array] = lambda q, target: squared_loss(target - q),
        optimiser: optax.GradientTransformation | None = None,
    ) -> tuple[Trainable[C], Metrics]:
        """One step of every critic towards a target, the losses summed over the ensemble.

        ask: what the network answers to the batch, and what is added to the loss; in one function, so that
        a penalty can share what the answers cost.
        regression: the mean loss of answers (members, batch) against targets (batch,).
        """
        target = target if self.success_value is None else jnp.clip(target, 0.0, self.success_value)

        def loss(net: C) -> tuple[Array, Metrics]:
            q, added, more = ask(net) if ask else (net(batch.observation, batch.action), 0.0, {})
            value = len(q) * regression(q, target)
            metrics = scalars(critic_loss=value, critic_mean=q.mean(), value_max_abs=jnp.abs(target).max())
            return value + added, metrics | more

        return critic.descend(loss, optimiser or self.critic_optimiser())


def value_limit(spec: Spec, discount: float, beside: float = 0.0) -> float | None:
    """The largest absolute discounted sum of rewards and what is `beside` each, or None without a limit."""
    if spec.reward_limit is None or discount >= 1:
        return None
    # At least 1: fresh networks answer about 1 even where all rewards are 0.
    return (max(spec.reward_limit, 1.0) + beside) * effective_horizon(discount)
