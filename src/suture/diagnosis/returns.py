"""What the returns of a log tell by themselves.

returns: (E,) one per episode, in reward units. Every function is pure; where all returns are equal, every
measure of spread is 0.
"""

import numpy as np

from suture.data.returns import returns_to_go
from suture.diagnosis.clusters import scaled
from suture.spaces import Array

TAIL = 10
FITTED, LEAST, RIDGES = 1_000, 5, (1e-3, 1e-2, 1e-1, 1.0)


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


def relative_improvement(returns: Array) -> float:
    """ERI: (best - mean) / |mean|, how far the best episode stands above the mean; inf at mean 0.

    Source: the estimated relative return improvement of arXiv:2111.13461, by its definition in words.
    """
    above, mean = float(returns.max() - returns.mean()), abs(float(returns.mean()))
    if not above:
        return 0.0
    return above / mean if mean else float("inf")


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


def beyond_start(starts: Array, values: Array, seed: int = 0) -> Array:
    """What each episode earned beyond what its start foretells, (E,): what was done there, and chance.

    starts: (E, d) first observations.   values: (E,). The forecast is kernel ridge regression, quadratic or
    Gaussian, with the penalty that errs least on episodes left out one at a time; those errors are the
    answer, so that a start that tells nothing explains nothing. It is fitted to at most 1,000 episodes.
    Source: Rasmussen & Williams 2006, 5.4.2 (leaving one out in closed form).
    """
    centred, points = values - values.mean(), scaled(starts, starts).astype(np.float64)
    if len(values) < LEAST or not points.shape[1] or not centred.any():
        return np.asarray(centred)
    fitted = np.random.default_rng(seed).permutation(len(values))[:FITTED]
    best, least = centred, float(np.square(centred[fitted]).mean())
    for kernel in (_quadratic, _gaussian):
        inner = kernel(points[fitted], points[fitted])
        height, axes = np.linalg.eigh(inner)
        along = axes.T @ centred[fitted]
        for ridge in RIDGES:
            shrunk = 1 / (np.maximum(height, 0) + ridge * np.trace(inner) / len(inner))
            weights = axes @ (shrunk * along)
            errors = weights / (np.square(axes) @ shrunk)
            if (error := float(np.square(errors).mean())) < least:
                best, least = centred - kernel(points, points[fitted]) @ weights, error
                best[fitted] = errors
    return best


def _quadratic(one: Array, other: Array) -> Array:
    """(1 + x y / d)^2, (n, m)."""
    return np.square(1 + one @ other.T / one.shape[1])


def _gaussian(one: Array, other: Array) -> Array:
    """exp(-|x - y|^2 / d) of columns with a variance of 1, (n, m)."""
    gaps = np.square(one).sum(1)[:, None] + np.square(other).sum(1) - 2 * one @ other.T
    return np.exp(-np.maximum(gaps, 0) / one.shape[1])
