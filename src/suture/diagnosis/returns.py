"""What the returns of a log tell by themselves.

returns: (E,) one per episode, in reward units. Every function is pure; where all returns are equal, every
measure of spread is 0.
"""

import numpy as np

from suture.data.returns import returns_to_go
from suture.spaces import Array

TAIL = 10


def variation(returns: Array) -> float:
    """CV: standard deviation over the absolute mean; inf at mean 0. A shift of the rewards changes it."""
    deviation, mean = float(returns.std()), abs(float(returns.mean()))
    if not deviation:
        return 0.0
    return deviation / mean if mean else float("inf")


def positive_variance(returns: Array) -> float:
    """RPSV: E[(G - mean)^2 where G > mean] / (max - min)^2, at most 4/27: how much good there is to pick out.

    Source: Hong et al. 2023 (arXiv:2306.13085), there the headroom of reweighting over imitation.
    """
    spread = float(np.ptp(returns))
    if not spread:
        return 0.0
    return float(np.square(np.maximum(returns - returns.mean(), 0.0)).mean()) / spread**2


def decile_lift(returns: Array) -> float:
    """(mean of the best tenth - mean) / (max - min), in [0, 1): what filtered imitation would gain."""
    spread = float(np.ptp(returns))
    if not spread:
        return 0.0
    best = np.sort(returns)[-max(1, round(len(returns) / 10)) :]
    return float(best.mean() - returns.mean()) / spread


def spread(returns: Array) -> float:
    """Standard deviation over (max - min), in [0, 1/2]. Invariant to scale and shift of the returns."""
    width = float(np.ptp(returns))
    return float(returns.std()) / width if width else 0.0


def reward_sparsity(reward: Array) -> float:
    """Share of the transitions that pay the commonest reward: near 1 for "0 until the goal"."""
    _, counts = np.unique(reward, return_counts=True)
    return float(counts.max() / len(reward))


def starting_values(reward: Array, episode_start: Array, terminated: Array, discount: float) -> Array:
    """Discounted return of each episode from its first step, (E,), with what a cut recording left out.

    An episode that did not terminate is carried on at the mean reward of its last tenth: a steady balance
    goes on paying, a fragment that never earned goes on earning nothing. So the values compare with those of
    an endless plan. Source: ours; Pardo et al. 2018 (arXiv:1712.00378) say why the rest must not be dropped.
    """
    value = returns_to_go(reward, episode_start, discount)[episode_start[:-1]]
    lengths, last = np.diff(episode_start), episode_start[1:]
    part = np.maximum(1, lengths // TAIL)
    total = np.concatenate([[0.0], np.cumsum(reward, dtype=np.float64)])
    rate = (total[last] - total[last - part]) / part
    cut = ~terminated[last - 1]
    return np.asarray(value + np.where(cut, discount**lengths * rate / (1 - discount), 0.0))
