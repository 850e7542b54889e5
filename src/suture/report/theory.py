"""The lecture's claims: the table, one section in full, and its plot."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from suture.report.claims import draw_lines
from suture.theory.claim import Plot
from suture.theory.table import Examined

COLOURS = {
    "holds": "green", "holds with conditions": "yellow", "false": "red", "only empirical": "cyan",
}  # fmt: skip
BARS = "▁▂▃▄▅▆▇█"
CELLS = 40


def render_table(examined: Sequence[Examined]) -> RenderableType:
    """A line for each claim."""
    table = Table(
        title="What the lecture says, and what is so", title_justify="left", box=box.SIMPLE_HEAD,
        caption="Verdicts are on the sentence as the lecture has it. suture theory SECTION explains.",
        caption_justify="left",
    )  # fmt: skip
    for column in ("section", "claim", "verdict", "figure"):
        table.add_column(column, overflow="fold")
    for one in examined:
        table.add_row(one.claim.section, Text(one.claim.claim), _verdict(one), Text(one.found.figure))
    return table


def render_section(examined: Sequence[Examined]) -> RenderableType:
    """Each claim with statement, conditions, proof and numbers, and its curves in small."""
    return Group(*(_explained(one) for one in examined))


def _verdict(one: Examined) -> Text:
    text = Text(one.claim.verdict, style=COLOURS[one.claim.verdict])
    return text if one.found.agrees else text.append(" (NOT CONFIRMED)", style="bold red")


def _explained(one: Examined) -> RenderableType:
    head = Text.assemble((f"{one.claim.section}  ", "bold"), (one.claim.claim, "bold"), "  ", _verdict(one))
    body = Table.grid(padding=(0, 2))
    for name in ("statement", "conditions", "proof", "source"):
        if text := getattr(one.claim, name):
            body.add_row(Text(name, style="dim"), Text(text))
    body.add_row(Text("figure", style="dim"), Text(one.found.figure))
    numbers = "; ".join(f"{name} = {value:.6g}" for name, value in one.found.numbers.items())
    body.add_row(Text("numbers", style="dim"), Text(numbers))
    if one.found.plot is not None:
        body.add_row(Text("plot", style="dim"), _small(one.found.plot))
    return Group(head, Padding(body, (0, 0, 1, 2)))


def _small(plot: Plot) -> RenderableType:
    """Each curve as a line of bars, all on one scale."""
    low = min(min(curve.y) for curve in plot.curves)
    high = max(max(curve.y) for curve in plot.curves)
    grid = Table.grid(padding=(0, 2))
    for curve in plot.curves:
        step = max(1, -(-len(curve.y) // CELLS))
        heights = [(y - low) / (high - low or 1.0) for y in curve.y[::step]]
        bars = "".join(BARS[min(int(height * len(BARS)), len(BARS) - 1)] for height in heights)
        grid.add_row(Text(bars), Text(f"{curve.name}: {curve.y[0]:.3g} to {curve.y[-1]:.3g}"))
    return Group(Text(f"{plot.y} over {plot.x}, {plot.curves[0].x[0]:g} to {plot.curves[0].x[-1]:g}"), grid)


def draw_plot(plot: Plot) -> str:
    """The curves of a claim as SVG text, in the form of the curve of over-estimation."""
    rows: list[dict[str, Any]] = [row for curve in plot.curves for row in curve.rows]
    subtitle = "Solid: what is computed. Dashed: what is right."
    return draw_lines(rows, title=plot.title, subtitle=subtitle, x=plot.x, y=plot.y, label="")
