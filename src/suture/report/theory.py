"""The lecture's claims: the table, one section in full, and its plot."""

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from suture.report.figures import Panel, stacked, usual_size
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
    """Each curve as a line of bars over the same x, all on one scale; where a curve has no value, a gap."""
    first, last = (of(of(curve.x) for curve in plot.curves) for of in (min, max))
    at = np.linspace(first, last, CELLS)
    lines = [np.interp(at, curve.x, curve.y, left=np.nan, right=np.nan) for curve in plot.curves]
    usual = usual_size(value for curve in plot.curves for value in curve.y)
    lines = [line if usual is None else np.sign(line) * np.log1p(np.abs(line) / usual) for line in lines]
    low, high = np.nanmin(lines), np.nanmax(lines)
    grid = Table.grid(padding=(0, 2))
    for curve, line in zip(plot.curves, lines, strict=True):
        parts = (line - low) / ((high - low) or 1.0) * len(BARS)
        bars = "".join(" " if np.isnan(part) else BARS[min(int(part), len(BARS) - 1)] for part in parts)
        what = ", truth" if curve.what == "truth" else ""
        grid.add_row(Text(bars), Text(f"{curve.name}{what}: {curve.y[0]:.3g} to {curve.y[-1]:.3g}"))
    how = "" if usual is None else ", logarithmic in size"
    return Group(Text(f"{plot.title}: {plot.y} over {plot.x}, {first:g} to {last:g}{how}"), grid)


def draw_plots(plots: Sequence[Plot]) -> str:
    """The curves of a section as SVG text, by the code that draws the curve of over-estimation.

    plots: over the same axes.
    """
    panels = [
        Panel(title=plot.title, rows=[row for curve in plot.curves for row in curve.rows]) for plot in plots
    ]
    title = plots[0].title if len(plots) == 1 else "What is computed, and what is right"
    subtitle = "Solid: what is computed (claim). Dashed: what is right (truth)."
    return stacked(panels, title=title, subtitle=subtitle, x=plots[0].x, y=plots[0].y, label="")
