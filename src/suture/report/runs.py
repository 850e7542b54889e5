"""The story of a run: what was learned from what, how well, how surely, and what to do next."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suture.evaluation.claims import Claim
from suture.evaluation.kept import kept
from suture.report.figures import curves, intervals
from suture.report.finetuning import finetuning, played
from suture.report.scores import setting_name
from suture.report.story import (
    Answer,
    Figure,
    Listing,
    Section,
    Story,
    audit,
    number,
    plural,
    span,
    what_the_data_was,
)

MOST_CURVES = 8
TIMES = ("step", "member", "seconds", "updates_per_second")


def run_story(path: Path, summary: Mapping[str, Any] | None, claims: Sequence[Claim] = ()) -> Story:
    """path: a run folder.   summary: of the log that it learned from, or None where that is not at hand."""
    from suture.evaluation.sweep import settings
    from suture.training.run import open_run

    run = open_run(path)
    evaluations, groups = kept(path), settings(run)
    unknown = Answer(
        question="What was the data?",
        tone="care",
        answer=f"{run.recipe.source}: the log is not at hand any more; only its fingerprint is known.",
    )
    answers = [
        what_the_data_was(summary) if summary else unknown,
        _learned(run, groups),
        _sure(evaluations, summary),
        _next(run, evaluations, summary),
    ]
    sections = [_evaluations(evaluations)] if evaluations else []
    sections += finetuning(run, path)
    sections.append(_curves(run, groups))
    if claims:
        sections.append(_overestimation(claims))
    if summary:
        sections.append(audit(summary))
    sections.append(_provenance(run, path))
    return Story(
        title=f"{run.algorithm.name} on {Path(run.recipe.source).name}", answers=answers, sections=sections,
        strip=played(run, path),
    )  # fmt: skip


def _learned(run: Any, groups: Sequence[Any]) -> Answer:
    seeds, steps = len(run) // max(1, len(groups)), run.recipe.settings.steps
    what = (type(run.algorithm).__doc__ or "").strip().splitlines()[0].partition(":")[0].rstrip(".")
    many = f", {plural(len(groups), 'setting')}" if len(groups) > 1 else ""
    outcome = run.outcome.name if run.outcome else "not ended"
    done = (
        f"a policy, by {run.algorithm.name} ({what[0].lower()}{what[1:]}): {plural(seeds, 'seed')}{many}, "
        f"{steps:,} updates each."
    )
    if outcome == "COMPLETED":
        return Answer(question="What was learned?", answer=done[0].upper() + done[1:], tone="good")
    tone = "bad" if outcome in ("NON_FINITE", "DIVERGED") else "care"
    return Answer(
        question="What was learned?",
        tone=tone,
        answer=f"{done[0].upper()}{done[1:]} Training ended {outcome} at step {run.newest.step:,}.",
    )


def _latest(evaluations: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    found = [one for one in evaluations if one["kind"] == kind]
    return found[-1] if found else None


def _values(played: Mapping[str, Any]) -> list[tuple[str, float | None, list[float | None]]]:
    """Name, mean and interval of each setting that was played."""
    return [
        (setting_name(one.get("setting", {})), one["mean"], one["interval"])
        for one in played.get("settings") or [played]
    ]


def _sure(evaluations: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None) -> Answer:
    question = "How sure are we?"
    played, estimated = _latest(evaluations, "played"), _latest(evaluations, "estimated")
    if played:
        if played["mean"] is None:
            each = [f"{name} {number(mean)} ({span(*interval)})" for name, mean, interval in _values(played)]
            told = f"Played in {played['of']}, mean with 95 % interval over seeds: {'; '.join(each)}."
            return Answer(question=question, answer=told, tone="care")
        low, high = played["interval"]
        more = "training seeds" if played["members"] > 1 else "episodes of one training seed"
        told = (
            f"Played in {played['of']}: {number(played['mean'])} a episode, 95 % interval "
            f"{span(low, high)} over "
            f"{played['members'] if played['members'] > 1 else played['episodes']} {more}."
        ).replace("a episode", "an episode")
        return Answer(question=question, answer=told, tone="good" if low is not None else "care")
    if estimated:
        refused = [reason for one in estimated["estimates"] for reason in one["refused"]]
        if refused:
            return Answer(question=question, tone="bad", answer=f"No number can be given. {refused[0]}")
        values = [f"{number(one['value'])} ({span(*one['interval'])})" for one in estimated["estimates"][:3]]
        return Answer(
            question=question,
            tone="care",
            answer=f"Never played. Estimated from {estimated['of']}, discounted, with 95 % interval: "
            f"{'; '.join(values)}.",
        )
    return Answer(
        question=question,
        tone="care",
        answer="Not at all yet: the policy was neither played nor estimated from a log.",
    )


def _next(run: Any, evaluations: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None) -> Answer:
    tone, advice = _advice(run, evaluations, summary["returns"]["mean"] if summary else None)
    return Answer(question="What to do next?", answer=advice, tone=tone)


def _advice(run: Any, evaluations: Sequence[Mapping[str, Any]], behaved: float | None) -> tuple[str, str]:
    """Tone and advice.   behaved: mean return of the log's episodes, where it is known."""
    played, estimated = _latest(evaluations, "played"), _latest(evaluations, "estimated")
    if run.outcome is None or run.outcome.name in ("NON_FINITE", "DIVERGED"):
        return "bad", (
            "Do not use this policy. Train nearer to the log, with a smaller learning rate, or by iql or "
            "td3_bc."
        )
    if played:
        return _after_playing(played, behaved)
    if estimated is None:
        return "care", (
            "Evaluate it: suture evaluate RUN --env ID where there is a simulator, or --data LOG, best on "
            "episodes that it has not seen."
        )
    if any(one["refused"] for one in estimated["estimates"]):
        return "bad", "Do not deploy it on this evidence: do what the refusal says, and evaluate again."
    return "care", (
        "Treat the estimate as a reason to try it with care, not as proof: begin where mistakes are cheap, "
        "and record what happens."
    )


