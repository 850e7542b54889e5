"""What both demonstrations do: train with a bar, tell a table of successes, say where everything lies."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from suture.algorithms.base import Algorithm
from suture.cli.progress import Bar
from suture.data.dataset import Dataset
from suture.evaluation.score import Evaluation
from suture.report.make import make
from suture.report.story import Story
from suture.storage.atomic import write_file
from suture.training.outcome import Outcome
from suture.training.run import Run
from suture.training.train import Watch, train

METHODS = ("bc", "iql")


def trained(console: Console, algorithm: Algorithm[Any], data: Dataset, out: Path, **options: Any) -> Run:
    """A run in a folder named after its algorithm.   options: of `train`; `seeds` and `steps` among them."""
    began = time.monotonic()
    with Bar(algorithm.name) as watch:
        bar = Watch(start=watch.start, progress=watch.progress)
        run = train(algorithm, data, out=out / algorithm.name, watch=bar, **options)
    if run.outcome is Outcome.COMPLETED:
        seconds, rate = time.monotonic() - began, run.metrics[-1]["updates_per_second"]
        console.print(
            f"[bold]{algorithm.name}[/bold]: {options['seeds']} seeds in one program, "
            f"{options['steps']:,} updates each, {seconds:.0f} s with compilation ({rate:,.0f} updates/s)."
        )
    return run


def rate(evaluation: Evaluation) -> str:
    """Success over all members, as '83%'."""
    return f"{np.asarray(evaluation.returns).mean():.0%}"


def tell_results(console: Console, title: str, results: dict[str, Evaluation]) -> None:
    """Success of each method and seed."""
    table = Table(title=f"\n{title}", title_justify="left", box=box.SIMPLE_HEAD)
    seeds = range(len(next(iter(results.values())).returns))
    for column in ("method", "mean", *(f"seed {seed}" for seed in seeds)):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, evaluation in results.items():
        each = np.asarray(evaluation.returns).mean(axis=1)
        table.add_row(name, rate(evaluation), *(f"{one:.0%}" for one in each))
    console.print(table)


def close(console: Console, out: Path, began: float, title: str, story: Story, tries: Sequence[str]) -> None:
    """Write the page, and say where it lies and what to try next.   tries: arguments of `suture`."""
    page = out / "report.html"
    sources = [*(out / name for name in reversed(METHODS)), out / "log"]
    write_file(page, make(sources, title=title, first=[story]).encode(), point="report")
    console.print(f"\n{time.monotonic() - began:.0f} s. The page that explains it: {page}")
    console.print(f"The log and both runs are in {out}; try:")
    suture = "suture" if shutil.which("suture") else ".venv/bin/suture"
    for one in tries:
        console.print(f"  {suture} {one}")
