"""ReBRAC: TD3+BC with the distance to the log in the values too, deeper critics and layer norm.

Source: Tarasov et al. 2023 (arXiv:2305.09836) and the authors' code. The penalty of the value is the squared
distance to what the log did next; where that is unknown (the last row of an episode) there is none.
"""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.algorithms.base import Batch, Metrics, Spec, scalars
from suture.algorithms.critic_based import Held, value_limit
from suture.algorithms.td3 import DeterministicActorCritic, DeterministicState
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import Critic
from suture.objectives.ascent import scaled_ascent, squared_distance

PAPER = "Tarasov et al. 2023 (arXiv:2305.09836)"
FIRST_OUTPUTS = 0.02


@dataclasses.dataclass(frozen=True)
class ReBRAC(DeterministicActorCritic):
    """Behaviour-regularised actor-critic, revisited; for long, sparse tasks with discount 0.999."""

    name: ClassVar[str] = "rebrac"
    needs: ClassVar[frozenset[str]] = DeterministicActorCritic.needs | {"next_action"}

    actor_penalty: float = bounded(
        0.01, at_least=0.0, source=PAPER,
        help="b1: weight of the policy's squared distance to the logged action against values of size 1",
    )  # fmt: skip
    critic_penalty: float = bounded(
        0.01, at_least=0.0, unit="reward", source=PAPER,
        help="b2: what the squared distance to the next logged action costs in the values",
    )  # fmt: skip
    hidden: tuple[int, ...] = bounded(
        (256, 256, 256), at_least=1, unit="units", source=PAPER, help="widths of the hidden layers"
    )
    layer_norm: bool = bounded(True, source=PAPER, help="layer norm in the critics")

    @property
    def window(self) -> int:
        """With as many rows more as the next chunk has after its first action."""
        return self.span + self.chunk - 1

    def batch(self, columns: dict[str, Any]) -> Batch:
        """Of chunks, the next action is a chunk too, of which each action is known or not."""
        batch = super().batch(columns)
        if self.chunk == 1:
            return batch
        reach = columns["reach"][:, :1]
        rows = jnp.minimum(reach, self.span) - 1 + jnp.arange(self.chunk)
        each = jnp.arange(len(rows))[:, None], rows
        action, known = columns["next_action"][each], columns["next_action_known"][each] * (rows < reach)
        return dataclasses.replace(batch, next_action=action.reshape(len(rows), -1), next_action_known=known)

    @property
    def values_hold(self) -> Held:
        return "rewards less a penalty" if self.critic_penalty else "rewards"

    def value_limit(self, spec: Spec) -> float | None:
        """With the penalty in every step: two actions are at most 2 apart in each dimension."""
        penalty = 4 * self.decision_space(spec).size * self.critic_penalty
        return value_limit(spec, self.discount, penalty)

    def init(self, spec: Spec, key: Key) -> DeterministicState:
        """Outputs begin near 0, as in the authors' code: those of normalised features would be large."""
        state = super().init(spec, key)
        return eqx.tree_at(_last_weights, state, [FIRST_OUTPUTS * weight for weight in _last_weights(state)])

    def next_value(self, critic: Critic, batch: Batch, action: Array) -> Float[Array, " batch"]:
        assert batch.next_action is not None
        assert batch.next_action_known is not None
        known = batch.next_action_known.reshape(len(action), -1)
        known = jnp.repeat(known, action.shape[-1] // self.chunk, axis=-1)
        distance = squared_distance(known * action, known * batch.next_action)
        return super().next_value(critic, batch, action) - self.critic_penalty * distance

    def actor_loss(self, critic: Critic, batch: Batch, action: Array) -> tuple[Array, Metrics]:
        """`b1 |pi(s) - a|^2 - min Q / mean|min Q|`."""
        q = self.pessimistic(critic(batch.observation, action))
        distance = squared_distance(action, batch.action).mean()
        loss = self.actor_penalty * distance + scaled_ascent(q)
        return loss, scalars(actor_loss=loss, actor_value=q.mean())


def _last_weights(state: DeterministicState) -> list[Array]:
    slow = state.slow
    networks: list[Any] = [state.critic.net, slow.target_critic, slow.actor.net, slow.target_actor]
    return [network.mlp.layers[-1].weight for network in networks]
