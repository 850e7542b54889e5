"""Estimates from a log alone, as a table, with the reasons where a value is refused."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from suture.evaluation.estimates import Estimate

SEEN = (
    "Actions supported: one action of the policy at each logged state, against one threshold for all states; "
    "states that the policy would reach and the log lacks are not looked at."
)


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
    """How the procedure did on what is known, and what the share of supported actions is."""
    if one.checked is None and not one.fits:
        return f"Nothing was fitted: from this log no value could be told. {SEEN}"
    told = "nothing finite" if one.checked is None else f"{one.checked:.4g}"
    check = f"The same procedure says {told} of a clone of the log's behaviour"
    if one.earned is not None:
        behind = f" ({one.cut:.0%} of it behind cuts, by the fit itself)" if one.cut > 0.01 else ""
        check += f", which earned {one.earned[0]:.4g} ± {one.earned[1]:.2g}{behind}"
    return f"{check}. {SEEN}"
