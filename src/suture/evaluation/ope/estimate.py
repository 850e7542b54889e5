"""What a policy is worth by a log alone, how sure that is, and when not to say it.

The value is fitted Q evaluation's, at the log's first states, over resamples of its episodes, each with a
seed of its own: their spread is the standard error, of the data and of the fit. No number is given where
the log does not vouch for the policy's actions, where the fit does not settle, or where the same procedure
misses what the log's own behaviour is known to have earned.
Sources: Le et al. 2019 (arXiv:1903.08738); Hao et al. 2021 (arXiv:2102.03607), the bootstrap over episodes.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from suture.algorithms.bc import BC
from suture.data.dataset import Dataset
from suture.data.returns import returns_to_go
from suture.data.split import split
from suture.errors import ConfigError, DataRefused, RunMismatch
from suture.evaluation.estimates import Estimate
from suture.evaluation.ope.fqe import Evaluator, Fitted
from suture.evaluation.score import CONFIDENCE
from suture.evaluation.support import RARE, Support, drawn
from suture.spaces import Array, Box, Space, map_arrays
from suture.training.run import Run
from suture.training.train import train

SUPPORTED = 0.9
"""Share of the policy's actions that the log must vouch for."""
TAIL = 0.1
SETTLED, AGAIN = 0.02, 3
"""A fit has settled when its last three answers differ from the three before by less than this share."""
STATES = 4_096
CLONING = 3_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """How values are estimated.

    resamples: of the log's episodes, each with a fit of at most `steps` updates.   seed: of the resamples.
    discount: of the value; None: the run's, or 0.99 for a method without one.
    """

    discount: float | None = None
    resamples: int = 10
    steps: int = 20_000
    seed: int = 0
    say: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        if self.discount is not None and not 0.0 < self.discount < 1.0:
            raise ConfigError(f"discount must be > 0 and < 1, found {self.discount}.")
        if self.resamples < 2 or self.steps < 1:
            raise ConfigError(
                f"An interval needs at least 2 resamples and 1 step, found {self.resamples} and {self.steps}."
            )


def estimate(run: Run, data: Dataset, **options: Any) -> list[Estimate]:
    """Estimate the value of every member's policy on a log.   options: fields of Method.

    data: a log of the spaces that the run was trained on; best one that it was not trained on.
    Raises RunMismatch for a log of other spaces, DataRefused for one without rewards.
    """
    method = Method(**options)
    for what, ours, theirs in (
        ("observations", run.recipe.observation, data.observation_space),
        ("actions", run.recipe.action, data.action_space),
    ):
        if _unlike(ours, theirs):
            raise RunMismatch(f"{run.path} was trained on {what} {ours}; {data.source} has {theirs}.")
    with tempfile.TemporaryDirectory() as folder:
        return _Estimator.of(run, data.admit(), method, Path(folder)).all()


