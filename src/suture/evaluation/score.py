"""What an evaluation says: returns, their uncertainty, and the normalised score where one is defined."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from suture.spaces import Array, Tree, arrays_of

CONFIDENCE = 0.95
MOST_NUMBERS = 64
"""Numbers of a first observation up to which first observations are kept with an evaluation."""

REFERENCES = {
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
    "antmaze": (0.0, 1.0),
    "pen": (96.262799, 3076.83310),
    "hammer": (-274.856578, 12794.134825),
    "door": (-56.512833, 2880.569309),
    "relocate": (-6.425911, 4233.877798),
    "kitchen": (0.0, 4.0),
    "maze2d-umaze": (23.85, 161.86),
    "maze2d-medium": (13.13, 277.39),
    "maze2d-large": (6.7, 273.99),
}
"""Task -> return that scores 0, return that scores 100. Source: D4RL's table of reference returns."""


def reference(environment: str) -> tuple[float, float] | None:
    """The reference returns of an environment or data set, such as HalfCheetah-v5 or door-human-v1.

    None where D4RL defines none; tasks that only resemble one of its tasks have none.
    """
    words = environment.rpartition("/")[2].rpartition(":")[2].lower().split("-")
    task = words[0].removeprefix("adroithand")
    return REFERENCES.get(task) or REFERENCES.get("-".join(words[:2]))


def normalised(returns: Array, environment: str) -> Array | None:
    """D4RL's score of undiscounted returns: 0 for its random, 100 for its expert reference; else None.

    Source: Fu et al. 2020 (arXiv:2004.07219), section 4.
    """
    bounds = reference(environment)
    return None if bounds is None else 100.0 * (returns - bounds[0]) / (bounds[1] - bounds[0])


def standard_error(values: Array) -> Array:
    """Standard error of the mean over the last axis; NaN where there is one value only."""
    count = values.shape[-1]
    if count < 2:
        return np.full(values.shape[:-1], np.nan)
    return np.asarray(values.std(axis=-1, ddof=1) / np.sqrt(count))


def half_width(values: Array) -> Array:
    """Half the width of the 95 % interval of the mean over the last axis (Student's t); NaN for one value."""
    degrees = max(1, values.shape[-1] - 1)
    return np.asarray(stdtrit(degrees, 0.5 + CONFIDENCE / 2) * standard_error(values))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What M members earned in E episodes of an environment, on the same initial seeds.

    returns: undiscounted, (M, E).   lengths: steps, (M, E).   clipped: share of the actions with a
    dimension outside the environment's bounds, (M,).   successes: whether an episode reported success at
    any step, (M, E), or None where the environment does not say.
    discounted: what a critic estimates of each episode, (M, E), where it was asked for.
    starts: the first observations, tree of (E, ...).
    described: seed and swept values of each member, where a run was played.
    """

    environment: str
    seed: int
    returns: Array
    lengths: Array
    clipped: Array
    successes: Array | None = None
    discounted: Array | None = None
    starts: Tree | None = None
    described: tuple[dict[str, Any], ...] = ()

    @property
    def mean(self) -> Array:
        """Mean return of each member, (M,)."""
        return np.asarray(self.returns.mean(axis=1))

    @property
    def standard_error(self) -> Array:
        """Standard error of each member's mean over its episodes, (M,)."""
        return standard_error(self.returns)

    @property
    def interval(self) -> Array:
        """95 % interval of each member's mean return, (M, 2)."""
        return self.mean[:, None] + np.array([-1.0, 1.0]) * half_width(self.returns)[:, None]

    @property
    def settings(self) -> list[tuple[dict[str, Any], list[int]]]:
        """The settings of a sweep, each with its members, which differ in the seed alone."""
        return grouped(self.described or [{} for _ in self.returns])

    @property
    def overall(self) -> tuple[float, float, float]:
        """`summed_up` over all members; NaN where they are of different settings, which are not pooled."""
        together = len(self.settings) == 1
        return self.summed_up(list(range(len(self.returns)))) if together else (np.nan, np.nan, np.nan)

    def summed_up(self, members: list[int]) -> tuple[float, float, float]:
        """Mean over some members, its standard error, and half the width of its 95 % interval.

        The sample is the members; for one member it is its episodes, which say how well this policy is
        known and nothing about other training seeds. NaN where the sample is one value.
        """
        sample = self.mean[members] if len(members) > 1 else self.returns[members[0]]
        return float(sample.mean()), float(standard_error(sample)), float(half_width(sample))

    @property
    def score(self) -> Array | None:
        """D4RL's normalised score of each member, (M,), where it is defined."""
        return normalised(self.mean, self.environment)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON-able values; a number that is not defined is None.

        `mean`, `standard_error` and `interval` are over all members, and None where their settings differ;
        `settings` has them setting by setting. `starts`: the first observations as rows of numbers, in the
        order of `flat`; None where they are pictures or not known.
        """
        overall = self.overall
        members = {
            "mean": self.mean, "standard_error": self.standard_error, "interval": self.interval,
            "score": self.score, "clipped": self.clipped,
            "success_rate": None if self.successes is None else self.successes.mean(axis=1),
            "returns": self.returns, "lengths": self.lengths, "successes": self.successes,
        }  # fmt: skip
        return {
            "environment": self.environment,
            "seed": self.seed,
            "members": int(self.returns.shape[0]),
            "episodes": int(self.returns.shape[1]),
            **_summary(overall),
            "settings": [
                {"setting": setting, "members": members, **_summary(self.summed_up(members))}
                for setting, members in self.settings
            ],
            "per_member": {name: _defined(value) for name, value in members.items()},
            "starts": None if (starts := flat(self.starts)) is None else starts.tolist(),
        }


def flat(observations: Tree | None) -> Array | None:
    """Observations as rows of numbers, (n, d), leaf after leaf in the order of their paths.

    None for pictures, beyond MOST_NUMBERS numbers a row, and where one is not finite.
    """
    leaves = [] if observations is None else list(arrays_of(observations).values())
    if not leaves or sum(int(np.prod(leaf.shape[1:])) for leaf in leaves) > MOST_NUMBERS:
        return None
    rows = np.concatenate([np.asarray(leaf, np.float64).reshape(len(leaf), -1) for leaf in leaves], axis=1)
    return rows if np.isfinite(rows).all() else None


def grouped(members: Sequence[Mapping[str, Any]]) -> list[tuple[dict[str, Any], list[int]]]:
    """The different settings among members, without their seeds, each with the members that have it."""
    groups: dict[tuple[tuple[str, Any], ...], list[int]] = {}
    for index, member in enumerate(members):
        key = tuple((name, value) for name, value in member.items() if name != "seed")
        groups.setdefault(key, []).append(index)
    return [(dict(key), indices) for key, indices in groups.items()]


def _summary(values: tuple[float, float, float]) -> dict[str, Any]:
    mean, error, half = values
    return {
        "mean": _defined(mean), "standard_error": _defined(error),
        "interval": [_defined(mean - half), _defined(mean + half)],
    }  # fmt: skip


def _defined(value: Any) -> Any:
    """Nested lists of plain numbers, with None in the place of NaN."""
    if isinstance(value, np.ndarray):
        return [_defined(inner) for inner in value.tolist()]
    if isinstance(value, list):
        return [_defined(inner) for inner in value]
    return None if isinstance(value, float) and np.isnan(value) else value
