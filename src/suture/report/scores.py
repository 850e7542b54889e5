"""An evaluation as a table: one row a member, and all members together."""

from typing import Any

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table

from suture.evaluation.score import Evaluation


def render(evaluation: Evaluation, members: list[dict[str, Any]]) -> RenderableType:
    """Mean return, standard error and 95 % interval of each member."""
    episodes = evaluation.returns.shape[1]
    title = f"{evaluation.environment}: {episodes} episodes for each member, undiscounted return"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("member", "mean", "standard error", "95 % interval"):
        table.add_column(name, justify="left" if name == "member" else "right")
    intervals = np.asarray(evaluation.interval)
    for index, member in enumerate(members):
        name = ", ".join(f"{key} {value:g}" for key, value in member.items())
        low, high = intervals[index]
        mean, error = evaluation.mean[index], evaluation.standard_error[index]
        table.add_row(name, f"{mean:.2f}", f"{error:.2f}", f"{low:.2f} to {high:.2f}")
    if len(members) > 1:
        mean, error, half = evaluation.overall
        table.add_section()
        table.add_row("all members", f"{mean:.2f}", f"{error:.2f}", f"{mean - half:.2f} to {mean + half:.2f}")
    return table
