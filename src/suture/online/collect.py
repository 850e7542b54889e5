"""From episodes that are played to transitions: what comes back is settled as what a log says is."""

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any

import jax
import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.envs.make import Make, make_vector
from suture.errors import SutureError
from suture.evaluation.rollout import Step, require_fit, rollout
from suture.evaluation.score import Evaluation
from suture.online.explore import Explorer
from suture.online.settings import Online, Rounds
from suture.spaces import Array, Discrete, Tree
from suture.training.accept import as_stored
from suture.training.program import State
from suture.training.run import Recipe

APART = 1 << 40
"""Added to the seed of episodes that are learned from: they are none of those that `evaluate` plays."""


class _Left(Exception):
    """The episodes under way are given up."""


def named(environment: str | Make) -> str:
    """What an environment is called in a run's files."""
    if isinstance(environment, str):
        return environment
    if isinstance(environment, functools.partial):
        given = [*map(repr, environment.args), *(f"{k}={v!r}" for k, v in environment.keywords.items())]
        return f"{named(environment.func)}({', '.join(given)})"
    return f"function {getattr(environment, '__name__', type(environment).__name__)}"


class Collector:
    """Plays episodes in an environment with the one member of a run, and keeps every transition.

    Episode k starts from (seed, k) alone.   how: it explores, and how many environments there are.
    Use as a context. Raises RunMismatch where the run's policy cannot act in the environment.
    """

    def __init__(self, recipe: Recipe, environment: str | Make, how: Online | Rounds):
        self.recipe, self.name, self.seed = recipe, named(environment), recipe.sweep.seed
        self._explorer = Explorer(
            recipe, noise=how.exploration_noise, random=how.random_actions, seed=self.seed
        )
        self._environment, self._how = environment, how

    def __enter__(self) -> "Collector":
        self._vector = make_vector(self._environment, self._how.at_once, processes=self._how.processes)
        try:
            require_fit(self._vector, (self.recipe.observation, self.recipe.action))
        except BaseException:
            self._vector.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._vector.close()

    def play(
        self, state: State, first: int, episodes: int, stop: Callable[[], Any] = lambda: None
    ) -> tuple[Dataset, Evaluation] | None:
        """Some episodes, numbered from `first`, and what they earned; None as soon as `stop` answers."""
        steps, act = list[Step](), self._explorer.act(state, first)

        def watched(observation: Any) -> Array:
            if stop():
                raise _Left
            return act(observation)

        try:
            played = rollout(
                watched, self._vector, episodes=episodes, seed=APART + self.seed, first=first,
                chunk=self.recipe.algorithm.decision_steps, record=steps.append,
                stack=self.recipe.settings.frame_stack,
            )  # fmt: skip
        except _Left:
            return None
        return self._dataset(steps), played

    def _dataset(self, steps: list[Step]) -> Dataset:
        whole = jax.tree.map(lambda *parts: np.concatenate(parts), *steps)
        order = np.argsort(whole.episode, kind="stable")
        whole = jax.tree.map(lambda array: array[order], whole)
        reward = whole.reward.astype(np.float32)
        if not np.isfinite(reward).all():
            row = int(np.flatnonzero(~np.isfinite(reward))[0])
            raise SutureError(
                f"{self.name} gave the reward {whole.reward[row]} in episode {whole.episode[row]}. "
                "Nothing of it was learned from; mend the environment, then continue with --resume."
            )
        begins = np.flatnonzero(np.append(True, whole.episode[1:] != whole.episode[:-1]))
        discrete = isinstance(self.recipe.action, Discrete)
        return Dataset(
            observation=self._stored(whole.observation), next_observation=self._stored(whole.following),
            action=whole.action.astype(np.int32 if discrete else np.float32), reward=reward,
            terminated=whole.terminated, truncated=whole.truncated & ~whole.terminated,
            has_next=np.ones(len(reward), bool), episode_start=np.append(begins, len(reward)),
            observation_space=self.recipe.observation, action_space=self.recipe.action,
            source=self.name, layout="online", names=self.recipe.names,
        )  # fmt: skip

    def _stored(self, observation: Tree) -> Tree:
        return spaces.map_arrays(np.ascontiguousarray, as_stored(observation, self.recipe.observation))
