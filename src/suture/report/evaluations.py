"""What evaluations of a run found, as a section of its page: tables, and the settings of a sweep drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

from suture.report.figures import intervals
from suture.report.scores import checkpoint_name, setting_name
from suture.report.story import Figure, Listing, Section, number, plural, span
from suture.report.trust import values_of


def evaluation_section(
    evaluations: Sequence[Mapping[str, Any]], members: Sequence[Mapping[str, Any]]
) -> Section:
    """Every evaluation that is kept.   members: seed and swept values of each of the run's."""
    rows, listings, figures = list[Sequence[str]](), list[Listing](), list[Figure]()
    for one in evaluations:
        if one["kind"] == "played":
            told = f"{plural(one['members'], 'member')}, {plural(one['episodes'], 'episode')} each"
            rows += [
                (
                    one["time"], f"played in {one['of']}" + (f", {value.name}" if value.name else ""),
                    f"{one['step']:,}", number(value.mean), span(value.low, value.high), told,
                )
                for value in values_of(one)
            ]  # fmt: skip
        elif one["kind"] == "estimated":
            rows += [
                (
                    one["time"],
                    f"estimated from {one['of']}, {setting_name(members[est['member']])}",
                    f"{one['step']:,}",
                    "refused" if est["refused"] else number(est["value"]),
                    " ".join(est["refused"]) if est["refused"] else span(*est["interval"]),
                    f"{est['supported']:.0%} of its actions are supported by the log",
                )
                for est in one["estimates"]
            ]
        else:
            listing, figure = _standings(one)
            listings.append(listing)
            figures.append(figure)
    if rows:
        header = ("when", "how", "step", "value", "95 % interval, or why not", "of what")
        listings.insert(
            0,
            Listing(
                caption="Values of the policy: undiscounted returns where it was played, discounted "
                "where it was estimated",
                header=header,
                rows=rows,
            ),
        )
    return Section(title="Evaluation", listings=listings, figures=figures)


def _standings(one: Mapping[str, Any]) -> tuple[Listing, Figure]:
    rows, drawn = list[Sequence[str]](), list[dict[str, Any]]()
    for standing in one["standings"]:
        name = setting_name(standing["setting"])
        better = "" if standing["improvement"] is None else f"{standing['improvement']:.2f}"
        rows.append(
            (
                checkpoint_name(standing["checkpoint"], standing.get("steps") or ()),
                name,
                number(standing["mean"]),
                span(*standing["mean_interval"]),
                number(standing["interquartile_mean"]),
                better,
            )
        )
        if standing["checkpoint"] == "last":
            low, high = standing["mean_interval"]
            point = {"name": name, "mean": (mean := standing["mean"])}
            drawn.append(
                {**point, "low": mean if low is None else low, "high": mean if high is None else high}
            )
    header = (
        "checkpoint",
        "setting",
        "mean",
        "95 % bootstrap interval",
        "interquartile mean",
        "P(better than the first)",
    )
    alt = "; ".join(
        f"{row['name']}: {number(row['mean'])} ({span(row['low'], row['high'])})" for row in drawn
    )
    svg = intervals(
        drawn,
        title=f"Settings, played in {one['of']}",
        value="undiscounted return",
        label="setting",
        subtitle="Mean over seeds at the last checkpoint"
        + (", with 95 % bootstrap interval" if one["standings"][0]["mean_interval"][0] is not None else ""),
    )
    return Listing(caption=f"Settings of the sweep, played in {one['of']}", header=header, rows=rows), Figure(
        svg=svg, alt=alt
    )
