"""Critic-regularised regression: an actor-critic that clones what its critic prefers.

Source: Wang et al. 2020 (arXiv:2006.15134), with a squared loss where the paper's critic is distributional.
The update is AWAC's; here the logged action is compared with several of the policy's.
"""

import dataclasses
from typing import ClassVar, Literal

from jaxtyping import Array, Float

from suture.algorithms.awac import WeightedActorCritic
from suture.algorithms.base import Batch
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import Critic
from suture.nets.distributions import Distribution
from suture.nets.expectation import expected_value, sampled_values
from suture.objectives.weights import exponential_weight, indicator_weight

PAPER = "Wang et al. 2020 (arXiv:2006.15134)"


@dataclasses.dataclass(frozen=True)
class CRR(WeightedActorCritic):
    """Critic-regularised regression: clone logged actions that are better than the policy's own."""

    name: ClassVar[str] = "crr"

    weights: Literal["exp", "binary"] = bounded(
        "exp", source=PAPER, help="exp(advantage / temperature), or 1 where the advantage is positive"
    )
    advantage: Literal["mean", "max"] = bounded(
        "mean", source=PAPER, help="over the mean (exact for choices) or the best of the policy's actions"
    )
    policy_samples: int = bounded(4, at_least=1, unit="actions", source=PAPER, help="drawn from the policy")
    temperature: float = bounded(
        1.0, above=0.0, unit="reward", source=PAPER,
        help="exp: beta, how much better an action must be to count e times as much",
    )  # fmt: skip
    max_weight: float = bounded(20.0, above=0.0, source=PAPER, help="exp: limit of the advantage weight")

    def baseline(self, critic: Critic, batch: Batch, own: Distribution, key: Key) -> Float[Array, " batch"]:
        asked = critic, batch.observation, own, key
        if self.advantage == "max":
            return sampled_values(*asked, samples=self.policy_samples, spread=self.spread).max(0)
        return expected_value(*asked, samples=self.policy_samples, spread=self.spread)

    def weight(self, advantage: Float[Array, " batch"]) -> Float[Array, " batch"]:
        if self.weights == "binary":
            return indicator_weight(advantage)
        return exponential_weight(advantage, 1 / self.temperature, self.max_weight)