def _after_playing(played: Mapping[str, Any], behaved: float | None) -> tuple[str, str]:
    if played["mean"] is None:
        highs = [interval[1] for _, _, interval in _values(played)]
        if behaved is not None and all(high is not None and high < behaved for high in highs):
            return "bad", (
                f"Deploy none of its settings: the log's mean episode ({number(behaved)}) earned more. "
                "Compare methods, or ask suture inspect --deep what the log allows."
            )
        log = "" if behaved is None else f" The log's mean episode earned {number(behaved)}."
        return "care", (
            "Its settings differ: choose one by suture evaluate RUN --env ID --compare, and train it with "
            f"several seeds of its own.{log}"
        )
    if behaved is None:
        return "care", (
            "Compare it with what the log's behaviour earns in the same place, then try it with care."
        )
    low, high = played["interval"]
    log = f"the log's mean episode ({number(behaved)})"
    if low is not None and low > behaved:
        return "good", (
            f"It beats {log}. Try it under supervision, record what it does, and train again with that."
        )
    if high is not None and high < behaved:
        return "bad", (
            f"Do not deploy it: {log} earned more. Compare methods, or ask suture inspect --deep what the "
            "log allows."
        )
    return "care", f"It is not shown to differ from {log}: more seeds or episodes would tell."


def _evaluations(evaluations: Sequence[Mapping[str, Any]]) -> Section:
    rows, listings, figures = list[Sequence[str]](), list[Listing](), list[Figure]()
    for one in evaluations:
        if one["kind"] == "played":
            many, told = _values(one), f"{plural(one['members'], 'member')}, "
            told += f"{plural(one['episodes'], 'episode')} each"
            rows += [
                (
                    one["time"],
                    f"played in {one['of']}" + (f", {name}" if len(many) > 1 else ""),
                    f"{one['step']:,}",
                    number(mean),
                    span(*interval),
                    told,
                )
                for name, mean, interval in many
            ]
        elif one["kind"] == "estimated":
            rows += [
                (
                    one["time"],
                    f"estimated from {one['of']}, member {est['member']}",
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
                _checkpoint(standing),
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


def _checkpoint(standing: Mapping[str, Any]) -> str:
    """'best, step 4,000'."""
    steps = standing.get("steps") or []
    return standing["checkpoint"] + (f", step {steps[0]:,}" if len(steps) == 1 else "")


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


def _overestimation(claims: Sequence[Claim]) -> Section:
    from suture.report.claims import draw

    last: dict[str, Claim] = {one.method: one for one in sorted(claims, key=lambda one: one.step)}
    alt = "; ".join(
        f"{name} claims {number(one.claim)}, truth {number(one.truth)}" for name, one in last.items()
    )
    figure = Figure(svg=draw(list(claims), "What critics claim, and what is true"), alt=alt, caption=alt)
    return Section(
        title="Over-estimation",
        figures=[figure],
        text=[
            "A critic that claims more than its policy is worth has learned from its own errors; "
            "the policy that trusts it is drawn to them."
        ],
    )


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
        folded=True,
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
