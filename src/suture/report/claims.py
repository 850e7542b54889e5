"""Claims of critics beside the truth: the table, and the plot of over-estimation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table

from suture.evaluation.claims import MOVING, Claim, is_moving, moved
from suture.report.figures import curves
from suture.spaces import Array

FITTED = (
    " A fitted truth is an estimate from the log by another critic: it can be wrong where the log shows "
    "little. Pass --env to play."
)
ONCE = " Whether it moves is not known of one checkpoint: save more of them (--every)."


def render(claims: Sequence[Claim], horizon: float) -> RenderableType:
    """The last checkpoint of each method, over seeds.   horizon: effective, 1 / (1 - discount), in steps."""
    methods = list(dict.fromkeys(one.method for one in claims))
    told = "" if all(one.truth_is == "played" for one in claims) else FITTED
    told += ONCE if any(moved(claims, method) is None for method in methods) else ""
    table = Table(
        title=f"Claim and truth at the last checkpoint (effective horizon {horizon:g} steps)",
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
            method, _mean([one.claim for one in last]) + _trend(claims, method), _truth(last),
            _excess(np.array([one.claim - one.truth for one in last])),
            f"{_mean([one.inside for one in last])} / {_mean([one.outside for one in last])} ({outside})",
            f"{_mean([one.logged_claim for one in last])} / {_mean([one.logged_return for one in last])}",
            f"{sum(one.diverged for one in last)} of {len(last)}",
        )  # fmt: skip
    return table


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
    """Claim (solid) and truth (dashed) of each method along training, as SVG text."""
    rows = list[dict[str, Any]]()
    played = all(one.truth_is == "played" for one in claims)
    for method in dict.fromkeys(one.method for one in claims):
        for step in sorted({one.step for one in claims if one.method == method}):
            here = [one for one in claims if one.method == method and one.step == step]
            for what in ("claim", "truth"):
                values = np.array([getattr(one, what) for one in here])
                rows.append({
                    "name": method, "x": step, "what": what, "mean": float(values.mean()),
                    "low": float(values.min()), "high": float(values.max()),
                })  # fmt: skip
    subtitle = (
        "Solid: what the critic claims for its policy at first states. Dashed: what it is worth "
        f"({'played in the environment' if played else 'fitted on the log'}). Bands: all seeds."
    )
    return draw_lines(rows, title=title, subtitle=subtitle)


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
