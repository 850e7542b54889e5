"""Evaluations as tables and plots: member by member, and setting by setting of a sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table

from suture.evaluation.score import Evaluation
from suture.evaluation.statistics import Interval, Standing
from suture.report.figures import Panel, measures

SCORE = "D4RL score"
"""0 for D4RL's random reference, 100 for its expert; shown where D4RL defines one."""


def render(
    evaluation: Evaluation, members: list[dict[str, Any]], logged: float | None = None
) -> RenderableType:
    """Mean return, standard error and 95 % interval of each member.   logged: the log's mean return."""
    episodes = evaluation.returns.shape[1]
    count = f"{episodes} episode{'' if episodes == 1 else 's'}"
    title = f"{evaluation.environment}: {count} for each member, undiscounted return"
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, caption_justify="left",
        caption=None if logged is None else f"The log's mean episode: {logged:.2f}.",
    )  # fmt: skip
    intervals, scores = np.asarray(evaluation.interval), evaluation.score
    for name in ("member", "mean", "standard error", "95 % interval", *(() if scores is None else (SCORE,))):
        table.add_column(name, justify="left" if name == "member" else "right")

    def score(members: list[int]) -> list[str]:
        return [] if scores is None else [f"{scores[members].mean():.1f}"]

    for index, member in enumerate(members):
        name = ", ".join(f"{key} {value:g}" for key, value in member.items())
        told = _told(evaluation.mean[index], evaluation.standard_error[index], intervals[index])
        table.add_row(name, *told, *score([index]))
    settings = evaluation.settings
    if len(settings) < len(members):  # members of one setting differ in the seed alone: these are pooled
        table.add_section()
        for setting, own in settings:
            mean, error, half = evaluation.summed_up(own)
            seeds = f"{setting_name(setting)}: {len(own)} seeds" if len(settings) > 1 else "all members"
            table.add_row(seeds, *_told(mean, error, (mean - half, mean + half)), *score(own))
    return table


def _told(mean: float, error: float, interval: Any) -> tuple[str, str, str]:
    """Mean, standard error and interval; of one value there are no last two."""
    low, high = interval
    if not np.isfinite(error):
        return f"{mean:.2f}", "-", "-"
    return f"{mean:.2f}", f"{error:.2f}", f"{low:.2f} to {high:.2f}"


def render_standings(standings: list[Standing], environment: str) -> RenderableType:
    """Settings of a sweep, at the last, the best and the average checkpoint."""
    seeds, left_out = standings[0].seeds, standings[0].left_out
    said = "" if left_out else ", 95 % bootstrap intervals"
    meaning = left_out or "P(better): probability that a seed beats one of the first setting."
    table = Table(
        title=f"{environment}: {seeds} seed{'' if seeds == 1 else 's'} a setting, undiscounted return{said}",
        title_justify="left", box=box.SIMPLE_HEAD,
        caption=f"Best of {compared(standings)}: chosen by these returns, it flatters; the last is what is "
        f"deployed. {meaning}",
        caption_justify="left",
    )  # fmt: skip
    columns = ("checkpoint", "setting", "mean", "interquartile mean", *(() if left_out else ("P(better)",)))
    for column in columns:
        table.add_column(
            column, justify="left" if column in ("checkpoint", "setting") else "right", overflow="fold"
        )
    for previous, one in zip([None, *standings], standings, strict=False):
        if previous is not None and previous.checkpoint != one.checkpoint:
            table.add_section()
        better = "" if one.improvement is None else _with_interval(one.improvement, one.improvement_interval)
        table.add_row(
            checkpoint_name(one.checkpoint, one.steps), setting_name(one.setting),
            _with_interval(one.mean, one.mean_interval),
            _with_interval(one.interquartile_mean, one.interquartile_interval),
            *(() if left_out else (better,)),
        )  # fmt: skip
    return table


def compared(standings: Sequence[Standing]) -> str:
    """Of what the best was chosen: '5 kept checkpoints, steps 6,000 to 10,000'."""
    steps = sorted({step for one in standings for step in one.steps})
    if len(steps) < 2:
        return f"1 kept checkpoint{''.join(f', step {step:,}' for step in steps)}"
    return f"{len(steps)} kept checkpoints, steps {steps[0]:,} to {steps[-1]:,}"


def checkpoint_name(checkpoint: str, steps: Sequence[int]) -> str:
    """'best, step 4,000'."""
    return checkpoint + (f", step {steps[0]:,}" if len(steps) == 1 else "")


def setting_name(setting: Mapping[str, Any]) -> str:
    """'expectile 0.7, inverse_temperature 3'."""
    return ", ".join(f"{name} {value:g}" for name, value in setting.items()) or "as configured"


def draw_standings(standings: list[Standing], environment: str, *, algorithm: str) -> str:
    """Mean, interquartile mean and P(better) of the settings, as SVG text; checkpoints are told apart."""
    panels = [
        Panel(title="mean undiscounted return", rows=_points(standings, "mean")),
        Panel(title="interquartile mean of it", rows=_points(standings, "interquartile_mean")),
    ]
    seeds, left_out = standings[0].seeds, standings[0].left_out
    said = "too few for intervals" if left_out else "with 95 % bootstrap intervals"
    subtitle = (
        f"Over {seeds} seed{'' if seeds == 1 else 's'} a setting, {said}. Best of {compared(standings)}: "
        "chosen by these returns, it flatters; the last is what is deployed."
    )
    better = _points(standings, "improvement")
    if better:
        panels.append(Panel(title="P(better): that a seed beats one of the first setting", rows=better))
    title = f"{algorithm} in {environment}"
    return measures(panels, title=title, subtitle=subtitle, label="setting", odds=bool(better))


def _points(standings: Sequence[Standing], what: str) -> list[dict[str, Any]]:
    """A measure of every setting and checkpoint: a point alone where there is no interval."""
    rows, interval = list[dict[str, Any]](), f"{what.removesuffix('_mean')}_interval"
    for one in standings:
        value: float | None = getattr(one, what)
        low, high = getattr(one, interval)
        if value is not None:
            rows.append({
                "name": setting_name(one.setting), "what": one.checkpoint, "mean": value,
                "low": value if low is None else low, "high": value if high is None else high,
            })  # fmt: skip
    return rows


def _with_interval(value: float, interval: Interval) -> str:
    """'12.3 (8 to 15.1)'."""
    if interval[0] is None:
        return f"{value:.4g}"
    return f"{value:.4g} ({interval[0]:.4g} to {interval[1]:.4g})"
