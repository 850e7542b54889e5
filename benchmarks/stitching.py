"""Is a five-step plan, never shown whole, put together from logs of its steps?

    python benchmarks/stitching.py --quick                    two minutes: BC and IQL, one seed
    python benchmarks/stitching.py --train none               the kept results, as a table
    python benchmarks/stitching.py --json benchmarks/results/stitching-full.json
                                                              all that is missing, unattended; many hours
    python benchmarks/stitching.py --methods iql cql          some of METHODS (_stitching.py)
    python benchmarks/stitching.py --observation image --methods cql --seeds 1 --episodes 4000 --curve 10
                                                              from pictures, with success along training
    python benchmarks/stitching.py --methods iql sac td3 --epsilon 0.25
                                                              a broader log: a quarter of its actions random

A log is made as `suture make composite` makes it, its certificates are printed, and every method is trained
on it, or on a part. `path` is the share of the starts from which the transitions of its part lead to the
reward: of a control's, none. Policies are played from the start of all five steps, in layouts that no log
shows, with sampled actions and with modes. Success at the end and at any step are counted apart; here they
are one, because success ends an episode. Intervals are 95 % bootstraps over seeds and their episodes; of one
seed, over episodes alone. `claim` is what the critics say of actions that the policy draws at the first
states (in both rows of a method), `truth` what it then earned: both discounted, of a reward of 100. The truth
ends at the episodes' limit of 100 steps; what could follow is worth less than 5.

Each method's result is kept in results/stitching/ when it is done, and made once: a kept one is used where
log, settings and steps are the same. A run that was stopped keeps nothing; start again, and it goes on with
the methods that are missing. The quick form keeps nothing and fails unless IQL is above BC.
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from _kept import kept
from _stitching import METHODS, REWARD_SCALE, Trained, certified, file_of, identity, log_of, trained
from rich.console import Console
from rich.table import Table

import suture
from suture.algorithms.critic_based import CriticBased
from suture.data.dataset import Dataset
from suture.data.history import History
from suture.envs.composite.env import COMPOSITE, COMPOSITE_IMAGE, Observation
from suture.errors import SutureError
from suture.evaluation.overestimation import asked
from suture.evaluation.score import Evaluation
from suture.evaluation.statistics import interval, mean
from suture.spaces import Box
from suture.storage import atomic
from suture.training.run import Run

ENVIRONMENTS = {"state": COMPOSITE, "image": COMPOSITE_IMAGE}
CURVE = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Trained):
    """Stitching of the five-step task."""

    methods: tuple[str, ...] = tuple(METHODS)
    """Which of METHODS."""
    steps: int = 20_000
    """Updates of each run."""
    played: int = 500
    """Episodes that each seed's policy plays."""
    observation: Observation = "state"  # type: ignore[misc]
    """What policies see: the state, or a picture of 64x64 and the hand's own five numbers."""
    epsilon: float = 0.0  # type: ignore[misc]
    """Share of the log's actions that are drawn at random instead."""
    curve: int = 0
    """Points of a curve of success along training, each of CURVE episodes with sampled actions."""


def play(run: Run, episodes: int, *, sample: bool, seed: int = 1) -> Evaluation:
    """All members from the start of the task, on the same held-out layouts."""
    environment = ENVIRONMENTS[seen_by(run)]
    return suture.evaluate(run, environment, episodes=episodes, seed=seed, sample=sample)


def seen_by(run: Run) -> Observation:
    """What the run's policies see."""
    return "state" if isinstance(run.recipe.observation, Box) else "image"


def row_of(name: str, run: Run, played: Evaluation, *, sample: bool) -> dict[str, Any]:
    """What is told of a method's policies."""
    algorithm: Any = run.algorithm
    ended = (played.returns > 0).astype(float)
    ever = ended if played.successes is None else played.successes
    claim = truth = None
    if isinstance(algorithm, CriticBased) and played.starts is not None:
        seen = History(run.recipe.settings.frame_stack).after(played.starts, np.ones(ended.shape[1], bool))
        claim = asked(run, seen)[1].mean(1).tolist()
        truth = REWARD_SCALE * (ended * algorithm.discount ** (played.lengths - 1)).mean(1)
    low, high = interval(mean, ended)
    return {
        "method": f"{name}, {'sampled' if sample else 'mean'} actions", "observation": seen_by(run),
        "seeds": len(run), "episodes": ended.shape[1], "success_end": float(ended.mean()),
        "success_ever": float(np.mean(ever)), "low": low, "high": high,
        "per_seed": ended.mean(1).tolist(), "claim": claim,
        "truth": None if truth is None else truth.tolist(), "outcome": str(run.outcome),
    }  # fmt: skip