@dataclasses.dataclass(frozen=True, eq=False)
class _Estimator:
    """scale: what rewards are multiplied by, so that values are of the size that networks learn well."""

    run: Run
    data: Dataset
    method: Method
    support: Support
    discount: float
    scale: float
    earned: tuple[float, float] | None

    @staticmethod
    def of(run: Run, data: Dataset, method: Method, folder: Path) -> "_Estimator":
        if data.reward is None:
            raise DataRefused(f"{data.source} has no rewards: there is no value to estimate.")
        method.say("Cloning the log's behaviour, to see which actions the log vouches for.")
        hidden = getattr(run.algorithm, "hidden", (256, 256))
        clone = train(
            BC(head="mixture", hidden=hidden), data, out=folder / "clone", steps=CLONING, validation=0.1
        )
        held = split(data, fraction=0.1).validation
        held = held if len(held) else data
        rows = _some(len(held))
        support = Support.of(
            clone, map_arrays(lambda array: array[rows], held.observation), held.action[rows]
        )
        discount = method.discount or getattr(run.algorithm, "discount", 0.99)
        total = returns_to_go(np.asarray(data.reward), data.episode_start, discount)
        scale = 1.0 / max(float(total.std()), 1e-6)
        return _Estimator(run, data, method, support, discount, scale, _earned(data, total, discount))

    def all(self) -> list[Estimate]:
        checked = self._fits(self.support.behaviour, 0, resamples=2)
        return [self._one(member, float(np.mean(checked[0]))) for member in range(len(self.run))]

    def _one(self, member: int, checked: float) -> Estimate:
        self.method.say(f"Member {member}: {self.method.resamples} fits.")
        values, settled = self._fits(self.run, member, resamples=self.method.resamples)
        supported = self._supported(member)
        refused = tuple(self._reasons(supported, settled, checked))
        mean, error = float(values.mean()), float(values.std(ddof=1))
        half = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2)) * error
        known = not refused
        return Estimate(
            member=member, discount=self.discount,
            value=mean if known else None, standard_error=error if known else None,
            interval=(mean - half, mean + half) if known else None,
            fits=tuple(values.tolist()), supported=supported, earned=self.earned, checked=checked,
            refused=refused,
        )  # fmt: skip

    def _fits(self, run: Run, member: int, *, resamples: int) -> tuple[Array, bool]:
        """The answers of fits on resamples of the episodes, (resamples,), and whether all have settled."""
        evaluator = Evaluator(run, self.data, member=member, discount=self.discount, scale=(self.scale, 0.0))
        generator, episodes = np.random.default_rng(self.method.seed), self.data.episodes
        values, settled = list[float](), True
        for number in range(resamples):
            chosen = np.sort(generator.integers(episodes, size=episodes))
            first = self.data.episode_start[chosen]
            starts = map_arrays(lambda array, first=first: array[first], self.data.observation)
            path = _Path(lambda fitted, starts=starts: float(fitted.values(starts).mean()) / self.scale)
            evaluator.fit(
                np.array([number]), steps=self.method.steps, episodes=chosen, settled=path.has_settled
            )
            values.append(path.latest)
            settled &= path.settled
        return np.array(values), settled

    def _supported(self, member: int) -> float:
        rows = _some(len(self.data))
        seen = map_arrays(lambda array: array[rows], self.data.observation)
        unit = drawn(self.run, member, seen)
        if self.run.policies.chunk > 1:
            unit = unit.reshape(len(rows), self.run.policies.chunk, -1)[:, 0]
        ours, theirs = (one.recipe.normaliser for one in (self.run, self.support.behaviour))
        inside = self.support.holds(seen, np.asarray(theirs.to_unit(ours.from_unit(unit))))
        return min(1.0, float(inside.mean()) / (1 - RARE))

    def _reasons(self, supported: float, settled: bool, checked: float) -> list[str]:
        found = list[str]()
        if supported < SUPPORTED:
            found.append(
                f"The log vouches for {supported:.0%} of the policy's actions, and {SUPPORTED:.0%} are "
                "needed: what the others lead to is not in the log. Train nearer to the log (a larger bc or "
                "conservative weight), or try the policy with care and log what happens."
            )
        if not settled:
            found.append(
                f"Fits had not settled after {self.method.steps:,} updates. Give them more (--steps)."
            )
        if self.earned is not None:
            mean, error = self.earned
            if abs(checked - mean) > 3 * error + 0.1 * max(abs(mean), 1 / self.scale):
                found.append(
                    f"The same procedure says {checked:.4g} of the log's own behaviour, which earned "
                    f"{mean:.4g} ± {error:.2g}: on this log it cannot be trusted."
                )
        return found


class _Path:
    """The answers of one fit as it goes on."""

    def __init__(self, ask: Callable[[Fitted], float]):
        self._ask, self._answers, self.settled = ask, list[float](), False

    @property
    def latest(self) -> float:
        return float(np.mean(self._answers[-AGAIN:]))

    def has_settled(self, fitted: Fitted) -> bool:
        self._answers.append(self._ask(fitted))
        if len(self._answers) >= 2 * AGAIN:
            before = float(np.mean(self._answers[-2 * AGAIN : -AGAIN]))
            self.settled = abs(self.latest - before) < SETTLED * max(abs(self.latest), np.ptp(self._answers))
        return self.settled


def _earned(data: Dataset, total: Array, discount: float) -> tuple[float, float] | None:
    """Mean discounted return and its standard error, where the episodes' ends were recorded, or nearly."""
    whole = data.terminated[data.episode_start[1:] - 1] | (discount**data.lengths <= TAIL)
    returns = total[data.episode_start[:-1]]
    if not whole.all() or len(returns) < 2:
        return None
    return float(returns.mean()), float(returns.std(ddof=1) / np.sqrt(len(returns)))


def _unlike(one: Space, other: Space) -> bool:
    """Bounds may differ: those of the run are used."""
    if isinstance(one, Box) and isinstance(other, Box):
        return one.shape != other.shape
    return one != other


def _some(count: int) -> Array:
    """Up to `STATES` rows, spread over all."""
    return np.unique(np.linspace(0, count - 1, min(count, STATES)).astype(np.int64))
