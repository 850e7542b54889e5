"""Evaluations as tables and plots: member by member, and setting by setting of a sweep."""

from typing import Any

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table

from suture.evaluation.score import Evaluation
from suture.evaluation.statistics import Standing
from suture.report.figures import intervals


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


def render_standings(standings: list[Standing], environment: str) -> RenderableType:
    """Settings of a sweep, at the last, the best and the average checkpoint."""
    seeds = standings[0].seeds
    table = Table(
        title=f"{environment}: {seeds} seeds a setting, undiscounted return, 95 % bootstrap intervals",
        title_justify="left", box=box.SIMPLE_HEAD,
        caption='"best" was chosen by these returns and flatters; "last" is what is deployed. P(better): '
        "probability that a seed beats one of the first setting.", caption_justify="left",
    )  # fmt: skip
    for column in ("checkpoint", "setting", "mean", "interquartile mean", "P(better)"):
        table.add_column(column, justify="left" if column in ("checkpoint", "setting") else "right")
    for previous, one in zip([None, *standings], standings, strict=False):
        if previous is not None and previous.checkpoint != one.checkpoint:
            table.add_section()
        better = "" if one.improvement is None else f"{one.improvement:.2f}"
        table.add_row(
            one.checkpoint, setting_name(one), _with_interval(one.mean, one.mean_interval),
            _with_interval(one.interquartile_mean, one.interquartile_interval), better,
        )  # fmt: skip
    return table


def setting_name(standing: Standing) -> str:
    """'expectile 0.7, inverse_temperature 3'."""
    return ", ".join(f"{name} {value:g}" for name, value in standing.setting.items()) or "as configured"


def draw_standings(standings: list[Standing], environment: str, *, algorithm: str) -> str:
    """The settings at the last checkpoint, as SVG text."""
    rows = [
        {"name": setting_name(one), "mean": one.mean,
         "low": one.mean_interval[0], "high": one.mean_interval[1]}
        for one in standings if one.checkpoint == "last"
    ]  # fmt: skip
    seeds = standings[0].seeds
    return intervals(
        rows, title=f"{algorithm} in {environment}", value="undiscounted return", label="setting",
        subtitle=f"Mean over {seeds} seeds at the last checkpoint, with 95 % bootstrap interval",
    )  # fmt: skip


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.4g} ({interval[0]:.4g} to {interval[1]:.4g})"
