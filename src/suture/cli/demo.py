"""`suture demo`: a policy stitched from logs that no single log shows."""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from suture.algorithms.base import Algorithm
from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.cli.progress import Bar
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.formats import native
from suture.envs.chain import STITCH_MAZE, certificate, make_stitch_log
from suture.errors import RefusedInput
from suture.evaluation.evaluate import evaluate
from suture.evaluation.kept import keep
from suture.evaluation.score import Evaluation
from suture.report.make import make
from suture.storage.atomic import write_file
from suture.training.outcome import Outcome
from suture.training.run import Run
from suture.training.train import Watch, train

LOGGED, SEEDS, STEPS, EPISODES = 1_000, 3, 5_000, 100


def run_demo(out: Path) -> int:
    """Make the log, train BC and IQL, play both, and say what it shows. Within a minute."""
    if out.exists() and any(out.iterdir()):
        out = _free(out)
    console, began = Console(highlight=False, soft_wrap=True), time.monotonic()
    data = build(make_stitch_log(LOGGED, seed=0)).admit()
    native.write(data, out / "log")
    _tell_log(console, data)
    results: dict[str, Evaluation] = {}
    for algorithm in (BC(hidden=(64, 64)), IQL(hidden=(64, 64), expectile=0.9, inverse_temperature=10.0)):
        run = _train(console, algorithm, data, out)
        if run.outcome is not Outcome.COMPLETED:
            return run.outcome.exit_code if run.outcome else 1
        results[algorithm.name] = evaluate(run, STITCH_MAZE, episodes=EPISODES)
        keep(run.path, "played", STITCH_MAZE, STEPS, results[algorithm.name].to_json())
    _tell_results(console, results)
    page = out / "report.html"
    sources = [out / "iql", out / "bc", out / "log"]
    write_file(page, make(sources, title="Stitching in a maze").encode(), point="report")
    seconds = time.monotonic() - began
    console.print(f"\n{seconds:.0f} s. The page that explains it: {page}")
    console.print(f"The log and both runs are in {out}; try:")
    suture = "suture" if shutil.which("suture") else ".venv/bin/suture"
    console.print(f"  {suture} inspect {out / 'log'}")
    console.print(f"  {suture} evaluate {out / 'iql'} --env {STITCH_MAZE} --episodes 20")
    return 0


def _free(out: Path) -> Path:
    """The next free neighbour of a folder that is not empty."""
    for number in range(2, 1000):
        if not (path := out.with_name(f"{out.name}-{number}")).exists():
            return path
    raise RefusedInput(f"{out} and 998 folders beside it exist already. Remove some, or name another --out.")


def _tell_log(console: Console, data: Dataset) -> None:
    proof = certificate(data)
    console.print(
        f"[bold]The log[/bold]: {proof['episodes']:,} episodes of a maze, {len(data):,} transitions.\n"
        f"  {proof['from_start']:,} begin at the start; {proof['from_start_reaching_goal']} of them reach "
        f"the goal.\n  {proof['reaching_goal']:,} reach the goal; they begin elsewhere.\n"
        f"  Both kinds cross in the middle ({proof['shared_cells']} shared squares), so a path of "
        f"{proof['stitched_steps']} steps exists, in pieces.\n"
    )


def _train(console: Console, algorithm: Algorithm[Any], data: Dataset, out: Path) -> Run:
    began = time.monotonic()
    with Bar(algorithm.name) as watch:
        bar = Watch(start=watch.start, progress=watch.progress)
        run = train(algorithm, data, out=out / algorithm.name, seeds=SEEDS, steps=STEPS, watch=bar)
    if run.outcome is not Outcome.COMPLETED:
        return run
    seconds, rate = time.monotonic() - began, run.metrics[-1]["updates_per_second"]
    console.print(
        f"[bold]{algorithm.name}[/bold]: {SEEDS} seeds in one program, {STEPS:,} updates each, "
        f"{seconds:.0f} s with compilation ({rate:,.0f} updates/s)."
    )
    return run


def _tell_results(console: Console, results: dict[str, Evaluation]) -> None:
    table = Table(title=f"\nReached the goal from the start ({EPISODES} episodes a seed)",
                  title_justify="left", box=box.SIMPLE_HEAD)  # fmt: skip
    for column in ("method", "mean", *(f"seed {seed}" for seed in range(SEEDS))):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, evaluation in results.items():
        rates = np.asarray(evaluation.returns).mean(axis=1)
        table.add_row(name, f"{rates.mean():.0%}", *(f"{rate:.0%}" for rate in rates))
    console.print(table)
    console.print(
        "Behavioural cloning repeats what the log does from the start, and the log never gets there.\n"
        "Implicit Q-learning carries the value of the goal back through the crossing, and joins two halves\n"
        "that no single episode of the log shows together: it stitches."
    )
