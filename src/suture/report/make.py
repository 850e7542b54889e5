"""From folders and files to a page: each is recognised by what it holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suture.data.dataset import Dataset
from suture.report.logs import log_story
from suture.report.page import page
from suture.report.rounds import loop_story
from suture.report.runs import run_story
from suture.report.sources import diagnosis_of, known
from suture.report.story import Story
from suture.report.study import CLAIMS, Study


def make(
    sources: Sequence[Path],
    *,
    schema: Any = None,
    reading: Any = None,
    title: str | None = None,
    first: Sequence[Story] = (),
) -> str:
    """The page about run folders, logs, and folders of `suture loop` and `overestimation`, as text.

    first: stories of your own, that the page begins with.
    A log that a run learned from is put to use on the run's part as well. A study of over-estimation is shown
    with the runs whose method and log it tried, and by itself where none of them is here.
    Raises SutureError for what is none of these.
    """
    kinds = {source: _kind(source) for source in sources}
    logs = {source: _log(source, schema, reading) for source, kind in kinds.items() if kind == "log"}
    studies = [Study(source) for source, kind in kinds.items() if kind == "study"]
    runs = [source for source, kind in kinds.items() if kind == "run"]
    stories = list(first)
    for source in sources:
        if source in logs:
            stories.append(log_story(logs[source][0], source.name, logs[source][1]))
        elif source in runs:
            own = [study for study in studies if study.belongs_to(source)]
            stories.append(run_story(source, known(source, list(logs.values()), reading), own))
        elif kinds[source] == "loop":
            stories.append(loop_story(source))
        else:
            study = Study(source)
            if not any(study.belongs_to(run) for run in runs):
                stories.append(study.story())
    return page(title or ", ".join(story.title for story in stories), stories)


def _kind(source: Path) -> str:
    marks = {"loop": "loop.json", "run": "config.json", "study": CLAIMS}
    return next((kind for kind, mark in marks.items() if (source / mark).is_file()), "log")


def _log(source: Path, schema: Any, reading: Any) -> tuple[Dataset, Mapping[str, Any] | None]:
    from suture.data.load import READING, load

    data = load(source, schema=schema, reading=reading or READING, admit=False)
    return data, diagnosis_of(data)
