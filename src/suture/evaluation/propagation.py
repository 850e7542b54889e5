"""How far value has travelled back from the reward of the five-step task: its front, boundary by boundary."""

import itertools
from typing import Any

import equinox as eqx
import jax
import numpy as np

from suture.algorithms.implicit import ImplicitValues
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.env import Composite
from suture.envs.composite.twin import Twin, front
from suture.evaluation.overestimation import asked
from suture.spaces import Array
from suture.training.run import Run

REWARD = 100.0
"""What leaving is worth: rewards are scaled to this."""
LEAST = 0.01 * REWARD
"""A value below this is none."""
TWIN, SWEEPS = Twin(contexts=1, length=8, slip=0.1), 70
"""44 steps from the start to the reward, as scripts without errors need; sweeps until values are there."""


def starts_of(count: int) -> Array:
    """First observations of each stage, (5 * count, 16), stage by stage, in layouts as a log has them."""
    env = Composite(layouts="train")
    return np.stack([
        env.reset(seed=number, options={"stage": stage})[0]
        for stage in range(len(STEPS)) for number in range(count)
    ])  # fmt: skip


def boundary_values(run: Run, starts: Array) -> Array:
    """Each member's mean value of the starts of each stage, (members, 5), as the run's checkpoint has it.

    That is V of methods that learn one, else the critics' value of the policy's own actions.
    starts: (5 * n, ...), stage by stage, as `starts_of` gives them.
    """
    if isinstance(run.algorithm, ImplicitValues):
        values = _values(run.algorithm, run.newest.state, run.recipe.normaliser.normalise(starts))
    else:
        values = asked(run, starts)[1]
    return np.asarray(values).reshape(len(run), len(STEPS), -1).mean(2)


@eqx.filter_jit
def _values(algorithm: ImplicitValues[Any], state: Any, observation: Any) -> Any:
    return jax.vmap(lambda one: algorithm.value(one)(observation))(state)


def exact_values() -> Array:
    """The same of value iteration on the twin, after each sweep from 0 up, (sweeps + 1, 5)."""
    return REWARD * front(TWIN, SWEEPS)


def fronts(values: Array, steps: Array, least: float | Array = LEAST) -> list[int | None]:
    """When each stage's front came: the first step at which its value exceeds half of what it is at the end.

    values: (checkpoints, 5).   steps: of the checkpoints.   None: the value at the end is below `least`, one
    number or (5,).
    """
    above, there = values > 0.5 * values[-1], values[-1] >= least
    return [
        int(steps[above[:, stage].argmax()]) if there[stage] else None for stage in range(values.shape[1])
    ]


def in_order(came: list[int | None]) -> bool:
    """Whether fronts came one after the other, from the last stage to the first, none of them missing behind
    one that came; two that came at once are not told apart."""
    reached = [step for step in came[::-1] if step is not None]
    behind = came[: len(came) - len(reached)]
    return all(first < second for first, second in itertools.pairwise(reached)) and not any(behind)
