"""`suture inspect`: the summary of a log, its diagnosis, and its comparison with another log."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from suture.cli.options import DataPath, Flag, Json, ReadingOptions, Reads, arg, print_json, show
from suture.data.dataset import Dataset


def inspect(
    data: DataPath,
    reading: Reads = ReadingOptions(),  # noqa: B008
    deep: Annotated[Flag, arg("say what the log is good for: regime, recommendation, statistics")] = False,
    against: Annotated[Path | None, arg("another log: which columns changed, and by how much")] = None,
    json: Json = False,
) -> int:
    """Show what a log holds and everything that the gate finds in it; with --deep, what it is good for."""
    from suture.data.load import load
    from suture.data.summary import summarise
    from suture.report.inspection import render

    dataset = load(data, schema=reading.schema, reading=reading.reading, admit=False)
    summary, shown = summarise(dataset), list[Any]()
    if (deep or against) and not dataset.errors:
        found, shown = _deeper(dataset, deep=deep, against=against, reading=reading, source=data)
        summary |= found
    if json:
        print_json(summary)
        return 2 if dataset.errors else 0
    for each in (*shown, render(summary, str(data))):
        show(each)
    return 2 if dataset.errors else 0


class Stages:
    """A bar on standard error for work that tells what it does and which share is done."""

    def __init__(self, title: str):
        console = Console(stderr=True, highlight=False)
        columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self.title, self._task = title, self.progress.add_task(title, total=1.0)

    def __enter__(self) -> Callable[[str, float], None]:
        self.progress.start()
        return lambda what, share: self.progress.update(
            self._task, description=f"{self.title}: {what}", completed=share
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()


def _deeper(
    dataset: Dataset, *, deep: bool, against: Path | None, reading: ReadingOptions, source: Path
) -> tuple[dict[str, Any], list[Any]]:
    """What was asked for beyond the summary: its JSON, and what to print."""
    from suture.data.load import load
    from suture.diagnosis.diagnose import diagnose
    from suture.diagnosis.drift import drift
    from suture.report.diagnosis import render, render_drift

    found, shown = dict[str, Any](), list[Any]()
    if deep:
        with Stages("diagnosis") as tell:
            found |= diagnose(dataset, tell=tell).to_json()
        shown.append(render(found))
    if against is not None:
        other = load(against, schema=reading.schema, reading=reading.reading)
        with Stages("comparison") as tell:
            found["drift"] = drift(dataset, other, tell=tell).to_json()
        shown.append(render_drift(found["drift"], source.name, against.name))
    return found, shown
