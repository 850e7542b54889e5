"""How a few noisy runs are summed up: interquartile means, bootstrap intervals, probability of improvement.

Source: Agarwal et al. 2021 (arXiv:2108.13264), whose statistics these are; there over tasks and runs, here
over the training seeds of one task and the episodes of each seed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from suture.spaces import Array

Statistic: TypeAlias = Callable[[Array], Array]
Interval: TypeAlias = tuple[float, float] | tuple[None, None]
Which: TypeAlias = Literal["last", "best", "average"]
RESAMPLES = 2_000
LEVEL = 0.95
FEWEST = 3
"""Seeds of a setting below which nothing is said of other seeds: neither an interval nor a probability."""


def mean(values: Array) -> Array:
    """Mean over the last axis."""
    return np.asarray(values.mean(-1))


def interquartile_mean(values: Array) -> Array:
    """Mean of the middle half over the last axis: a quarter of the values is left out at either end.

    Where a quarter is no whole number, the values at its edge count in part.
    """
    ordered, count = np.sort(values, axis=-1), values.shape[-1]
    ranks = np.arange(count)
    low, high = count / 4, 3 * count / 4
    weight = np.clip(np.minimum(ranks + 1, high) - np.maximum(ranks, low), 0, 1)
    return np.asarray(ordered @ weight / weight.sum())


def resampled(returns: Array, seed: int = 0) -> Array:
    """Means of seeds in resampled experiments, (RESAMPLES, seeds).

    returns: (seeds, episodes). Seeds are drawn with replacement, and for each its episodes.
    """
    generator = np.random.default_rng(seed)
    seeds, episodes = returns.shape
    chosen = generator.integers(seeds, size=(RESAMPLES, seeds))
    drawn = np.empty((RESAMPLES, seeds))
    for block in np.array_split(np.arange(RESAMPLES), max(1, RESAMPLES * seeds * episodes // 10_000_000)):
        picked = generator.integers(episodes, size=(len(block), seeds, episodes))
        drawn[block] = returns[chosen[block][..., None], picked].mean(-1)
    return drawn


def interval(statistic: Statistic, returns: Array, seed: int = 0) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of a statistic of the seeds' means.   returns: (seeds, episodes)."""
    edges = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    low, high = np.quantile(statistic(resampled(returns, seed)), edges)
    return float(low), float(high)


def probability_of_improvement(one: Array, other: Array) -> float:
    """Probability that a seed's mean of `one` exceeds a seed's mean of `other`; ties count half.

    one, other: (seeds, episodes).   This is the Mann-Whitney statistic divided by its largest value.
    """
    a, b = one.mean(1)[:, None], other.mean(1)[None, :]
    return float(((a > b) + 0.5 * (a == b)).mean())


def interval_of_improvement(one: Array, other: Array, seed: int = 0) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of that probability.   one, other: (seeds, episodes)."""
    a, b = (resampled(returns, seed + place)[..., None] for place, returns in enumerate((one, other)))
    b = b.swapaxes(1, 2)
    low, high = np.quantile(((a > b) + 0.5 * (a == b)).mean((1, 2)), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def too_few(seeds: int) -> str:
    """Why nothing is said of other training seeds."""
    return (
        f"{seeds} seed{'' if seeds == 1 else 's'} a setting: intervals and P(better) need at least {FEWEST}, "
        f"for they say what other training seeds would earn. Train with --seeds {FEWEST} or more."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """What one setting of a sweep earned.

    setting: the swept fields.   checkpoint: "last" is what a user deploys; "best" was chosen by these very
    returns and flatters; "average" is the mean over checkpoints.   steps: of the checkpoints that it is of.
    mean, interquartile_mean: over seeds, with 95 % bootstrap intervals.
    improvement: probability that a seed of this setting beats a seed of the first setting, from 0 to 1, with
    its 95 % bootstrap interval; None of the first setting itself.
    left_out: why there are no intervals and no improvement (both are None); None where there are.
    """

    setting: dict[str, float]
    checkpoint: Which
    seeds: int
    mean: float
    mean_interval: Interval
    interquartile_mean: float
    interquartile_interval: Interval
    improvement: float | None
    left_out: str | None = None
    steps: tuple[int, ...] = ()
    improvement_interval: Interval = (None, None)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
