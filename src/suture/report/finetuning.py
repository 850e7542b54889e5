"""What fine-tuning did to the return, as a section of a run's page."""

from pathlib import Path
from typing import Any

from suture import config
from suture.errors import SutureError
from suture.report.figures import curves
from suture.report.pictures import strip_of
from suture.report.story import Figure, Listing, Section, Strip, number


def played(run: Any, path: Path) -> Strip | None:
    """The best episode that a fine-tuned policy played, where it sees pictures; else None."""
    if run.recipe.finetuned is None or not (path / "online").is_dir():
        return None
    from suture.data.load import load

    try:
        return strip_of(load(path / "online", admit=False), whose="The best episode while it was fine-tuned")
    except (SutureError, OSError):
        return None


def finetuning(run: Any, path: Path) -> list[Section]:
    """A section for a run that was fine-tuned; none for others, or where too few episodes were played."""
    from suture.online.experience import journal
    from suture.online.settings import Online
    from suture.online.summary import running_means, summarise

    told = run.recipe.finetuned
    if told is None:
        return []
    rounds, online = journal(path / "online"), config.from_json(Online, told["online"])
    window = online.window
    returns = [value for line in rounds for value in line["returns"]]
    lengths = [value for line in rounds for value in line["lengths"]]
    summary = summarise(returns, lengths, window, online.first)
    if summary.before is None or summary.end is None:
        return []
    ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
    rows = [
        {"name": "exploring policy", "x": ends[window - 1 + index], "mean": float(mean)}
        for index, mean in enumerate(running_means(returns, window))
    ]
    rows += [
        {"name": "starting policy", "x": x, "mean": summary.before} for x in (ends[window - 1], ends[-1])
    ]
    drawing = curves(
        rows, title="Return while it was fine-tuned", x="environment steps", y="undiscounted return",
        label="policy", subtitle=f"Means over {window} episodes in a row, with exploration",
    )  # fmt: skip
    facts = [
        (name.replace("_", " "), number(getattr(summary, name)))
        for name in ("before", "lowest", "end", "dip", "regret", "regret_per_episode")
    ]
    return [
        Section(
            title=f"Fine-tuning in {told['environment']}", text=[summary.told()],
            figures=[Figure(svg=drawing, alt=summary.told())],
            listings=[Listing(caption="Returns of exploring policies", header=("what", "value"), rows=facts)],
        )
    ]  # fmt: skip
