"""From folders and files to a page: each is recognised by what it holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from suture.errors import SutureError
from suture.evaluation.claims import Claim
from suture.report.logs import log_story
from suture.report.page import page
from suture.report.rounds import loop_story
from suture.report.runs import run_story
from suture.report.story import Story
from suture.storage import manifest

CLAIMS = "overestimation.json"


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
    Claims of an over-estimation study are shown with every run.
    Raises SutureError for what is none of these.
    """
    claims = [
        claim for source in sources if (source / CLAIMS).is_file() for claim in _claims(source / CLAIMS)
    ]
    stories = list(first)
    for source in sources:
        if (source / "loop.json").is_file():
            stories.append(loop_story(source))
        elif (source / "config.json").is_file():
            stories.append(run_story(source, _summary(source), claims))
        elif not (source / CLAIMS).is_file():
            stories.append(_log(source, schema, reading))
    return page(title or ", ".join(story.title for story in stories), stories)


def _claims(path: Path) -> list[Claim]:
    rows = manifest.read_json(path)
    return [Claim(**{name: value for name, value in row.items() if name != "excess"}) for row in rows]


def _log(source: Path, schema: Any, reading: Any) -> Story:
    from suture.data.load import READING, load
    from suture.diagnosis.diagnose import diagnose

    data = load(source, schema=schema, reading=reading or READING, admit=False)
    return log_story(data, source.name, None if data.errors else diagnose(data).to_json())


def _summary(run: Path) -> dict[str, Any] | None:
    """Of the log that a run learned from: kept with the run, or the log itself where it still lies."""
    from suture.data.load import load
    from suture.data.summary import summarise
    from suture.training.run import read_recipe

    kept = run / "inspection.json"
    if kept.is_file():
        return manifest.object_of(manifest.read_json(kept), str(kept))
    try:
        return summarise(load(read_recipe(run).source, admit=False))
    except (SutureError, OSError):
        return None
