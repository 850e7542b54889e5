"""Estimates from a log alone, as a table, with the reasons where a value is refused."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from suture.evaluation.estimates import SUPPORTED, Estimate


def render(estimates: Sequence[Estimate], members: list[dict[str, Any]], data: str) -> RenderableType:
    """Value, interval and support of each member, then what the log itself earned, then refusals."""
    first = estimates[0]
    table = Table(
        title=f"{data}: discounted value at first states (discount {first.discount:g})",
        title_justify="left", box=box.SIMPLE_HEAD, caption_justify="left", caption=_caption(first),
    )  # fmt: skip
    for column in ("member", "value", "standard error", "95 % interval", "actions supported"):
        table.add_column(column, justify="left" if column == "member" else "right")
    for one in estimates:
        named = ", ".join(
            f"{name} {value:g}" for name, value in members[one.member].items() if name != "member"
        )
        table.add_row(named, *_numbers(one), f"{one.supported:.0%}")
    reasons = dict.fromkeys(reason for one in estimates for reason in one.refused)
    return Group(table, *(Text(f"No value: {reason}", style="red") for reason in reasons))


def _numbers(one: Estimate) -> tuple[str, str, str]:
    if one.value is None or one.interval is None:
        return "refused", "", ""
    low, high = one.interval
    return f"{one.value:.4g}", f"{one.standard_error:.2g}", f"{low:.4g} to {high:.4g}"


def _caption(one: Estimate) -> str:
    if one.checked is None and one.supported < SUPPORTED:
        return "Nothing was fitted: from this log no value could be told."
    told = "nothing finite" if one.checked is None else f"{one.checked:.4g}"
    check = f"The same procedure says {told} of a clone of the log's behaviour"
    if one.earned is None:
        return f"{check}; what that earned is not known, because episodes were cut early."
    mean, error = one.earned
    return f"{check}, which earned {mean:.4g} ± {error:.2g}."
