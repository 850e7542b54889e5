"""TD3+BC: a minimalist approach to offline reinforcement learning.

Source: Fujimoto & Gu 2021 (arXiv:2106.06860) and the authors' code.
"""

import dataclasses
from typing import ClassVar

from jaxtyping import Array

from suture.algorithms.base import Batch, Metrics, scalars
from suture.algorithms.td3 import DeterministicActorCritic
from suture.config import bounded
from suture.nets.critics import Critic
from suture.objectives.ascent import scaled_ascent
from suture.objectives.regressions import squared_loss


@dataclasses.dataclass(frozen=True)
class TD3BC(DeterministicActorCritic):
    """TD3 whose policy stays near the logged actions: `-alpha mean(Q) / mean|Q| + mean (pi(s) - a)^2`.

    Q is the first critic's; the square is a mean over the action's dimensions, where ReBRAC has a sum.
    """

    name: ClassVar[str] = "td3_bc"

    alpha: float = bounded(
        2.5, at_least=0.0, source="Fujimoto & Gu 2021 (arXiv:2106.06860)",
        help="weight of the values, scaled to size 1, against cloning; 0 is cloning",
    )  # fmt: skip

    def actor_loss(self, critic: Critic, batch: Batch, action: Array) -> tuple[Array, Metrics]:
        """Equations 3 and 5 of the paper."""
        q = critic.first()(batch.observation, action)
        distance = squared_loss(action - batch.action)
        loss = self.alpha * scaled_ascent(q) + distance
        return loss, scalars(actor_loss=loss, actor_value=q.mean())
