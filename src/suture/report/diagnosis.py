"""What `suture inspect --deep` and `--against` print: the answer first, then what it rests on."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from suture.report.inspection import plain

WIDTH, MOST_COLUMNS = 20, 15
# group, name of the statistic, how it is shown, what it means
MEANINGS = (
    ("returns", "variation", "return variation (CV)", "deviation over the mean"),
    ("returns", "positive_variance", "RPSV", "above 0.05: good episodes to pick out"),
    ("returns", "decile_lift", "top-decile lift", "what imitating the best tenth gains"),
    ("returns", "relative_improvement", "ERI", "best episode above the mean, over the mean"),
    ("returns", "reward_sparsity", "reward sparsity", "share of the commonest reward"),
    ("behaviour", "entropy", "behaviour entropy", "0 decided, 1 uniform, in one state"),
    ("behaviour", "radius", "action radius", "spread in one state over that of all"),
    ("behaviour", "multimodality", "multimodality", "visits where actions form clouds"),
    ("behaviour", "persistence", "persistence", "what the last action tells of the next"),
    ("behaviour", "return_information", "return information", "nats an action tells of the return"),
    ("support", "seen_again", "support (kappa)", "chance that a pair was seen before"),
    ("support", "pairs_tried", "pairs tried", "of all pairs of a seen state and action"),
    ("support", "effective_share", "effective states", "share of all, if visited equally"),
    ("support", "junction_rate", "junction rate", "visits where episodes can be joined"),
    ("support", "start_coverage", "start coverage", "starts that 3 episodes pass"),
    ("stitching", "achieved", "mean episode", "0 worst plan, 1 best supported plan"),
    ("stitching", "best", "best episode", "on the same scale"),
    ("stitching", "deviation", "deviation", "of returns from one start, same scale"),
    ("stitching", "gain", "stitching gain", "best plan above the best episode"),
    ("stitching", "plan_error", "  its uncertainty", "one deviation over resampled episodes"),
    ("stitching", "held_gain", "  what holds of it", "on episodes that the plan has not seen"),
    ("stitching", "one_step_gap", "one-step gap", "gained by one step of improvement"),
    ("stitching", "multi_step_gap", "multi-step gap", "gained by planning further"),
    ("reach", "gain", "reach gain", "reached by joined episodes alone"),
    ("shape", "horizon", "horizon", "median steps of an episode"),
    ("shape", "truncated", "truncation share", "episodes cut or unfinished"),
    ("shape", "noise", "transition noise", "0 deterministic, 1 unpredictable"),
)


def render(found: Mapping[str, Any]) -> RenderableType:
    """A diagnosis (`Diagnosis.to_json`) for a terminal: regime, recommendation, statistics, notes."""
    return Group(
        *_regime(found["regime"]), Text(), *_recommendation(found["recommendation"]), Text(),
        _statistics(found["diagnosis"]), *(Text(note, "dim") for note in found["diagnosis"]["notes"]), Text(),
    )  # fmt: skip


def _regime(regime: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield Text.assemble(("Regime: ", "bold"), (regime["label"], "bold cyan"))
    table = Table.grid(padding=(0, 1))
    for name, probability in sorted(regime["probabilities"].items(), key=lambda item: -item[1]):
        bar = "█" * round(WIDTH * probability)
        table.add_row(f"  {name}", f"{probability:4.0%}", Text(bar, "cyan"))
    yield table
    for reason in regime["reasons"]:
        yield Padding(Text(f"- {reason}"), (0, 0, 0, 2))


def _recommendation(listed: list[dict[str, Any]]) -> Iterator[RenderableType]:
    yield Text("Begin with", "bold")
    for one in listed:
        preset = "" if one["preset"] == "generic" else f" --preset {one['preset']}"
        yield Text.assemble("  ", (f"suture train {one['method']} DATA{preset}", "green"))
        yield Padding(plain(one["evidence"]), (0, 0, 0, 6))


def _statistics(groups: Mapping[str, Any]) -> Table:
    table = Table(title="Statistics", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
                  show_header=False)  # fmt: skip
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for group, name, label, meaning in MEANINGS:
        values = groups.get(group)
        if values is not None and values[name] is not None:
            table.add_row(label, f"{values[name]:.3g}", meaning)
    return table


def render_drift(found: Mapping[str, Any], before: str, after: str) -> RenderableType:
    """A comparison of two logs (`Drift.to_json`) for a terminal: the verdict, then the columns."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("column", before, after, "shift", "distance", "p"):
        table.add_column(plain(name), justify="left" if name == "column" else "right", overflow="fold")
    for one in found["columns"][:MOST_COLUMNS]:
        style = "yellow" if one["p_value"] <= 0.05 else "dim"
        table.add_row(
            plain(one["column"]), f"{one['before']:.4g}", f"{one['after']:.4g}", f"{one['mean_shift']:+.2f}",
            f"{one['distance']:.3f}", f"{one['p_value']:.3f}", style=style,
        )  # fmt: skip
    more = len(found["columns"]) - MOST_COLUMNS
    rest = [Text(f"and {more} columns more (--json shows all).", "dim")] if more > 0 else []
    rows, episodes, colour = found["rows"], found["episodes"], "yellow" if found["changed"] else "green"
    return Group(
        Text.assemble(("Drift: ", "bold"), (plain(found["verdict"]).plain, colour)),
        table, *rest,
        Text(f"Shift in deviations of the first log; distance is Kolmogorov-Smirnov's, or total variation of "
             f"choices; p from exchanging whole episodes ({episodes[0]:,} and {episodes[1]:,}), over all "
             f"columns together; {rows[0]:,} and {rows[1]:,} rows were compared.", "dim"),
    )  # fmt: skip
