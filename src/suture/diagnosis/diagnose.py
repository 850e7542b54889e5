"""From a dataset to its diagnosis: statistics, regime, recommendation."""

import dataclasses
from typing import Any

from suture.data.dataset import Dataset
from suture.diagnosis.recommend import Recommendation, recommend
from suture.diagnosis.regime import Regime, regime_of
from suture.diagnosis.statistics import LIMIT, Statistics, Tell, statistics_of
from suture.spaces import Array, Discrete


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a log is good for.   notes: what was left out or subsampled, in words."""

    regime: Regime
    recommendation: tuple[Recommendation, ...]
    statistics: Statistics
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """`regime`, `recommendation`, and under `diagnosis` the statistics and notes."""
        return {
            "regime": self.regime.to_json(),
            "recommendation": [one.to_json() for one in self.recommendation],
            "diagnosis": {**self.statistics.to_json(), "notes": list(self.notes)},
        }


def diagnose(
    data: Dataset, *, discount: float = 0.99, seed: int = 0, starts: Array | None = None, limit: int = LIMIT,
    tell: Tell = lambda what, share: None,
) -> Diagnosis:  # fmt: skip
    """Diagnose a dataset without training; the same seed gives the same answer.

    discount: of the plans and values.   starts: (E,) which episodes begin where the policy will.
    limit: transitions of the sample of whole episodes for what is computed on cells.
    tell: hears what is being done and the share that is done.   Raises DataRefused for a dataset with errors.
    """
    statistics = statistics_of(
        data.admit(), discount=discount, seed=seed, starts=starts, limit=limit, tell=tell
    )
    regime = regime_of(statistics)
    return Diagnosis(
        regime=regime, statistics=statistics, notes=_notes(statistics),
        recommendation=recommend(statistics, regime, _dimensions(data)),
    )  # fmt: skip


def _dimensions(data: Dataset) -> int:
    return 1 if isinstance(data.action_space, Discrete) else data.action_space.size  # pyright: ignore


def _notes(statistics: Statistics) -> tuple[str, ...]:
    shape, sample, said = statistics.shape, statistics.sample, list[str]()
    if sample.transitions < shape.transitions:
        said.append(
            f"Cells, plans and behaviour were computed on {sample.episodes:,} whole episodes drawn at random "
            f"({sample.transitions:,} of {shape.transitions:,} transitions, seed {sample.seed}); counts and "
            "returns are of the whole log."
        )
    support = statistics.support
    if support is None:
        said.append("Observations are images: nothing was said about states, support and plans.")
    elif not support.exact:
        said.append(f"Observations were joined to {support.states:,} cells by k-means.")
    if statistics.shape.truncated and statistics.stitching is not None:
        said.append("Episodes that were cut are carried on at the mean reward of their last tenth.")
    return tuple(said)
