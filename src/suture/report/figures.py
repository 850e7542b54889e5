"""Plots as SVG text: drawn by Altair and vl-convert, without a browser, a script or the network."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

WIDTH, HEIGHT = 360, 240
LETTERS = 13
"""Pixels high: a drawing of this width is shown on a phone at nine tenths, and must still be read."""
BAND = 0.18
DASHES = ([1, 0], [5, 4])
CROSS = "M-1,-1L1,1M-1,1L1,-1"
FAR = 20
ROOM = {"left": 5, "top": 5, "bottom": 5, "right": 25}
"""Pixels around panels: browsers' letters are wider than those that a drawing is laid out with."""
IN_FULL = "abs(datum.value) < 1e6 ? format(datum.value, ',~f') : format(datum.value, '~e')"
CONFIG = {
    "font": "sans-serif",
    "padding": ROOM,
    "view": {"stroke": None},
    "axis": {
        "gridColor": "#e6e6e6", "domainColor": "#888", "tickColor": "#888", "labelColor": "#333",
        "labelFontSize": LETTERS, "titleFontSize": LETTERS,
    },
    "legend": {
        "orient": "bottom", "direction": "vertical", "labelLimit": 320, "symbolOpacity": 1,
        "labelFontSize": LETTERS, "titleFontSize": LETTERS,
    },
    "title": {"anchor": "start", "fontSize": 14, "subtitleFontSize": 12, "subtitleColor": "#555"},
}  # fmt: skip
Rows = Sequence[dict[str, Any]]


def _named(alt: Any) -> Any:
    """An axis of names: what they are stands above them, level, where it covers none of them."""
    return alt.Axis(
        labelLimit=320, titleAngle=0, titleAlign="right", titleBaseline="bottom", titleAnchor="end",
        titleX=-6, titleY=-4,
    )  # fmt: skip


def _room(names: list[str]) -> dict[str, int]:
    return {**ROOM, "left": ROOM["left"] + max(map(len, names), default=0)}


def measures(panels: "Sequence[Panel]", *, title: str, subtitle: str, label: str, odds: bool = False) -> str:
    """Several measures of the same things, one panel below the other, as points with intervals.

    panels: their titles are what is measured; rows: objects with `name`, `mean`, `low`, `high` and `what`,
        of which a name has several: told apart by shape and colour.
    label: what the names are.   odds: the last panel is of probabilities, and has a line at even odds.
    """
    alt = _altair()
    names, kinds = (list(dict.fromkeys(row[key] for row in panels[0].rows)) for key in ("name", "what"))
    colours = alt.Scale(domain=kinds, range=list(COLOURS[: len(kinds)]))
    shapes = alt.Scale(domain=kinds, range=["circle", "triangle-up", "square", "diamond"][: len(kinds)])
    legend, charts = alt.Legend(title="checkpoint"), list[Any]()
    for panel in panels:
        base = alt.Chart(alt.Data(values=list(panel.rows))).encode(
            y=alt.Y("name:N", sort=names, scale=alt.Scale(domain=names), title=label, axis=_named(alt)),
            yOffset=alt.YOffset("what:N", sort=kinds, scale=alt.Scale(domain=kinds)),
            color=alt.Color("what:N", scale=colours, legend=legend),
        )
        likely = odds and panel is panels[-1]
        x = alt.Scale(domain=[0, 1]) if likely else alt.Scale(zero=False, nice=True)
        lines = base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", title=panel.title, scale=x, axis=alt.Axis(tickCount=5)), x2="high:Q"
        )
        points = base.mark_point(filled=True, size=60, opacity=1).encode(
            x=alt.X("mean:Q", scale=x), shape=alt.Shape("what:N", scale=shapes, legend=legend)
        )
        drawn = lines + points
        if likely:
            at = alt.Chart(alt.Data(values=[{"at": 0.5}])).mark_rule(strokeDash=DASHES[1], color="#888")
            drawn = at.encode(x=alt.X("at:Q", scale=x)) + drawn
        charts.append(drawn.properties(width=WIDTH, height=14 * len(kinds) * len(names) + 12))
    whole = _titled(alt, alt.vconcat(*charts), title, subtitle, offset=16)
    return svg(whole.properties(padding=_room(names)), sized=False)


