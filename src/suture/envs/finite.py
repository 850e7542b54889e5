"""Finite decision problems and their exact solutions, in NumPy alone.

Source: the canonical problem is our own reference (its fixed points are known for every method).
"""

import dataclasses

import numpy as np

from suture.errors import ConfigError
from suture.spaces import Array


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

    allowed: (S, A) the actions that may be taken, such as those that a log supports; all where None. A state
        in which there is none is worth 0.
    """
    usable = np.ones(mdp.reward.shape, bool) if allowed is None else allowed
    value, change = np.zeros(mdp.states), np.inf
    while change > tolerance:
        best = np.where(usable, mdp.backup(value), -np.inf).max(axis=1)
        best = np.where(usable.any(axis=1), best, 0.0)
        value, change = best, np.abs(best - value).max()
    quality = mdp.backup(value)
    return quality, np.where(usable, quality, -np.inf).argmax(axis=1), float(mdp.start @ value)
