"""What a report says, before it is a page: questions with answers, then sections of tables and figures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from suture import spaces

MOST_NAMES = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """One of the questions that a reader comes with.   tone: good, care, bad or plain."""

    question: str
    answer: str
    tone: str = "plain"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """A table: its caption, its header, and rows of text."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing as SVG text, what it shows to those who cannot see it, and a caption."""

    svg: str
    alt: str
    caption: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """One of a row of pictures: a PNG file, what it shows to those who cannot see it, and a caption."""

    png: bytes
    alt: str
    caption: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strip:
    """Pictures in a row, and what they are of."""

    caption: str
    pictures: Sequence[Picture]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page."""

    title: str
    text: Sequence[str] = ()
    listings: Sequence[Listing] = ()
    figures: Sequence[Figure] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Story:
    """What there is to say about one run or log.   strip, figures: shown at once, below the answers."""

    title: str
    answers: Sequence[Answer]
    sections: Sequence[Section] = ()
    figures: Sequence[Figure] = ()
    strip: Strip | None = None


def number(value: float | None) -> str:
    """Four digits, without an exponent where that can be read."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def span(low: float | None, high: float | None) -> str:
    """An interval."""
    return "not known" if low is None or high is None else f"{number(low)} to {number(high)}"


def plural(count: int, thing: str) -> str:
    """'1 episode', '2,000 episodes'."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def held_by(space: spaces.Space, one: str) -> str:
    """What a space holds: '1 picture of 84 x 84 and 7 numbers', '1 of 4 choices'.   one: what a number is."""
    numbers, said = 0, list[str]()
    for leaf in spaces.leaves_of(space).values():
        if isinstance(leaf, spaces.Discrete):
            said.append(f"1 of {leaf.n:,} choices")
        elif leaf.is_image:
            said.append(f"1 picture of {leaf.shape[1]} x {leaf.shape[0]}")
        else:
            numbers += leaf.size
    return " and ".join([*said, *([plural(numbers, one)] if numbers else [])])


def what_the_data_was(summary: Mapping[str, Any]) -> Answer:
    """The first question, from `data.summary.summarise`."""
    errors, warnings = (
        sum(finding["severity"] == severity for finding in summary["findings"])
        for severity in ("error", "warning")
    )
    returns = summary["returns"]
    size = f"{plural(summary['transitions'], 'step')} in {plural(summary['episodes'], 'episode')}."
    seen = held_by(spaces.from_json(summary["observation_space"]), "number")
    done = held_by(spaces.from_json(summary["action_space"]), "continuous number")
    size += f" Each step holds what was observed ({seen}) and what was decided ({done})."
    earned = (
        "It holds no rewards."
        if returns["mean"] is None
        else f"Rewards say how good a step was: an episode earned {number(returns['mean'])} in the mean, "
        f"{number(returns['min'])} at least and {number(returns['max'])} at most."
    )
    if errors:
        said = f"{plural(errors, 'thing')} in it would make training wrong."
    else:
        said = f"{plural(warnings, 'warning')} below." if warnings else "Its audit found nothing to warn of."
    tone = "bad" if errors else "care" if warnings else "good"
    return Answer(question="What was the data?", answer=f"{size} {earned} {said}", tone=tone)


def audit(summary: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> Section:
    """Everything that the gate saw.   names: of the columns of observation and action, if they have any."""
    counts = [
        (name.replace("_", " "), f"{summary[name]:,}")
        for name in (
            "transitions",
            "episodes",
            "terminated",
            "truncated",
            "unfinished",
            "missing_next_observations",
        )
    ]
    for name in ("observation", "action"):
        space = spaces.from_json(summary[f"{name}_space"])
        counts += [(f"{name} {path}".rstrip(), str(leaf)) for path, leaf in spaces.leaves_of(space).items()]
        if known := names.get(name, ()):
            more = f" and {len(known) - MOST_NAMES:,} more" if len(known) > MOST_NAMES else ""
            counts.append((f"columns of the {name}", ", ".join(known[:MOST_NAMES]) + more))
    found = [(one["severity"], one["id"], f"{one['count']:,}", one["message"]) for one in summary["findings"]]
    listings = [Listing(caption="What the log holds", header=("quantity", "value"), rows=counts)]
    if found:
        listings.append(
            Listing(
                caption="Findings, gravest first",
                header=("severity", "finding", "count", "what and what to do"),
                rows=found,
            )
        )
    text = (
        ()
        if found
        else (
            "The audit looked for broken episodes, shifted or invented rows, ambiguous ends, "
            "values that are not finite and actions out of bounds, and found none.",
        )
    )
    return Section(title="The data and its audit", text=text, listings=listings)
