"""A method whose values, policy and divergence are known, for exact tests of what is said about methods.

Its problem is the canonical one, logged by a behaviour that takes all of the canonical behaviour's actions
equally often: action 2 in state 1 is in no log.
"""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from suture.algorithms.base import Batch, Metrics, Spec
from suture.algorithms.critic_based import CriticBased
from suture.config import bounded
from suture.envs.tabular import TabularMDP, canonical, canonical_behaviour, evaluate
from suture.keys import Key, key_for
from suture.nets.distributions import Categorical, Distribution
from suture.nets.encoder import Observation
from suture.nets.policies import Policy

SCALE, SHIFT, DISCOUNT = 2.0, -3.0, 0.5
BEHAVIOUR = (canonical_behaviour() > 0) / (canonical_behaviour() > 0).sum(1, keepdims=True)
POLICY = np.array([[0.5, 0.1, 0.4], [0.2, 0.45, 0.35], [0.3, 0.4, 0.3], [0.3, 0.3, 0.4]])
GROWTH = 1.07


def scaled() -> TabularMDP:
    """The canonical problem as a run with this scale, shift and discount has it."""
    mdp = canonical()
    return TabularMDP(mdp.transition, SCALE * mdp.reward + SHIFT, DISCOUNT, mdp.start)


def runs_away(seed: int) -> bool:
    """Whether the largest value of a seed grows without end."""
    return bool(jax.random.bernoulli(key_for(seed, "init")))


class KnownPolicy(Policy):
    """Stochastic, and the same whatever was learned."""

    logits: Any

    def __call__(self, observation: Observation, key: Key | None = None) -> Distribution:
        return Categorical(self.logits[observation.argmax(-1)])


class KnownState(eqx.Module):
    """The largest value that is reported, and by what it is multiplied in every update."""

    largest: Any
    growth: Any


@dataclasses.dataclass(frozen=True)
class Known(CriticBased[KnownState]):
    """The exact values of `POLICY`, plus `excess`; those of some seeds are said to run away."""

    name: ClassVar[str] = "known"

    excess: float = bounded(0.0, traced=False, help="what is claimed beyond the truth")

    def init(self, spec: Spec, key: Key) -> KnownState:
        return KnownState(jnp.ones(()), jnp.where(jax.random.bernoulli(key), GROWTH, 1.0))

    def update(self, state: KnownState, batch: Batch, key: Key) -> tuple[KnownState, Metrics]:
        return KnownState(state.largest * state.growth, state.growth), {"value/max_abs": state.largest}

    def policy(self, state: KnownState) -> Policy:
        return KnownPolicy(jnp.log(jnp.asarray(POLICY, jnp.float32)))

    def critic(self, state: KnownState) -> Any:
        table = jnp.asarray(evaluate(scaled(), POLICY)[0] + self.excess, jnp.float32)
        return lambda observation, action: table[observation.argmax(-1), action][None]
