"""The rounds of a loop, as a table and as a story: what each was trained on, and what it earned."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import RenderableType
from rich.table import Table

from suture.report.figures import curves
from suture.report.story import Answer, Figure, Listing, Section, Story, number, span
from suture.storage import manifest

if TYPE_CHECKING:
    from suture.online.loop import Round

HEADER = ("round", "trained on", "episodes", "mean return", "95 % interval", "success")


def cells(one: "Round") -> tuple[str, ...]:
    """A round as the cells of a row."""
    success = "" if one.success_rate is None else f"{one.success_rate:.1%}"
    return (
        f"{one.round}", f"{one.transitions:,} transitions", f"{len(one.returns):,}", number(one.mean),
        span(one.low, one.high), success,
    )  # fmt: skip


def render(rounds: "Sequence[Round]", environment: str) -> RenderableType:
    """A table of the rounds."""
    title = f"{environment}: what each round's policy earned where it was deployed, exploring"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in HEADER:
        table.add_column(name, justify="right")
    for one in rounds:
        table.add_row(*cells(one))
    return table


def loop_story(folder: Path) -> Story:
    """The story of a loop's folder."""
    from suture.online.loop import LOOP, read_round

    told = manifest.object_of(manifest.read_json(folder / LOOP), str(folder / LOOP))
    rounds = [one for place in sorted(folder.glob("round-*")) if (one := read_round(place))]
    title = f"{told['algorithm']} in {told['environment']}, round after round"
    if not rounds:
        said = Answer(question="What was learned?", answer="No round is complete yet.", tone="care")
        return Story(title=title, answers=[said])
    first, last = rounds[0], rounds[-1]
    answer = (
        f"The first round's policy earned {number(first.mean)} ({span(first.low, first.high)}), that of "
        f"round {last.round}, trained on {last.transitions:,} transitions, {number(last.mean)} "
        f"({span(last.low, last.high)})."
    )
    better = None not in (first.high, last.low) and (last.low or 0.0) > (first.high or 0.0)
    rows = [
        {"name": told["algorithm"], "x": one.round, "mean": one.mean}
        | ({} if one.low is None else {"low": one.low, "high": one.high})
        for one in rounds
    ]
    drawing = curves(
        rows, title="Return where it was deployed", x="round", y="undiscounted return", label="method",
        subtitle="Mean of the episodes that each round collected, exploring; 95 % interval",
    )  # fmt: skip
    listing = Listing(caption="The rounds", header=HEADER, rows=[cells(one) for one in rounds])
    return Story(
        title=title,
        answers=[Answer(question="Did it get better?", answer=answer, tone="good" if better else "care")],
        sections=[Section(title="Rounds", figures=[Figure(svg=drawing, alt=answer)], listings=[listing])],
    )
