"""What evaluations of a run found, as a section of its page: tables, and the settings of a sweep drawn."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from suture.evaluation.statistics import Standing
from suture.report.scores import checkpoint_name, draw_standings, setting_name
from suture.report.story import Figure, Listing, Section, number, plural, span
from suture.report.trust import values_of


def evaluation_section(
    evaluations: Sequence[Mapping[str, Any]], members: Sequence[Mapping[str, Any]], algorithm: str
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
            listing, figure = _standings(one, algorithm)
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


def _standings(one: Mapping[str, Any], algorithm: str) -> tuple[Listing, Figure]:
    known = [field.name for field in dataclasses.fields(Standing)]
    standings = [Standing(**{name: row[name] for name in known if name in row}) for row in one["standings"]]
    rows = [
        (
            checkpoint_name(each.checkpoint, each.steps), setting_name(each.setting), number(each.mean),
            span(*each.mean_interval), number(each.interquartile_mean),
            "" if each.improvement is None else f"{each.improvement:.2f}",
        )
        for each in standings
    ]  # fmt: skip
    caption = f"Settings of the sweep, played in {one['of']}"
    header = ("checkpoint", "setting", "mean", "95 % bootstrap interval", "interquartile mean", "P(better)")
    alt = "At the last checkpoint: " + "; ".join(value.told for value in values_of(one))
    figure = Figure(svg=draw_standings(standings, one["of"], algorithm=algorithm), alt=alt)
    return Listing(caption=caption, header=header, rows=rows), figure
