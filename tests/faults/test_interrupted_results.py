"""C2: `suture report` and `suture evaluate`, killed at the crash points of what they write, and run again.

At some of the points by default; SUTURE_SLOW=1 has them all.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.command import Command
from making.logs import built, changed, walk_log
from making.runs import KILLED

import suture
from suture.storage.atomic import CRASH_STAGES

SLOW = bool(os.environ.get("SUTURE_SLOW"))
STAGES = (
    [stage for stage in CRASH_STAGES if "folder" not in stage] if SLOW else ["before_rename", "after_rename"]
)
FORK = """
import json, os, sys
import suture.cli, suture.evaluation.sweep, suture.report.page, suture.report.runs, suture.training.run
for point, arguments in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        os.environ["SUTURE_CRASH_AT"] = point
        sys.argv = ["suture", *arguments]
        suture.cli.main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def killed(cases: list[tuple[str, list[str]]]) -> None:
    """Run commands that are killed at one point each: forks of one process, whose imports they share."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, json.dumps(cases)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    codes = [line for line in done.stdout.splitlines() if line.lstrip("-").isdigit()]
    assert codes == [str(KILLED)] * len(cases), done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy for CartPole-v1."""
    log = walk_log((10, 12, 9), dimensions=4)
    log = changed(log, action=(np.asarray(log.action)[:, 0] > 0).astype(np.int64), action_space=None)
    out = tmp_path_factory.mktemp("trained") / "run"
    suture.train(suture.BC(hidden=(4,)), built(log, discrete=True), out=out, steps=20, checkpoint_every=10)
    return out


def test_c2_a_report_that_is_killed_leaves_the_former_page_or_the_new_one(
    run: Path, tmp_path: Path, command: Command
) -> None:
    pages = {stage: tmp_path / stage / "page.html" for stage in (*STAGES, "whole")}
    for page in pages.values():
        page.parent.mkdir()
        page.write_text("the former page")
    killed([(f"report.{stage}", ["report", str(run), "--out", str(pages[stage])]) for stage in STAGES])
    assert command("report", run, "--out", pages["whole"])[0] == 0
    whole = untimed(pages["whole"])
    for stage in STAGES:
        expected = whole if stage.startswith("after") else "the former page"
        assert untimed(pages[stage]) == expected, stage
        beside = [path.name for path in pages[stage].parent.iterdir() if path != pages[stage]]
        assert all(name.startswith(".tmp-page.html-") for name in beside), stage
        assert command("report", run, "--out", pages[stage])[0] == 0
        assert untimed(pages[stage]) == whole, stage
        assert list(pages[stage].parent.iterdir()) == [pages[stage]], stage


def untimed(page: Path) -> str:
    """A page without the minute in which it was made."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "", page.read_text())


POINTS = [
    f"{file}.{stage}"
    for file in ("evaluation", "json", "plot")
    for stage in STAGES
    if SLOW or "before" in stage
]


def found(run: Path) -> dict[str, Any]:
    """Every file that an evaluation leaves, but for the time at which it was written."""
    kept = {path.name: json.loads(path.read_text()) for path in (run / "evaluations").glob("[!.]*")}
    for one in kept.values():
        del one["time"]
    marked, plot = run / "checkpoints" / "best.json", run / "plot.svg"
    return {**kept, **{path.name: path.read_text() for path in (marked, plot) if path.exists()}}


def test_c2_an_evaluation_that_is_killed_leaves_whole_files_and_is_repeated(
    run: Path, tmp_path: Path, command: Command
) -> None:
    """It writes what it found, the mark of the best checkpoints, and the plot, in this order."""
    runs = {point: Path(shutil.copytree(run, tmp_path / point / "run")) for point in (*POINTS, "whole")}

    def arguments(point: str) -> list[str]:
        options = ["--env", "CartPole-v1", "--compare", "--episodes", "2", "--plot"]
        return ["evaluate", str(runs[point]), *options, str(runs[point] / "plot.svg")]

    killed([(point, arguments(point)) for point in POINTS])
    assert command(*arguments("whole"))[0] == 0
    whole = found(runs["whole"])
    assert len(whole) == 3
    for point in POINTS:
        left = found(runs[point])
        assert left == {name: whole[name] for name in left}, point
        written = ("evaluation", "json", "plot").index(point.partition(".")[0]) + ("after" in point)
        assert len(left) == written, point
        assert command(*arguments(point))[0] == 0
        assert found(runs[point]) == whole, point
        assert not list(runs[point].rglob(".tmp-*")), point