def curve_of(run: Run) -> list[list[float]]:
    """Success at each kept checkpoint: updates, and the share of CURVE episodes, which no row counts."""
    return [
        [step, float((play(run.at(step), CURVE, sample=True, seed=2).returns > 0).mean())]
        for step in run.steps
    ]


def result_of(name: str, settings: Settings, data: Dataset | None, *, keep: bool) -> list[dict[str, Any]]:
    """A method's rows: kept ones, or of a run that is made now; none where there is neither."""
    method = METHODS[name]
    asked_for = identity(method, settings, data) | {"played": settings.played}
    asked_for |= {"curve": settings.curve} if settings.curve else {}
    points = {"checkpoint_every": settings.steps // settings.curve} if settings.curve else {}

    def make() -> dict[str, Any]:
        assert data is not None
        proof = certified(name, method, data)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = trained(method, data, settings, Path(folder) / "run", keep=settings.curve or 3, **points)
            seconds = round(time.perf_counter() - began)
            rows = [
                row_of(name, run, play(run, settings.played, sample=sample), sample=sample)
                | {"seconds": seconds, "path": proof.stitched.share, "epsilon": settings.epsilon}
                for sample in method.draws
            ]
            if settings.curve:
                rows[0]["curve"] = curve_of(run)
        return {"version": suture.__version__, "rows": rows, "certificate": proof.to_json()}

    if not keep:
        return make()["rows"]
    file = file_of("stitching", name, settings)
    found = kept(file, asked_for, None if data is None else make, again=settings.again)
    return [] if found is None else found["rows"]


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows as a person reads them."""
    shown = Table(title="Success from the start, in layouts that were held out", title_justify="left")
    titles = ("method", "path", "at the end", "ever", "95 %", "of each seed", "claim", "truth", "seconds")
    for column in titles:
        shown.add_column(column, justify="left" if column == "method" else "right")
    for row in rows:
        values = ["" if row[of] is None else f"{np.mean(row[of]):,.1f}" for of in ("claim", "truth")]
        shown.add_row(
            row["method"], f"{row['path']:.0%}", f"{row['success_end']:.3f}", f"{row['success_ever']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            " ".join(f"{share:.2f}" for share in row["per_seed"]), *values, str(row["seconds"]),
        )  # fmt: skip
    return shown


def main(settings: Settings) -> list[dict[str, Any]]:
    """Make the log, prove what it shows, train what is missing, print."""
    if settings.quick:
        settings = dataclasses.replace(
            settings, methods=("bc", "iql"), episodes=3_000, steps=6_000, seeds=1, played=100
        )
    console, rows, failed = Console(highlight=False), list[dict[str, Any]](), list[str]()
    data = None if settings.train == "none" else log_of(settings, console)
    for name in settings.methods:
        try:
            found = result_of(name, settings, data, keep=not settings.quick)
        except SutureError as error:  # the others can still be made
            console.print(f"{name}: {error}")
            failed.append(name)
            continue
        rows += found
        for row in found:
            console.print(f"{row['method']}: {row['success_end']:.3f}")
        if settings.json is not None:
            atomic.write_file(settings.json, (json.dumps(rows, indent=1) + "\n").encode(), point="json")
    console.print(table(rows))
    if settings.quick:
        require_stitching(rows)
    if failed:
        raise SystemExit(f"Not made: {', '.join(failed)}.")
    return rows


def require_stitching(rows: list[dict[str, Any]]) -> None:
    """End with an error unless IQL, sampled, is above BC."""
    bc, iql = (
        next(row for row in rows if row["method"] == f"{name}, sampled actions") for name in ("bc", "iql")
    )
    if iql["low"] <= bc["success_end"]:
        raise SystemExit("IQL is not above BC: nothing was stitched.")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
