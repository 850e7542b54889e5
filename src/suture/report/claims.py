"""Claims of critics beside the truth: the table, and the plot of over-estimation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table

from suture.data.returns import effective_horizon
from suture.evaluation.claims import MOVING, Claim, is_moving, moved
from suture.report.figures import Panel, curves, stacked
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
    """The last checkpoint of each method, over seeds.

    changed: methods whose values were made to hold rewards alone (`overestimation.of_rewards`).
    """
    methods = list(dict.fromkeys(one.method for one in claims))
    told = "" if all(one.truth_is == "played" for one in claims) else FITTED
    told += ONCE if any(moved(claims, method) is None for method in methods) else ""
    told += f" Trained with entropy_backup=False: {', '.join(changed)}." if changed else ""
    told += _explained(claims)
    table = Table(
        title=f"Claim and truth at the last checkpoint ({_horizons(claims)})",
        title_justify="left", box=box.SIMPLE_HEAD, caption_justify="left",
        caption="Discounted values of the policy at first states, means over seeds. Inside / outside: the "
        "claim for the policy's actions at logged states, where the behaviour would take them and where it "
        "would not, and the share of the latter. Logged: the claim for logged actions / what the log then "
        "earned, by its behaviour. Still moving: the claim changed by more than "
        f"{MOVING:.0%} between the last two checkpoints; train longer before it is compared.{told}",
    )  # fmt: skip
    for column in ("method", "claim", "truth", "claim - truth", "inside / outside", "logged", "diverged"):
        left, whole = column == "method", column in ("method", "claim - truth", "diverged")
        table.add_column(column, justify="left" if left else "right", no_wrap=whole)
    for method in methods:
        last = _last(claims, method)
        outside = f"{np.mean([one.outside_share for one in last]):.0%}"
        table.add_row(
            _label(last[0]), _mean([one.claim for one in last]) + _trend(claims, method), _truth(last),
            _excess(np.array([one.claim - one.truth for one in last])),
            f"{_mean([one.inside for one in last])} / {_mean([one.outside for one in last])} ({outside})",
            f"{_mean([one.logged_claim for one in last])} / {_mean([one.logged_return for one in last])}",
            f"{sum(one.diverged for one in last)} of {len(last)}",
        )  # fmt: skip
    return table


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


def _truth(last: list[Claim]) -> str:
    """'3.1 (played)'."""
    return f"{_mean([one.truth for one in last])} ({', '.join(sorted({one.truth_is for one in last}))})"


def _trend(claims: Sequence[Claim], method: str) -> str:
    change = moved(claims, method)
    return f" still moving ({change:+.0%})" if change is not None and is_moving(change) else ""


def _excess(values: Array) -> str:
    """Mean, and its standard error where there are several."""
    error = f" ± {values.std(ddof=1) / np.sqrt(len(values)):.2g}" if len(values) > 1 else ""
    return f"{values.mean():+.3g}{error}"


def _last(claims: Sequence[Claim], method: str) -> list[Claim]:
    own = [one for one in claims if one.method == method]
    return [one for one in own if one.step == max(other.step for other in own)]


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3g}" if known else "-"


def draw(claims: Sequence[Claim], title: str) -> str:
    """Each method along training, as SVG text: claim and truth; below, claims inside and outside of the log.

    Steps by which values of a seed had left every bound are crossed. Values that are no numbers are left out.
    """
    played = all(one.truth_is == "played" for one in claims)
    subtitle = (
        f"{_horizons(claims).capitalize()}. Lines: means over seeds; bands: all seeds. A cross: by then, "
        f"values of a seed had left every bound that the rewards allow.{_explained(claims)}"
    )
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
            })  # fmt: skip
    return rows


def draw_lines(
    rows: list[dict[str, Any]],
    *,
    title: str,
    subtitle: str,
    x: str = "updates",
    y: str = "discounted value",
    label: str = "method",
) -> str:
    """Claims (solid) and truths (dashed), measured or computed, over one kind of axis, as SVG text.

    rows: as `figures.curves` takes them, with `what`: "claim" or "truth".
    """
    return curves(rows, title=title, subtitle=subtitle, x=x, y=y, label=label, dashes="what")
