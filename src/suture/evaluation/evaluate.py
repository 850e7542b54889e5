"""Evaluate all members of a run in one environment."""

import dataclasses
import itertools
from typing import Any

from suture.envs.make import Make
from suture.evaluation.rollout import rollout
from suture.evaluation.score import Evaluation
from suture.spaces import Array
from suture.training.run import Run


def evaluate(
    run: Run,
    environment: str | Make,
    *,
    episodes: int = 100,
    seed: int = 0,
    sample: bool = False,
    environments: int | None = None,
) -> Evaluation:
    """Play `episodes` episodes with every member of a run, on the same initial states.

    environment: a Gymnasium id (module:Id-v0 where a module registers it), or a function that makes one.
    sample: draw actions from the policies instead of taking their modes (`seed` decides the draws).
    environments: how many run at once for each member; does not change the result unless `sample`.
    """
    policies, calls = run.policies, itertools.count()

    def act(observations: Any) -> Array:
        return policies.act(observations, sample=sample, seed=(seed * 1_000_003 + next(calls)) % 2**32)

    played = rollout(
        act, environment, episodes=episodes, seed=seed, environments=environments, members=len(policies),
        chunk=policies.chunk, expected=(run.recipe.observation, policies.action_space),
        stack=run.recipe.settings.frame_stack,
    )  # fmt: skip
    return dataclasses.replace(played, described=tuple(run.members))
