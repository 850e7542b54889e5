"""What a policy is worth by a log alone, how sure that is, and when not to say it.

The value is fitted Q evaluation's, at the log's first states, over resamples of its episodes, each with a
seed of its own: their spread is the standard error, of the data and of the fit. No number is given where
the log is of few episodes, where it does not vouch for the policy's actions, where the fit does not settle,
or where the same procedure misses what the log shows of its own behaviour, or shows too little to tell.
Sources: Le et al. 2019 (arXiv:1903.08738); Hao et al. 2021 (arXiv:2102.03607), the bootstrap over episodes.
"""

import dataclasses
import math
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
from suture.evaluation.estimates import SUPPORTED, Estimate
from suture.evaluation.ope.fqe import CHUNK, FQE, Evaluator, Fitted
from suture.evaluation.score import CONFIDENCE
from suture.evaluation.support import RARE, Support, drawn
from suture.spaces import Array, Box, Discrete, Space, map_arrays
from suture.training.given import require_one_image
from suture.training.run import Run
from suture.training.train import Watch, train

FEWEST = 20
"""Episodes of a log. What a bootstrap cannot draw it cannot doubt: of one episode every resample is the log.
For the mean of n skewed (exponential) returns ten resamples give a 95 % interval that holds the truth 58
times in 100 for n = 2, 78 for 5, 86 for 10 and 89 for 20; of normal returns 62, 86, 90 and 93."""
SHOWN = 0.1
"""Share of the behaviour's value that must stand in logged rewards, and not behind the cuts of episodes."""
SETTLED, AGAIN, REACHED = 0.02, 3, 3.0
"""A fit has settled when its last three answers differ from the three before by less than a share, and when
values have had the time to be carried through as many horizons at the rate of the slow critic."""
STATES = 4_096
CLONING, CHECKS = 3_000, 2
"""Updates of the clone, and how often the procedure is tried on it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """How values are estimated.

    resamples: of the log's episodes, each with a fit of at most `steps` updates.   seed: of the resamples.
    discount: of the value; None: the run's, or 0.99 for a method without one.   watch: counts updates.
    """

    discount: float | None = None
    resamples: int = 10
    steps: int = 20_000
    seed: int = 0
    watch: Watch = dataclasses.field(default_factory=Watch)

    def __post_init__(self) -> None:
        if self.discount is not None and not 0.0 < self.discount < 1.0:
            raise ConfigError(f"discount must be > 0 and < 1, found {self.discount}.")
        if self.resamples < 2 or self.steps < 1:
            raise ConfigError(
                f"An interval needs at least 2 resamples and 1 step, found {self.resamples} and {self.steps}."
            )


def estimate(run: Run, data: Dataset, **options: Any) -> list[Estimate]:
    """Estimate the value of every member's policy on a log.   options: fields of Method.

    data: a log of the spaces that the run was trained on, or without its last choices; best one that it was
        not trained on.
    Raises RunMismatch for a log of other spaces, DataRefused for one without rewards.
    """
    method = Method(**options)
    require_one_image(run.recipe.settings, "Estimating from a log")
    if _lacks_choices(data.action_space, run.recipe.action):
        data = dataclasses.replace(data, action_space=run.recipe.action)
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

    @staticmethod
    def of(run: Run, data: Dataset, method: Method, folder: Path) -> "_Estimator":
        if data.reward is None:
            raise DataRefused(f"{data.source} has no rewards: there is no value to estimate.")
        discount = method.discount or getattr(run.algorithm, "discount", 0.99)
        if discount == 1.0:
            raise ConfigError(
                f"{run.path} was trained with a discount of 1, at which no fit is known to have settled. "
                f"Estimate the value at one below 1 (--discount)."
            )
        if method.steps < (least := CHUNK * max(2 * AGAIN, math.ceil(_reach(discount) / CHUNK))):
            raise ConfigError(
                f"At a discount of {discount:g} no fit can have settled within {method.steps:,} updates: "
                f"allow it {least:,} or more (--steps)."
            )
        method.watch.say("Cloning the log's behaviour, to see which actions the log vouches for.")
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
        total = returns_to_go(np.asarray(data.reward), data.episode_start, discount)
        scale = 1.0 / max(float(total.std()), 1e-6)
        return _Estimator(run, data, method, support, discount, scale)

    def all(self) -> list[Estimate]:
        """Fits take minutes, and are made of policies alone for which the log vouches."""
        supported = [self._supported(member) for member in range(len(self.run))]
        before_fits = [self._beforehand(share) for share in supported]
        fitted = sum(not reasons for reasons in before_fits)
        if not fitted:
            both = enumerate(zip(supported, before_fits, strict=True))
            return [self._unsaid(member, share, _Check(), (), reasons) for member, (share, reasons) in both]
        fits, most = CHECKS + fitted * self.method.resamples, self.method.steps
        self.method.watch.say(f"{fits} fits, each of {most:,} updates at most.")
        self.method.watch.start(0, fits * most)
        behaviour = self._fits(self.support.behaviour, 0, resamples=CHECKS, before=0)
        check, told, before = self._check(behaviour), list[Estimate](), CHECKS
        for member, (share, reasons) in enumerate(zip(supported, before_fits, strict=True)):
            if reasons:
                told.append(self._unsaid(member, share, check, (), reasons))
            else:
                told.append(self._one(member, share, check, before))
                before += self.method.resamples
        return told

    def _beforehand(self, supported: float) -> list[str]:
        """Why no fit could help."""
        found = list[str]()
        if self.data.episodes < FEWEST:
            found.append(
                f"The log holds {self.data.episodes:,} episode(s), and {FEWEST} are needed: resamples of so "
                "few are nearly the same log, and their spread says nothing of other episodes. Log more."
            )
        if supported < SUPPORTED:
            found.append(
                f"The log vouches for {supported:.0%} of the policy's actions, and {SUPPORTED:.0%} are "
                "needed: what the others lead to is not in the log. Train nearer to the log (a larger bc or "
                "conservative weight), or try the policy with care and log what happens."
            )
        return found

    def _unsaid(
        self, member: int, supported: float, check: "_Check", fits: tuple[float, ...], reasons: list[str]
    ) -> Estimate:
        """What is known beside the value."""
        return Estimate(
            member=member, discount=self.discount, value=None, standard_error=None, interval=None,
            fits=fits, supported=supported, earned=check.earned, cut=check.cut, checked=check.answer,
            refused=tuple(reasons),
        )  # fmt: skip

    def _check(self, behaviour: "_Fits") -> "_Check":
        """The same procedure beside what the log shows of its own behaviour."""
        if behaviour.last is None:
            return _Check()
        ends = self.data.episode_start[1:] - 1
        last = map_arrays(lambda array: array[ends], self.data.observation)
        ahead = behaviour.last.values(last).mean(0) / self.scale
        return _Check(behaviour.mean, *_earned(self.data, ahead, self.discount), 1 / self.scale)

    def _one(self, member: int, supported: float, check: "_Check", before: int) -> Estimate:
        fits = self._fits(self.run, member, resamples=self.method.resamples, before=before)
        told = self._unsaid(member, supported, check, fits.values, [*self._reasons(fits), *check.reasons()])
        if told.refused:
            return told
        error, half = (float(one) for one in _spread(np.array(fits.values)))
        interval = fits.mean - half, fits.mean + half
        return dataclasses.replace(told, value=fits.mean, standard_error=error, interval=interval)

    def _fits(self, run: Run, member: int, *, resamples: int, before: int) -> "_Fits":
        """Fits on resamples of the episodes.   before: how many fits of others there were."""
        evaluator = Evaluator(run, self.data, member=member, discount=self.discount, scale=(self.scale, 0.0))
        generator, episodes = np.random.default_rng(self.method.seed), self.data.episodes
        values, settled, broken, last = list[float](), True, 0, None
        for number in range(resamples):
            chosen = np.sort(generator.integers(episodes, size=episodes))
            first = self.data.episode_start[chosen]
            starts = map_arrays(lambda array, first=first: array[first], self.data.observation)
            path = _Path(
                lambda fitted, starts=starts: float(fitted.values(starts).mean()) / self.scale,
                _reach(self.discount),
            )
            fitted = evaluator.fit(
                np.array([number]), steps=self.method.steps, episodes=chosen, settled=path.has_settled
            )
            self.method.watch.progress((before + number + 1) * self.method.steps)
            if fitted.finite:
                values.append(path.latest)
                settled, last = settled and path.settled, fitted
            else:
                broken += 1
        return _Fits(tuple(values), settled, broken, None if broken else last)

    def _supported(self, member: int) -> float:
        rows = _some(len(self.data))
        seen = map_arrays(lambda array: array[rows], self.data.observation)
        unit = drawn(self.run, member, seen)
        if self.run.policies.chunk > 1:
            unit = unit.reshape(len(rows), self.run.policies.chunk, -1)[:, 0]
        ours, theirs = (one.recipe.normaliser for one in (self.run, self.support.behaviour))
        inside = self.support.holds(seen, np.asarray(theirs.to_unit(ours.from_unit(unit))))
        return min(1.0, float(inside.mean()) / (1 - RARE))

    def _reasons(self, fits: "_Fits") -> list[str]:
        if fits.broken:
            return [
                f"{fits.broken} of {self.method.resamples} fits became non-finite: the policy asks for "
                "actions that the log does not support. Lower the discount, or evaluate it by playing it."
            ]
        if not fits.settled:
            return [f"Fits had not settled after {self.method.steps:,} updates. Give them more (--steps)."]
        return []


@dataclasses.dataclass(frozen=True)
class _Fits:
    """The answers of the fits that stayed finite, whether these have settled, and how many did not stay.

    last: the last fit; None where one did not stay finite.
    """

    values: tuple[float, ...]
    settled: bool
    broken: int
    last: Fitted | None

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))


@dataclasses.dataclass(frozen=True)
class _Check:
    """The procedure tried on the clone: its answer (None: not tried, or non-finite), and what the log shows.

    earned, cut: see `_earned`.   unit: the spread of returns, below which a difference is none.
    """

    answer: float | None = None
    earned: tuple[float, float] | None = None
    cut: float = 0.0
    unit: float = 1.0

    def reasons(self) -> list[str]:
        """Why the procedure is not to be trusted. Of a wrong constant only the logged share shows."""
        if self.answer is None or self.earned is None:
            return ["The same procedure became non-finite on the log's own behaviour: it cannot be trusted."]
        if self.cut > 1 - SHOWN:
            return [
                f"Episodes are cut so early that {self.cut:.0%} of what a value sums up lies behind the "
                "cuts: the procedure cannot be tried on the log's own behaviour. Lower the discount "
                "(--discount), or log longer episodes."
            ]
        mean, error = self.earned
        size = max(abs(mean), self.unit)
        if abs(self.answer - mean) <= 3 * error + (0.1 * (1 - self.cut)) * size:
            return []
        return [
            f"The same procedure says {self.answer:.4g} of the log's own behaviour, which earned "
            f"{mean:.4g} ± {error:.2g}: on this log it cannot be trusted."
        ]


class _Path:
    """The answers of one fit as it goes on.   least: updates before which it cannot have settled."""

    def __init__(self, ask: Callable[[Fitted], float], least: float):
        self._ask, self._answers, self.settled = ask, list[float](), False
        self._least = max(2 * AGAIN, math.ceil(least / CHUNK))

    @property
    def latest(self) -> float:
        return float(np.mean(self._answers[-AGAIN:]))

    def has_settled(self, fitted: Fitted) -> bool:
        self._answers.append(self._ask(fitted))
        if len(self._answers) >= self._least:
            before = float(np.mean(self._answers[-2 * AGAIN : -AGAIN]))
            self.settled = abs(self.latest - before) < SETTLED * max(abs(self.latest), np.ptp(self._answers))
        return self.settled


def _spread(values: Array) -> tuple[Array, Array]:
    """Of the answers of resamples (..., n): the standard error, and half of the interval about their mean."""
    error = values.std(axis=-1, ddof=1)
    return error, stdtrit(values.shape[-1] - 1, 0.5 + CONFIDENCE / 2) * error


def _reach(discount: float) -> float:
    """Updates before which values cannot have been carried far enough."""
    return REACHED / (FQE.target_rate * (1 - discount))


def _earned(data: Dataset, ahead: Array, discount: float) -> tuple[tuple[float, float], float]:
    """What the behaviour earned, discounted: mean over episodes, its standard error; the share behind cuts.

    ahead: (E,) the value at each episode's last observation. It stands for what came after, last reward
    included, where the episode did not end; so no observation is asked for that was not recorded.
    """
    last = data.episode_start[1:] - 1
    cut, reward = ~data.terminated[last], np.array(data.reward, np.float64)
    reward[last] = np.where(cut, ahead, reward[last])
    returns = returns_to_go(reward, data.episode_start, discount)[data.episode_start[:-1]]
    behind = np.where(cut, discount ** (data.lengths - 1.0), 0.0)
    error = float(returns.std(ddof=1) / np.sqrt(len(returns)))
    return (float(returns.mean()), error), float(behind.mean())


def _unlike(one: Space, other: Space) -> bool:
    """Bounds may differ: those of the run are used."""
    if isinstance(one, Box) and isinstance(other, Box):
        return one.shape != other.shape
    return one != other


def _lacks_choices(logged: Space, known: Space) -> bool:
    """Whether a log's choices are some of those that a run knows: nobody took the last ones."""
    return isinstance(logged, Discrete) and isinstance(known, Discrete) and logged.n < known.n


def _some(count: int) -> Array:
    """Up to `STATES` rows, spread over all."""
    return np.unique(np.linspace(0, count - 1, min(count, STATES)).astype(np.int64))
