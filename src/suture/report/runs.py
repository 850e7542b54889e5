"""The story of a run: what was learned from what, how well, how surely, and what to do next."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suture.evaluation.kept import kept
from suture.report.evaluations import evaluation_section
from suture.report.figures import curves
from suture.report.finetuning import finetuning, played
from suture.report.logs import not_diagnosed, regime_section
from suture.report.sources import Known
from suture.report.starts import logged_of
from suture.report.story import (
    Answer,
    Figure,
    Listing,
    Section,
    Story,
    audit,
    number,
    what_the_data_was,
)
from suture.report.study import Study
from suture.report.trust import Trust, latest

MOST_CURVES = 8
TIMES = ("step", "member", "seconds", "updates_per_second")


def run_story(path: Path, log: Known, studies: Sequence[Study] = ()) -> Story:
    """path: a run folder.   log: that it learned from.   studies: of over-estimation, that belong to it."""
    from suture.evaluation.sweep import settings
    from suture.training.run import open_run

    run = open_run(path)
    evaluations, groups, summary = kept(path), settings(run), log.summary
    unknown = Answer(
        question="What was the data?",
        tone="care",
        answer=f"{run.recipe.source}: the log is not at hand any more; only its fingerprint is known.",
    )
    where = latest(evaluations, "played", "compared")
    trust = Trust(
        evaluations=evaluations, members=run.members, step=run.newest.step, failed=_failed(run),
        logged=logged_of(summary, log.data, evaluations, where["of"] if where else None),
    )  # fmt: skip
    answers = [
        what_the_data_was(summary) if summary else unknown,
        _learned(run, groups),
        trust.sure(),
        trust.next(),
    ]
    sections = [evaluation_section(evaluations, run.members, run.algorithm.name)] if evaluations else []
    sections += finetuning(run, path)
    sections.append(_curves(run, groups))
    sections += [study.section() for study in studies]
    if summary:
        sections.append(audit(summary, run.recipe.names))
    sections.append(regime_section(log.diagnosis) if log.diagnosis else not_diagnosed(log.why))
    sections.append(_provenance(run, path))
    return Story(
        title=f"{run.algorithm.name} on {Path(run.recipe.source).name}", answers=answers, sections=sections,
        strip=played(run, path),
    )  # fmt: skip


def _failed(run: Any) -> bool:
    return run.outcome is None or run.outcome.name in ("NON_FINITE", "DIVERGED")


def _learned(run: Any, groups: Sequence[Any]) -> Answer:
    seeds, steps = len(run) // max(1, len(groups)), run.recipe.settings.steps
    what = (type(run.algorithm).__doc__ or "").strip().splitlines()[0].partition(":")[0].rstrip(".")
    many = f" in each of {len(groups):,} settings" if len(groups) > 1 else ""
    times = "once" if seeds == 1 else f"{seeds:,} times, from different random numbers (seeds)"
    outcome = run.outcome.name if run.outcome else "not ended"
    done = (
        f"A rule for what to do in each situation (a policy), by {run.algorithm.name} "
        f"({what[0].lower()}{what[1:]}). It was trained {times}{many}; each time it was corrected "
        f"{steps:,} times."
    )
    if outcome == "COMPLETED":
        return Answer(question="What was learned?", answer=done, tone="good")
    tone = "bad" if outcome in ("NON_FINITE", "DIVERGED") else "care"
    return Answer(
        question="What was learned?",
        tone=tone,
        answer=f"{done} Training ended {outcome} at step {run.newest.step:,}.",
    )


def _curves(run: Any, groups: Sequence[tuple[dict[str, float], list[int]]]) -> Section:
    lines, drawn = run.metrics, list[Figure]()
    names = [name for name in dict.fromkeys(name for line in lines for name in line) if name not in TIMES]
    labels = {
        member: ", ".join(f"{field} {value:g}" for field, value in setting.items()) or run.algorithm.name
        for setting, members in groups
        for member in members
    }
    for metric in names[:MOST_CURVES]:
        rows = _banded(lines, metric, labels)
        if rows:
            alt = _course(metric, rows)
            svg = curves(rows, title=metric, subtitle="", x="updates", y=metric, label="setting")
            drawn.append(Figure(svg=svg, alt=alt, caption=alt))
    text = [
        "Means over the seeds of a setting; bands are 95 % intervals of that mean, where there are "
        "several seeds."
    ]
    more = names[MOST_CURVES:]
    if more:
        text.append(f"Not drawn: {', '.join(more)} (see metrics.jsonl).")
    return Section(
        title="Learning curves", text=text if drawn else ["No metrics were recorded yet."], figures=drawn
    )


def _course(metric: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """From where to where a metric went; of several settings, between which two it ended."""
    first, last = rows[0], rows[-1]
    if first["name"] == last["name"]:
        told = dict.fromkeys(f"{number(row['mean'])} at step {row['x']:,}" for row in (first, last))
        return f"{metric}: {', '.join(told)}."
    ends = {row["name"]: row for row in rows}.values()
    least, most = (pick(ends, key=lambda row: row["mean"]) for pick in (min, max))
    between = " and ".join(f"{number(row['mean'])} ({row['name']})" for row in (least, most))
    return f"{metric} ends between {between}."


def _banded(
    lines: Sequence[Mapping[str, Any]], metric: str, labels: Mapping[int, str]
) -> list[dict[str, Any]]:
    from suture.evaluation.score import half_width

    found: dict[tuple[str, int], list[float]] = {}
    for line in lines:
        value = line.get(metric)
        if value is not None and np.isfinite(value):
            found.setdefault((labels[line["member"]], line["step"]), []).append(value)
    rows = list[dict[str, Any]]()
    for (name, step), values in sorted(found.items()):
        mean, row = float(np.mean(values)), dict[str, Any]()
        if len(values) > 1:
            half = float(half_width(np.array(values)))
            row = {"low": mean - half, "high": mean + half}
        rows.append({"name": name, "x": step, "mean": mean, **row})
    return rows


def _provenance(run: Any, path: Path) -> Section:
    recipe = run.recipe
    facts = [
        ("run", str(path)),
        ("log", recipe.source),
        ("fingerprint of the log", recipe.fingerprint),
        ("seeds", ", ".join(str(member["seed"]) for member in run.members)),
        ("newest checkpoint", f"step {run.newest.step:,}"),
        ("outcome", run.outcome.name if run.outcome else "not ended"),
    ]
    fields = [(name, str(value)) for name, value in recipe.config_json()["fields"].items()]
    settings = [(name, str(value)) for name, value in recipe.config_json()["settings"].items()]
    return Section(
        title="Provenance",
        text=(
            "With these, the same versions and the same log, training gives the same policy, bit "
            "for bit on a CPU.",
        ),
        listings=(
            Listing(caption="Where it comes from", header=("what", "value"), rows=facts),
            Listing(caption="Fields of the algorithm", header=("field", "value"), rows=fields),
            Listing(caption="Settings of the run", header=("setting", "value"), rows=settings),
            Listing(caption="Versions", header=("package", "version"), rows=_versions(path)),
        ),
    )


def _versions(path: Path) -> list[tuple[str, str]]:
    from suture.storage import manifest

    file = path / "versions.json"
    if not file.is_file():
        return []
    told = manifest.object_of(manifest.read_json(file), str(file))
    packages = manifest.object_of(told.pop("packages", {}), str(file))
    return [(name, str(value)) for name, value in {**packages, **told}.items()]