def curves(rows: Rows, *, title: str, subtitle: str, x: str, y: str, label: str) -> str:
    """Lines over x, with a band where `low` and `high` are given; points with bars where all have one x.

    rows: objects with `name`, `x`, `mean`, and where known `low`, `high`.
    """
    alt = _altair()
    names = list(dict.fromkeys(row["name"] for row in rows))
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        x=alt.X("x:Q", title=x, axis=alt.Axis(tickCount=5)), color=_colour(alt, names, title=label)
    )
    alone = len({row["x"] for row in rows}) == 1
    line = base.mark_line(strokeWidth=2, point=alone).encode(
        y=alt.Y("mean:Q", title=y, scale=alt.Scale(zero=False), axis=alt.Axis(titlePadding=14))
    )
    if any("low" in row for row in rows):
        band = base.mark_rule() if alone else base.mark_area(opacity=BAND)
        line = band.encode(y=alt.Y("low:Q"), y2="high:Q") + line
    return svg(_titled(alt, line, title, subtitle).properties(height=HEIGHT))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One of several plots over the same axis.

    rows: objects with `name`, `x`, `mean`, `low`, `high`, `what` (told apart by dashes; the first is solid)
        and `crossed` (whether the point is marked); where known `dot` (whether it is shown as a point, too).
    """

    title: str
    rows: Rows


def stacked(panels: Sequence[Panel], *, title: str, subtitle: str, x: str, y: str, label: str) -> str:
    """Panels of lines with bands, one below the other; logarithmic in size where some lines run far away."""
    alt = _altair()
    names = list(dict.fromkeys(row["name"] for panel in panels for row in panel.rows))
    charts = [_panel(alt, panel, names, x=x, y=y, label=label) for panel in panels if panel.rows]
    whole = alt.vconcat(*charts).resolve_scale(strokeDash="independent")
    return svg(_titled(alt, whole, title, subtitle, offset=16), sized=False)


def _panel(alt: Any, panel: Panel, names: list[str], *, x: str, y: str, label: str) -> Any:
    scale, axis, how = _scale(alt, panel.rows)
    kinds = list(dict.fromkeys(row["what"] for row in panel.rows))
    base = alt.Chart(alt.Data(values=list(panel.rows))).encode(
        x=alt.X("x:Q", title=x, axis=alt.Axis(tickCount=5)),
        color=_colour(alt, names, title=label),
        detail="what:N",
    )
    band = base.mark_area(opacity=BAND, clip=True).encode(
        y=alt.Y("low:Q", title=[y, how] if how else y, scale=scale, axis=axis), y2="high:Q"
    )
    legend = alt.Legend(title=None, orient="top", direction="horizontal", symbolStrokeWidth=2)
    shown = alt.Scale(domain=kinds, range=DASHES[: len(kinds)])
    dashes = alt.StrokeDash("what:N", scale=shown, legend=legend)
    line = base.mark_line(strokeWidth=2).encode(y=alt.Y("mean:Q", scale=scale), strokeDash=dashes)
    crosses = base.transform_filter("datum.crossed").mark_point(
        shape=CROSS, size=40, strokeWidth=2, opacity=1
    )
    crosses = crosses.encode(y=alt.Y("mean:Q", scale=scale))
    if any(row.get("dot") for row in panel.rows):
        dots = base.transform_filter("datum.dot").mark_point(filled=True, size=30, opacity=1)
        crosses += dots.encode(y=alt.Y("mean:Q", scale=scale))
    heading = alt.Title(_wrapped(panel.title), fontSize=12, fontWeight="normal", color="#333")
    return (band + line + crosses).properties(title=heading, width=WIDTH, height=HEIGHT)


def usual_size(values: Iterable[float]) -> float | None:
    """Where some values are far from most: the size of half of them; None where a linear scale shows all.

    A scale that is logarithmic in size is about linear below it, so that both signs and 0 have their place.
    """
    sizes = sorted(abs(value) for value in values)
    usual = max(float(sizes[len(sizes) // 2]), 1e-9)
    return usual if sizes[-1] >= FAR * usual else None


def _scale(alt: Any, rows: Rows) -> tuple[Any, Any, str]:
    """Scale, axis, what to say of them: linear, or logarithmic in size."""
    usual = usual_size(row["mean"] for row in rows)
    if usual is None:
        return alt.Scale(zero=False), alt.Axis(), ""
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    first, last = math.ceil(math.log10(usual)), math.floor(math.log10(max(abs(low), abs(high))))
    powers = [10.0**power for power in range(first, last + 1, max(1, (last - first) // 4))]
    ticks = {0.0, *(sign * power for sign in (-1, 1) for power in powers if low <= sign * power <= high)}
    ends = {float(f"{end:.2g}") for end in (low, high) if usual / 2 < abs(end) < powers[0]}
    domain = [min(low, 0.0, *ends), max(high, 0.0, *ends)]
    scale = alt.Scale(type="symlog", constant=usual, domain=domain, nice=False)
    return (
        scale,
        alt.Axis(values=sorted(ticks | ends), labelExpr=IN_FULL, titlePadding=14),
        "logarithmic in size",
    )


def histogram(values: Any, *, title: str, value: str, bins: int = 40) -> str:
    """How often values occur.   values: (n,) finite numbers.   value: what they are."""
    import numpy as np

    alt = _altair()
    counts, edges = np.histogram(values, bins=bins)
    rows = [
        {"low": float(low), "high": float(high), "count": int(count)}
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True)
    ]
    bars = alt.Chart(alt.Data(values=rows)).mark_bar(color=COLOURS[0])
    bars = bars.encode(
        x=alt.X(
            "low:Q", title=value, scale=alt.Scale(zero=False), bin="binned", axis=alt.Axis(tickCount=5),
        ), x2="high:Q",
        y=alt.Y("count:Q", title="how often"),
    )  # fmt: skip
    return svg(_titled(alt, bars, title, "").properties(height=HEIGHT))


def heat(panels: Sequence[Panel], *, title: str, subtitle: str, y: str, value: str) -> str:
    """Maps of values in [0, 1], one below the other.   y: what the lines are.   value: what the colours are.

    A panel's title names its x axis; its rows are objects with `x`, `x2` (from where to where), `name` (the
    line), `value`, and `marked`: whether a stroke at `x` marks the cell.
    """
    alt = _altair()
    names = list(dict.fromkeys(row["name"] for panel in panels for row in panel.rows))
    scale = alt.Scale(scheme="viridis", domain=[0, 1], clamp=True)
    legend = alt.Legend(orient="top", direction="horizontal")
    colour = alt.Color("value:Q", title=value, scale=scale, legend=legend)
    charts = list[Any]()
    for panel in panels:
        axis = alt.Axis(tickCount=5, labelFlush=False)
        base = alt.Chart(alt.Data(values=list(panel.rows))).encode(
            x=alt.X("x:Q", title=panel.title, scale=alt.Scale(nice=False), axis=axis),
            y=alt.Y("name:N", sort=names, title=y, axis=_named(alt)),
        )
        cells = base.mark_rect().encode(x2="x2:Q", color=colour)
        strokes = base.mark_tick(thickness=3, color=COLOURS[1], opacity=1, size=26)
        charts.append(
            (cells + strokes.transform_filter("datum.marked")).properties(width=WIDTH, height=26 * len(names))
        )
    whole = alt.vconcat(*charts)
    return svg(_titled(alt, whole, title, subtitle).properties(padding=_room(names)), sized=False)


def paths(rows: Rows, *, title: str, subtitle: str, panel: str, ground: Rows = (), labels: Rows = ()) -> str:
    """Paths in a plane, two panels beside each other.

    rows: objects with `panel`, `path`, `step`, `x`, `y`.   panel: what the panels are.
    ground: rectangles `x`, `x2`, `y`, `y2` behind every panel.   labels: texts `x`, `y`, `text` upon it.
    """
    alt = _altair()
    names = list(dict.fromkeys(row["panel"] for row in rows))
    bare = alt.Axis(labels=False, ticks=False, grid=False, domain=False, title=None)
    x, y = alt.X("x:Q", axis=bare), alt.Y("y:Q", axis=bare)
    panels = list[Any]()
    for number, name in enumerate(names):
        own = [row for row in rows if row["panel"] == name]
        lines = alt.Chart(alt.Data(values=own)).mark_line(opacity=0.35, color=COLOURS[number])
        lines = lines.encode(x=x, y=y, detail="path:N", order="step:Q")
        floor = alt.Chart(alt.Data(values=list(ground))).mark_rect(color="#e6e6e6", opacity=1)
        floor = floor.encode(x=x, x2="x2:Q", y=y, y2="y2:Q")
        names_of_places = alt.Chart(alt.Data(values=list(labels))).mark_text(fontWeight="bold", fontSize=12)
        names_of_places = names_of_places.encode(x=x, y=y, text="text:N")
        panels.append((floor + lines + names_of_places).properties(title=name, width=200, height=200))
    return svg(_titled(alt, alt.concat(*panels, columns=2), title, subtitle), sized=False)


def _altair() -> Any:
    import altair

    return altair


def svg(chart: Any, *, sized: bool = True) -> str:
    """A chart as SVG text.   sized: give it the usual width."""
    import vl_convert

    chart = chart.properties(width=WIDTH) if sized else chart
    return vl_convert.vegalite_to_svg(chart.properties(config=CONFIG).to_dict())


def _titled(alt: Any, chart: Any, title: str, subtitle: str, **how: Any) -> Any:
    return chart.properties(title=alt.Title(_wrapped(title, 48), subtitle=_wrapped(subtitle), **how))


def _wrapped(text: str, width: int = 66) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]


# The first three are Okabe & Ito's. All stand 3 to 1 against the page's cards, light and dark. Other hues
# were searched for, so that people with any kind of colour vision can tell them apart (Machado et al. 2009).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#5D48F9", "#179BA9", "#DC0A45", "#000000", "#7D7D7D")


def _colour(alt: Any, names: list[str], *, title: str | None = None, legend: bool = True) -> Any:
    scale = alt.Scale(domain=names, range=[COLOURS[i % len(COLOURS)] for i in range(len(names))])
    shown = alt.Legend(title=title) if legend and len(names) > 1 else None
    return alt.Color("name:N", scale=scale, legend=shown)
