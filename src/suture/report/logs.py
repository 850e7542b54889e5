"""The story of a log: what it holds, what it is good for, and what to begin with."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from suture.diagnosis.regime import MEANINGS as REGIMES
from suture.report.diagnosis import MEANINGS
from suture.report.figures import histogram
from suture.report.pictures import strip_of
from suture.report.story import Answer, Figure, Listing, Section, Story, audit, number, what_the_data_was
from suture.spaces import Array

if TYPE_CHECKING:
    from suture.data.dataset import Dataset

SURE = 0.6


def log_story(data: "Dataset", source: str, diagnosis: Mapping[str, Any] | None) -> Story:
    """data: with its findings.   diagnosis: `Diagnosis.to_json`, or None for a refused log."""
    from suture.data.summary import summarise

    summary = summarise(data)
    answers, sections = [what_the_data_was(summary)], [audit(summary, data.names)]
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
        sections.append(regime_section(diagnosis))
    sections.append(_distributions(data))
    strip = strip_of(data, whose="The best episode of the log")
    return Story(title=source, answers=answers, sections=sections, strip=strip)


def _diagnosed(found: Mapping[str, Any]) -> list[Answer]:
    regime, first = found["regime"], found["recommendation"][0]
    chance, kind = regime["probabilities"][regime["label"]], f"{regime['label']} data"
    preset = "" if first["preset"] == "generic" else f" --preset {first['preset']}"
    plan = found["diagnosis"].get("stitching")
    scale = "" if plan is None else (
        " On a scale from the worst (0) to the best (1) that its recorded steps could be joined to, its "
        f"average episode stands at {plan['achieved']:.2f} and its best one at {plan['best']:.2f}."
    )  # fmt: skip
    return [
        Answer(
            question="What can be learned from it?",
            tone="plain",
            answer=f"{kind.capitalize()}: {REGIMES[regime['label']]}.{scale}",
        ),
        Answer(
            question="How sure is that?",
            tone="good" if chance >= SURE else "care",
            answer=f"{chance:.0%} sure, by rules tuned on generated logs; no policy was trained yet.",
        ),
        Answer(
            question="What to do next?",
            tone="plain",
            answer=f"{_plainly(first['evidence'])} Begin with: suture train "
            f"{first['method']} DATA{preset}. Options and what to watch: under Regime and coverage.",
        ),
    ]


def _plainly(evidence: str) -> str:
    """The first sentence, without the figures that it rests on."""
    said = re.sub(r" \([^)]*\)", "", evidence.partition(". ")[0]).partition("; ")[0].rstrip(".")
    claim, _, figures = said.partition(": ")
    return f"{claim if any(map(str.isdigit, figures)) else said}."


def not_diagnosed(why: str) -> Section:
    """In the place of `regime_section`, where the log is not at hand."""
    return Section(title="Regime and coverage", text=(f"The log was not diagnosed. {why}".rstrip(),))


def regime_section(found: Mapping[str, Any]) -> Section:
    """What a diagnosis (`Diagnosis.to_json`) says, in full."""
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
