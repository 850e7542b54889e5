"""Finite decision problems (`envs/finite.py`) as logs to learn from and as environments to act in.

`suture/Canonical-v0` and `suture/SelfLoop-v0` are registered with Gymnasium when this module is imported.
Observations are one-hot, so that any network can represent any table.
"""

from typing import Any, Literal

import gymnasium
import numpy as np

from suture.data.log import Log
from suture.envs.finite import (
    TabularMDP,
    canonical,
    canonical_behaviour,
    evaluate,
    optimal,
    self_loop,
    self_loop_mistaken,
)
from suture.spaces import Array, Box, Discrete

__all__ = [
    "HORIZON", "TabularEnvironment", "TabularMDP", "canonical", "canonical_behaviour", "evaluate",
    "make_canonical", "make_self_loop", "optimal", "sample_log", "self_loop", "self_loop_mistaken",
]  # fmt: skip

HORIZON = 100


def sample_log(
    mdp: TabularMDP,
    behaviour: Array,
    *,
    episodes: int,
    horizon: int = HORIZON,
    seed: int,
    ends: Literal["separate", "done"] = "separate",
) -> Log:
    """Episodes of a behaviour policy (S, A), cut after `horizon` steps.

    ends: "separate" keeps termination and time limit apart; "done" merges them, as many logs do (D5).
    """
    generator = np.random.default_rng(seed)
    one_hot, rows = np.eye(mdp.states, dtype=np.float32), list[tuple[Array, ...]]()
    episode, step = np.arange(episodes), np.zeros(episodes, int)
    state = _draw(np.tile(mdp.start, (episodes, 1)), generator)
    for count in range(1, horizon + 1):
        action = _draw(behaviour[state], generator)
        following = _draw(mdp.transition[state, action], generator)
        ended = following == mdp.states
        rows.append(
            (
                episode,
                step,
                state,
                action,
                np.where(ended, state, following),
                ended,
                ~ended & (count == horizon),
            )
        )
        episode, step, state = episode[~ended], step[~ended] + 1, following[~ended]
    columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    episode, _, state, action, following, terminal, timeout = (column[order] for column in columns)
    merged = ends == "done"
    return Log(
        source="tabular", layout="tabular", episode=episode,
        observation=one_hot[state], next_observation=one_hot[following],
        action=action.astype(np.int32), reward=mdp.reward[state, action].astype(np.float32),
        propensity=behaviour[state, action], action_probabilities=behaviour[state],
        observation_space=Box((mdp.states,)), action_space=Discrete(mdp.actions),
        terminal=None if merged else terminal, timeout=None if merged else timeout,
        done=terminal | timeout if merged else None,
    )  # fmt: skip


def _draw(probabilities: Array, generator: np.random.Generator) -> Array:
    """One choice for each row of probabilities (n, k); k where the row's missing mass was drawn."""
    cumulative = np.cumsum(probabilities, axis=1)
    whole = np.abs(cumulative[:, -1:] - 1.0) < 1e-9
    cumulative = np.where(
        whole & (np.arange(cumulative.shape[1]) == cumulative.shape[1] - 1), 1.0, cumulative
    )
    return np.sum(generator.random((len(probabilities), 1)) >= cumulative, axis=1)


class TabularEnvironment(gymnasium.Env[Array, np.int64]):
    """A finite decision problem to act in. Observation: one-hot (S,). Action: 0 to A - 1."""

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own form

    def __init__(self, mdp: TabularMDP) -> None:
        self.mdp = mdp
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (mdp.states,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(mdp.actions)
        self._state = 0

    def _observe(self) -> Array:
        return np.eye(self.mdp.states, dtype=np.float32)[self._state]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = int(_draw(self.mdp.start[None], self.np_random)[0])
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        reward = float(self.mdp.reward[self._state, action])
        following = int(_draw(self.mdp.transition[self._state, action][None], self.np_random)[0])
        ended = following == self.mdp.states
        self._state = self._state if ended else following
        return self._observe(), reward, ended, False, {}


def make_canonical() -> TabularEnvironment:
    """The canonical problem as an environment."""
    return TabularEnvironment(canonical())


def make_self_loop() -> TabularEnvironment:
    """The self-loop as an environment."""
    return TabularEnvironment(self_loop())


for _name, _entry in (("Canonical", "make_canonical"), ("SelfLoop", "make_self_loop")):
    gymnasium.register(f"suture/{_name}-v0", f"suture.envs.tabular:{_entry}", max_episode_steps=HORIZON)
