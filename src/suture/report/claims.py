"""Claims of critics beside the truth: the table, and the plot of over-estimation."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from suture.data.returns import effective_horizon
from suture.evaluation.claims import MOVING, Claim, is_moving, moved
from suture.report.figures import Panel, stacked
from suture.spaces import Array

FITTED = (
    " A fitted truth is an estimate from the log by another critic: it can be wrong where the log shows "
    "little. Pass --env to play."
)
ONCE = " Whether it moves is not known of one checkpoint: save more of them (--every)."
MARKS = {"rewards and entropy": "+ entropy", "rewards less a penalty": "- penalty"}
"""What values hold beside rewards -> the mark of a method."""
MARKED = {
    "+ entropy": "its values hold the policy's entropy as well",
    "- penalty": "its values hold what departures from the log cost as well",
}
PARTS = (("claim", "truth"), ("inside", "outside"))


def render(claims: Sequence[Claim], changed: Sequence[str] = ()) -> RenderableType:
    """The last checkpoint of each method, over seeds: two tables, of which nothing is cut at 80 columns.

    changed: methods whose values were made to hold rewards alone (`overestimation.of_rewards`).
    """
    methods = list(dict.fromkeys(one.method for one in claims))
    first = _table(("claim", "truth", "claim - truth", "diverged"))
    logged = _table(("inside", "outside", "share outside", "logged", "earned"))
    for method in methods:
        last = _last(claims, method)
        shown = _label(last[0]).replace(":", " ")  # where it may be broken
        left = [one.diverged for one in last]
        share = f"{np.mean([one.outside_share for one in last]):.0%}"
        first.add_row(
            shown, _mean([one.claim for one in last]) + _trend(claims, method), _truth(last),
            _excess(np.array([value for one in last if (value := one.excess) is not None])),
            "no bound" if last[0].diverged is None else f"{sum(map(bool, left))} of {len(left)}",
        )  # fmt: skip
        logged.add_row(
            shown, _mean([one.inside for one in last]), _mean([one.outside for one in last]), share,
            _mean([one.logged_claim for one in last]), _mean([one.logged_return for one in last]),
        )  # fmt: skip
    return Group(
        Text(f"Claim and truth at the last checkpoint ({_horizons(claims)})", "italic"), first,
        Text("Claims at logged states", "italic"), logged, Text(_meaning(claims, methods, changed)),
    )  # fmt: skip


def _table(columns: Sequence[str]) -> Table:
    """Long names are folded, so that numbers stay whole."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("method", overflow="fold", max_width=24)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _meaning(claims: Sequence[Claim], methods: Sequence[str], changed: Sequence[str]) -> str:
    """What the columns are, and what is to be known of these claims."""
    told = (
        "Discounted values, means over seeds. Claim: the critic's value of the policy's own actions at first "
        "states. Inside and outside: its values of the policy's actions at logged states, where the log's "
        "behaviour would take them and where it would not. Logged: its value of the logged actions; earned: "
        "what the log then earned, by its behaviour. Still moving: the claim changed by more than "
        f"{MOVING:.0%} between the last two checkpoints; train longer before it is compared."
    )
    told += "" if all(one.truth_is == "played" for one in claims) else FITTED
    told += ONCE if any(moved(claims, method) is None for method in methods) else ""
    told += f" Trained with entropy_backup=False: {', '.join(changed)}." if changed else ""
    return told + _explained(claims) + _scales(claims)


def _label(claim: Claim) -> str:
    """'brac', or 'brac (- penalty)' where its values hold more than rewards."""
    return f"{claim.method} ({MARKS[claim.values_hold]})" if claim.values_hold in MARKS else claim.method


def _explained(claims: Sequence[Claim]) -> str:
    """What the marks of methods mean, where there are any."""
    marks = list(dict.fromkeys(MARKS[one.values_hold] for one in claims if one.values_hold in MARKS))
    return "".join(
        f" ({mark}): {MARKED[mark]}, and the truth is of rewards alone: the difference is more than "
        "over-estimation."
        for mark in marks
    )


def _horizons(claims: Sequence[Claim]) -> str:
    """'effective horizon 100 steps', or of each method where they differ."""
    known: dict[float, list[str]] = {}
    for claim in claims:
        if claim.discount is not None and claim.method not in (own := known.setdefault(claim.discount, [])):
            own.append(claim.method)
    if not known:
        return "effective horizon not recorded"
    if len(known) == 1:
        return f"effective horizon {effective_horizon(next(iter(known))):g} steps"
    each = [f"{', '.join(names)} {effective_horizon(discount):g}" for discount, names in known.items()]
    return f"effective horizons in steps: {'; '.join(each)}"


