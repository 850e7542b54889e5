"""The front of value as a map: stages against updates."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from suture.report.figures import Panel
from suture.spaces import Array


def panel(
    title: str, values: Array, steps: Array, came: Sequence[int | None], names: Sequence[str], least: float
) -> Panel:
    """A trace for `figures.heat`: the value of each stage as a share of what it is at the end.

    title: names the axis of steps.   values: (checkpoints, stages).   steps: of the checkpoints.
    came: the step at which each stage's front came, where a stroke is.   least: what shares are taken of
    where the value at the end is less.
    """
    before, rows = np.r_[2 * steps[0] - steps[1], steps[:-1]], list[dict[str, Any]]()
    for number, name in enumerate(names):
        share = values[:, number] / max(values[-1, number], least)
        rows += [
            {"name": f"{number + 1} {name}", "x": int(left), "x2": int(right), "value": float(level),
             "marked": int(right) == came[number]}
            for left, right, level in zip(before, steps, share, strict=True)
        ]  # fmt: skip
    return Panel(title=title, rows=rows)
