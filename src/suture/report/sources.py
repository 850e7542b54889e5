"""The logs at hand when a report is made: those that were given, and those at the places that runs name."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suture import spaces
from suture.errors import SutureError

if TYPE_CHECKING:
    from suture.data.dataset import Dataset
    from suture.training.run import Recipe

CHEAP, NUMBERS = 200_000, 20_000_000
"""Transitions, and numbers in their observations, up to which a run's log is read and diagnosed unasked."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """What is known of the log that a run learned from.

    summary: `data.summary.summarise`.   data: the log, where it is at hand.   diagnosis: `Diagnosis.to_json`.
    why: why there is no diagnosis, and what to do.
    """

    summary: Mapping[str, Any] | None = None
    data: "Dataset | None" = None
    diagnosis: Mapping[str, Any] | None = None
    why: str = ""


def diagnosis_of(data: "Dataset") -> dict[str, Any] | None:
    """What a log is good for; None for one that the audit refuses."""
    from suture.diagnosis.diagnose import diagnose

    return None if data.errors else diagnose(data).to_json()


def known(run: Path, given: "Sequence[tuple[Dataset, Mapping[str, Any] | None]]", reading: Any) -> Known:
    """What is known of a run's log.   given: logs of the same report, each with its diagnosis."""
    from suture.data.load import READING
    from suture.data.summary import summarise
    from suture.training.run import open_run

    opened = open_run(run)
    summary = opened.inspected
    for data, diagnosis in given:
        if learned_from(opened.recipe, data, summary):
            return Known(summary=summary or summarise(data), data=data, diagnosis=diagnosis)
    ask = "To have it here, give the log as well: suture report RUN DATA."
    if given:
        ask = "None of the logs beside it is the one that it learned from, by its fingerprint. Give that one."
    if summary is not None and not _is_cheap(summary):
        return Known(summary=summary, why=f"It is large. {ask}")
    try:
        data = opened.load(reading=reading or READING)
    except (SutureError, OSError):
        return Known(summary=summary, why=f"The log is not at {opened.recipe.source} any more. {ask}")
    if not learned_from(opened.recipe, data, summary):
        why = f"What is at {opened.recipe.source} now is not what was learned from, by its fingerprint. {ask}"
        return Known(summary=summary, why=why)
    told = summary or summarise(data)
    if not _is_cheap(told):
        return Known(summary=told, data=data, why=f"It is large. {ask}")
    return Known(summary=told, data=data, diagnosis=diagnosis_of(data))


def _is_cheap(summary: Mapping[str, Any]) -> bool:
    leaves = spaces.leaves_of(spaces.from_json(summary["observation_space"])).values()
    size = sum(1 if isinstance(leaf, spaces.Discrete) else leaf.size for leaf in leaves)
    return summary["transitions"] <= CHEAP and summary["transitions"] * size <= NUMBERS


def learned_from(recipe: "Recipe", data: "Dataset", summary: Mapping[str, Any] | None) -> bool:
    """Whether a log is the one of a recipe: its training part has the recipe's fingerprint.

    Where goals were added to what was learned from, what the audit said of the log is compared instead.
    """
    from suture.data.split import split
    from suture.data.summary import summarise

    if recipe.settings.hindsight:
        return summary is not None and summarise(data) == summary
    if (
        len(data) == 0
        or recipe.split["train_episodes"] + recipe.split["validation_episodes"] != data.episodes
    ):
        return False
    try:
        part = split(data, **{name: recipe.split[name] for name in ("fraction", "seed", "by")})
    except SutureError:
        return False
    return part.train.dataset.fingerprint == recipe.fingerprint
