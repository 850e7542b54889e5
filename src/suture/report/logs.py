"""The story of a log: what it holds, what it is good for, and what to begin with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from suture.report.diagnosis import MEANINGS
from suture.report.figures import histogram
from suture.report.pictures import strip_of
from suture.report.story import Answer, Figure, Listing, Section, Story, audit, number, what_the_data_was
from suture.spaces import Array

if TYPE_CHECKING:
    from suture.data.dataset import Dataset

SURE = 0.6
KINDS = {
    "imitation": "It looks like the work of one good behaviour: imitation may be all there is to gain.",
    "mixed": "It looks like good and bad behaviour side by side.",
    "heterogeneous": "It looks like pieces of good behaviour that no single episode joins.",
    "random": "It looks like undirected behaviour.",
    "insufficient": "It looks too small to learn from.",
}


def log_story(data: "Dataset", source: str, diagnosis: Mapping[str, Any] | None) -> Story:
    """data: with its findings.   diagnosis: `Diagnosis.to_json`, or None for a refused log."""
    from suture.data.summary import summarise

    summary = summarise(data)
    answers, sections = [what_the_data_was(summary)], [audit(summary)]
    if diagnosis is None:
        answers.append(
            Answer(
                question="What to do next?",
                tone="bad",
                answer="Mend what the audit calls errors (each says how), then look at it again.",
            )
        )
    else:
        answers += _diagnosed(diagnosis)
        sections.append(_regime(diagnosis))
    sections.append(_distributions(data))
    strip = strip_of(data, whose="The best episode of the log")
    return Story(title=source, answers=answers, sections=sections, strip=strip)


def _diagnosed(found: Mapping[str, Any]) -> list[Answer]:
    regime, first = found["regime"], found["recommendation"][0]
    chance = regime["probabilities"][regime["label"]]
    preset = "" if first["preset"] == "generic" else f" --preset {first['preset']}"
    return [
        Answer(
            question="What can be learned from it?",
            tone="plain",
            answer=f"{KINDS[regime['label']]} " + " ".join(regime["reasons"][:2]),
        ),
        Answer(
            question="How sure is that?",
            tone="good" if chance >= SURE else "care",
            answer=f"{chance:.0%} by rules calibrated on generated logs; no policy was trained yet.",
        ),
        Answer(
            question="What to do next?",
            tone="plain",
            answer=f"suture train {first['method']} DATA{preset}. {first['evidence']}",
        ),
    ]


def _regime(found: Mapping[str, Any]) -> Section:
    chances = sorted(found["regime"]["probabilities"].items(), key=lambda item: -item[1])
    groups = found["diagnosis"]
    statistics = [
        (label.strip(), number(groups[group][name]), meaning)
        for group, name, label, meaning in MEANINGS
        if groups.get(group) is not None and groups[group][name] is not None
    ]
    begin = [(one["method"], one["preset"], one["evidence"]) for one in found["recommendation"]]
    return Section(
        title="Regime and coverage",
        text=found["regime"]["reasons"],
        listings=(
            Listing(
                caption="Which regime",
                header=("regime", "probability"),
                rows=[(name, f"{chance:.0%}") for name, chance in chances],
            ),
            Listing(caption="What to begin with", header=("method", "preset", "evidence"), rows=begin),
            Listing(caption="Statistics", header=("statistic", "value", "meaning"), rows=statistics),
        ),
    )


def _distributions(data: "Dataset") -> Section:
    drawn = list[Figure]()
    columns: dict[str, Array | None] = {
        "return of an episode": data.returns,
        "steps of an episode": data.lengths,
        "reward of a step": data.reward,
    }
    for name, values in columns.items():
        if values is None or not len(values):
            continue
        known = np.asarray(values, np.float64)
        known = known[np.isfinite(known)]
        if not len(known):
            continue
        low, middle, high = np.quantile(known, (0.05, 0.5, 0.95))
        alt = (
            f"{name.capitalize()}: half are below {number(middle)}; nine tenths lie between {number(low)} "
            f"and {number(high)}."
        )
        drawn.append(Figure(svg=histogram(known, title=name.capitalize(), value=name), alt=alt, caption=alt))
    return Section(title="How it is spread", figures=drawn)
