"""SAC-N and EDAC (An et al. 2021, arXiv:2110.01548): pessimism from the disagreement of many critics.

Both take the minimum over the ensemble, in the target and in the actor. EDAC needs fewer critics, because it
keeps the slopes of their values at the logged actions from being parallel. They are for dense rewards and
locomotion; on sparse, long tasks and on human demonstrations they fail.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, scalars
from suture.algorithms.critic_based import Asked
from suture.algorithms.sac import SACState, SoftPolicy
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import ContinuousCritic, Critic
from suture.objectives.penalties import diversity

PAPER = "An et al. 2021 (arXiv:2110.01548)"
WIDTHS = (256, 256, 256)


@dataclasses.dataclass(frozen=True)
class SACN(SoftPolicy):
    """SAC-N: soft actor-critic with the minimum of N critics."""

    name: ClassVar[str] = "sac_n"
    actions: ClassVar[frozenset[str]] = frozenset({"continuous"})

    critics: int = fields.critics(source=PAPER, default=10)
    hidden: tuple[int, ...] = fields.hidden(source=PAPER, default=WIDTHS)


@dataclasses.dataclass(frozen=True)
class EDAC(SoftPolicy):
    """SAC-N whose critics are kept diverse: `eta / (N - 1) * sum of cosines` of the slopes of each pair."""

    name: ClassVar[str] = "edac"
    actions: ClassVar[frozenset[str]] = frozenset({"continuous"})

    critics: int = bounded(
        10, at_least=2, unit="critics", source=PAPER, help="size of the ensemble, whose minimum is used"
    )
    hidden: tuple[int, ...] = fields.hidden(source=PAPER, default=WIDTHS)
    diversity_weight: float = bounded(
        1.0, at_least=0.0, source=PAPER,
        help="eta, beside squared errors summed over the critics; 0 is SAC-N; up to 5 for expert data",
    )  # fmt: skip

    def update(self, state: SACState, batch: Batch, key: Key) -> tuple[SACState, Metrics]:
        return self.soft_update(state, batch, key, lambda net, *_: self._ask(net, batch))

    def _ask(self, net: Critic, batch: Batch) -> Asked:
        """The critics and, from the same pass, their slopes with respect to the logged actions."""
        assert isinstance(net, ContinuousCritic)
        features = net.encoder(batch.observation)

        def together(action: Array) -> tuple[Array, Array]:
            q = net.of_own(features, action)
            return q.sum(), q

        own = jnp.broadcast_to(batch.action, (self.critics, *batch.action.shape))
        slope, q = jax.grad(together, has_aux=True)(own)
        pairs = diversity(slope)
        return q, self.diversity_weight * pairs, scalars(critic_diversity=pairs)