def _scales(claims: Sequence[Claim]) -> str:
    """Where methods were trained on rewards of different scales, that their values cannot be compared."""
    known: dict[tuple[float, float], list[str]] = {}
    for method in dict.fromkeys(one.method for one in claims):
        one = _last(claims, method)[0]
        known.setdefault((one.reward_scale, one.reward_shift), []).append(method)
    if len(known) < 2:
        return ""
    each = [
        f"{', '.join(names)}: {scale:.3g} r" + (f" {shift:+.3g}" if shift else "")
        for (scale, shift), names in known.items()
    ]
    return (
        f" Rewards r were scaled differently ({'; '.join(each)}): put a claim beside its own truth, and not "
        "beside another method's claim."
    )


def _truth(last: list[Claim]) -> str:
    """'3.1 (played)', or '3.1 (fitted, 2 of 3 seeds)' where no fit of a seed held."""
    known = sum(one.truth is not None for one in last)
    few = f", {known} of {len(last)} seeds" if known < len(last) else ""
    return f"{_mean([one.truth for one in last])} ({', '.join(sorted({one.truth_is for one in last}))}{few})"


def _trend(claims: Sequence[Claim], method: str) -> str:
    change = moved(claims, method)
    return f" still moving ({change:+.0%})" if change is not None and is_moving(change) else ""


def _excess(values: Array) -> str:
    """Mean, and its standard error where there are several."""
    if not np.isfinite(values).all() or not len(values):
        return _mean(values.tolist())
    error = f" ± {values.std(ddof=1) / np.sqrt(len(values)):.2g}" if len(values) > 1 else ""
    return f"{values.mean():+.3g}{error}"


def _last(claims: Sequence[Claim], method: str) -> list[Claim]:
    own = [one for one in claims if one.method == method]
    return [one for one in own if one.step == max(other.step for other in own)]


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    odd = sum(not math.isfinite(value) for value in known)
    if odd:
        return f"not finite ({odd} of {len(known)} seeds)"
    return f"{np.mean(known):.3g}" if known else "-"


def draw(claims: Sequence[Claim], title: str) -> str:
    """Each method along training, as SVG text: claim and truth; below, claims inside and outside of the log.

    Steps by which values of a seed had left every bound are crossed. Values that are no numbers are left out.
    """
    played = all(one.truth_is == "played" for one in claims)
    subtitle = (
        f"{_horizons(claims).capitalize()}. Lines: means over seeds; bands: all seeds. A cross: by then, "
        f"values of a seed had left every bound that the rewards allow.{_explained(claims)}{_scales(claims)}"
    )
    if any(one.truth_is == "fitted" for one in claims):
        subtitle += " Dots: where the truth was fitted."
    if any(not math.isfinite(one.claim) for one in claims):
        subtitle += " Values that are not finite are not drawn."
    titles = (
        "At first states: the critic's claim for its policy, and what that is worth "
        f"({'played' if played else 'fitted on the log'})",
        "At logged states: the claim for the policy's actions inside and outside of the log's support",
    )
    panels = [
        Panel(title=one, rows=[row for what in parts for row in _rows(claims, what)])
        for one, parts in zip(titles, PARTS, strict=True)
    ]
    return stacked(panels, title=title, subtitle=subtitle, x="updates", y="discounted value", label="method")


def _rows(claims: Sequence[Claim], what: str) -> list[dict[str, Any]]:
    """Points of one line of each method: the mean over seeds at each step, the least and the largest."""
    rows = list[dict[str, Any]]()
    for method, step in dict.fromkeys((one.method, one.step) for one in claims):
        here = [one for one in claims if (one.method, one.step) == (method, step)]
        values = np.array([value for one in here if (value := getattr(one, what)) is not None])
        if len(values) and np.isfinite(values).all():
            rows.append({
                "name": _label(here[0]), "x": step, "what": what, "mean": float(values.mean()),
                "low": float(values.min()), "high": float(values.max()),
                "crossed": what != "truth" and any(one.diverged for one in here),
                "dot": what == "truth" and here[0].truth_is == "fitted",
            })  # fmt: skip
    return rows
