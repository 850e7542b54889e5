"""Finite decision problems with exact answers: what learning tests and diagnoses are measured against.

`suture/Canonical-v0` and `suture/SelfLoop-v0` are registered with Gymnasium when this module is imported.
Observations are one-hot, so that any network can represent any table.
"""

import dataclasses
from typing import Any, Literal

import gymnasium
import numpy as np

from suture.data.log import Log
from suture.errors import ConfigError
from suture.spaces import Array, Box, Discrete

HORIZON = 100


@dataclasses.dataclass(frozen=True, eq=False)
class TabularMDP:
    """A decision problem of S states and A actions.

    transition: (S, A, S) probabilities; what a row lacks of 1 is the probability that the episode ends.
    reward: expected reward, (S, A).   discount: in [0, 1).   start: probabilities of first states, (S,).
    Raises ConfigError where the arrays do not fit together or are no probabilities.
    """

    transition: Array
    reward: Array
    discount: float
    start: Array

    def __post_init__(self) -> None:
        states, actions = self.reward.shape
        if self.transition.shape != (states, actions, states) or self.start.shape != (states,):
            raise ConfigError(
                f"reward {self.reward.shape} asks for transition {(states, actions, states)} and start "
                f"{(states,)}, found {self.transition.shape} and {self.start.shape}."
            )
        most = max(self.transition.sum(axis=2).max(), self.start.sum())
        if min(self.transition.min(), self.start.min()) < 0 or most > 1 + 1e-9 or not 0 <= self.discount < 1:
            raise ConfigError(
                "transition and start must be probabilities and 0 <= discount < 1; found the smallest entry "
                f"{self.transition.min():g}, the largest sum {most:g} and discount {self.discount:g}."
            )

    @property
    def states(self) -> int:
        return self.reward.shape[0]

    @property
    def actions(self) -> int:
        return self.reward.shape[1]

    def backup(self, value: Array) -> Array:
        """Reward plus discounted value of what follows: (S,) to (S, A)."""
        return self.reward + self.discount * self.transition @ value


def canonical() -> TabularMDP:
    """The four-state problem whose fixed points are known for every method: stitching beats every log."""
    transition = np.zeros((4, 3, 4))
    for state, action, following in (
        (0, 0, {1: 1.0}), (0, 1, {2: 0.8, 3: 0.2}), (0, 2, {0: 1.0}),
        (1, 0, {3: 1.0}), (1, 1, {0: 1.0}), (1, 2, {2: 1.0}),
        (2, 0, {1: 0.5, 3: 0.5}), (2, 1, {2: 1.0}), (2, 2, {0: 1.0}),
        (3, 0, {0: 1.0}), (3, 1, {3: 1.0}), (3, 2, {1: 0.3, 2: 0.7}),
    ):  # fmt: skip
        transition[state, action, list(following)] = list(following.values())
    reward = np.array([[0.0, 0.2, 0.45], [0.5, 0.0, 2.0], [1.0, -0.2, 0.3], [0.0, 0.1, 0.4]])
    return TabularMDP(transition, reward, 0.9, np.array([1.0, 0.0, 0.0, 0.0]))


def canonical_behaviour() -> Array:
    """The behaviour policy of the canonical problem, (4, 3); it never takes action 2 in state 1."""
    return np.array([[0.6, 0.3, 0.1], [0.1, 0.9, 0.0], [0.05, 0.5, 0.45], [0.4, 0.4, 0.2]])


def self_loop(discount: float = 0.99) -> TabularMDP:
    """One state that pays 1 for ever: its value is 1 / (1 - discount), whatever the recordings' length."""
    return TabularMDP(np.ones((1, 1, 1)), np.ones((1, 1)), discount, np.ones(1))


def self_loop_mistaken(horizon: int, discount: float = 0.99) -> tuple[float, float]:
    """What the loop seems worth where its time limit is taken for a termination (fault D5).

    The discounted return from a recording's first step, and the value that temporal differences give the
    one state, where one transition in `horizon` seems to end.
    """
    return (1 - discount**horizon) / (1 - discount), 1 / (1 - discount * (1 - 1 / horizon))


def evaluate(mdp: TabularMDP, policy: Array) -> tuple[Array, Array, float]:
    """Exact Q (S, A), V (S,) and value of the start of a policy (S, A), by solving the linear system."""
    through = np.einsum("sa,sat->st", policy, mdp.transition)
    value = np.linalg.solve(np.eye(mdp.states) - mdp.discount * through, np.sum(policy * mdp.reward, axis=1))
    return mdp.backup(value), value, float(mdp.start @ value)


def optimal(
    mdp: TabularMDP, allowed: Array | None = None, tolerance: float = 1e-12
) -> tuple[Array, Array, float]:
    """Q (S, A), greedy actions (S,) and value of the start of the best policy, by value iteration.

    allowed: (S, A) the actions that may be taken, such as those that a log supports; all where None.
    """
    usable = np.ones(mdp.reward.shape, bool) if allowed is None else allowed
    value, change = np.zeros(mdp.states), np.inf
    while change > tolerance:
        best = np.where(usable, mdp.backup(value), -np.inf).max(axis=1)
        value, change = best, np.abs(best - value).max()
    quality = mdp.backup(value)
    return quality, np.where(usable, quality, -np.inf).argmax(axis=1), float(mdp.start @ value)


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
