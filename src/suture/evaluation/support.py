"""What a log vouches for: which actions are like those that were taken in a state."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from suture.keys import key_for
from suture.nets import expectation
from suture.spaces import Array, Tree
from suture.training.run import Run

RARE = 0.01
"""Share of the behaviour's own actions that count as unlike it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Support:
    """A clone of the behaviour, and the log-density below which an action is outside of the log."""

    behaviour: Run
    least: float

    @staticmethod
    def of(behaviour: Run, observation: Tree, action: Array) -> "Support":
        """behaviour: a run of bc.   observation, action: logged ones, in the log's units, (n, ...)."""
        unit = np.asarray(behaviour.recipe.normaliser.to_unit(action))
        return Support(behaviour, float(np.quantile(_log_density(behaviour, observation, unit), RARE)))

    def holds(self, observation: Tree, unit: Array) -> Array:
        """Whether the behaviour would take actions such as these, (n,).

        observation: in the log's units.   unit: actions in [-1, 1] by the behaviour's scales, or choices.
        """
        return _log_density(self.behaviour, observation, unit) >= self.least


def drawn(run: Run, member: int, observation: Tree) -> Array:
    """An action of one member's policy at each observation, (n, ...), in [-1, 1], or choices."""
    policy = jax.tree.map(lambda leaf: leaf[member], run.policies.policies)
    return np.asarray(_drawn(policy, run.recipe.normaliser.normalise(observation), key_for(0, "act")))


@eqx.filter_jit
def _drawn(policy: Any, observation: Any, key: Any) -> Any:
    return expectation.drawn(policy(observation), key)


def _log_density(behaviour: Run, observation: Tree, action: Array) -> Array:
    policy = jax.tree.map(lambda leaf: leaf[0], behaviour.policies.policies)
    normal = behaviour.recipe.normaliser.normalise(observation)
    return np.asarray(_density(policy, normal, jnp.asarray(action)))


@eqx.filter_jit
def _density(policy: Any, observation: Any, action: Any) -> Any:
    return policy(observation).log_prob(action)
