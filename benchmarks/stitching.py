"""Is a five-step plan, never shown whole, put together from logs of its steps?

    python benchmarks/stitching.py --quick                    two minutes: BC and IQL, one seed
    python benchmarks/stitching.py --train none               the kept results, as a table
    python benchmarks/stitching.py --json benchmarks/results/stitching-full.json
                                                              all that is missing, unattended; many hours
    python benchmarks/stitching.py --methods iql cql          some of METHODS (_stitching.py)
    python benchmarks/stitching.py --observation image --methods cql --seeds 1 --episodes 4000 --curve 10 \
        --figure pictures.svg                                 from pictures, with success along training
    python benchmarks/stitching.py --methods iql sac td3 --epsilon 0.25
                                                              a broader log: a quarter of its actions random

A log is made as `suture make composite` makes it, its certificates are printed, and every method is trained
on it, or on a part. `path` is the share of the starts from which the transitions of its part lead to the
reward: of a control's, none. Policies are played from the start of all five steps, in layouts that no log
shows, with sampled actions and with modes. Success at the end and at any step are counted apart; here they
are one, because success ends an episode. With --json, rows of FILE that this command does not make stay.
Intervals are 95 % bootstraps over seeds and their episodes; of one
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
from typing import Annotated, Any

import numpy as np
import tyro
from _bench import narrow, wilson
from _kept import kept
from _stitching import METHODS, REWARD_SCALE, Trained, certified, file_of, identity, log_of, trained
from rich.console import Console
from rich.table import Table

import suture
from suture.algorithms.critic_based import CriticBased
from suture.data.dataset import Dataset
from suture.envs.composite.env import COMPOSITE, COMPOSITE_IMAGE, Observation
from suture.errors import SutureError
from suture.evaluation.overestimation import asked
from suture.evaluation.score import Evaluation
from suture.evaluation.statistics import interval, mean
from suture.report import figures
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
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the curves to this SVG file."""


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
        claim = asked(run, played.starts)[1].mean(1).tolist()
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
    """The rows as a person reads them: success at the end, which is success ever."""
    shown = narrow(
        "Success from the start, in layouts that were held out",
        "method", "path", "success", "95 %", "each seed", "claim", "truth",
    )  # fmt: skip
    for row in rows:
        name = ", ".join(filter(None, (row["method"].removesuffix(" actions"), log_named(row))))
        values = ["" if row[of] is None else f"{np.mean(row[of]):,.1f}" for of in ("claim", "truth")]
        shown.add_row(
            name, f"{row['path']:.0%}", f"{row['success_end']:.3f}", f"{row['low']:.2f}-{row['high']:.2f}",
            " ".join(f"{share:.2f}" for share in row["per_seed"]), *values,
        )  # fmt: skip
    return shown


def log_named(row: dict[str, Any]) -> str:
    """What is told of the log of a row."""
    epsilon = row.get("epsilon", 0.0)
    return "pictures" if row["observation"] == "image" else f"epsilon {epsilon:g}" if epsilon else ""


def joined(file: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a file, with those of this run in the place of their like."""
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return list({(row["method"], log_named(row)): row for row in [*before, *rows]}.values())


def told(curve: list[list[float]]) -> str:
    """Success along training, in a line."""
    return ", ".join(f"{share:.2f} after {step:,}" for step, share in curve)


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """The curves of those rows that have one, with Wilson's intervals."""
    points = [
        {"name": row["method"], "x": int(step), "mean": share}
        | dict(zip(("low", "high"), wilson(round(share * CURVE), CURVE), strict=True))
        for row in rows for step, share in row.get("curve", [])
    ]  # fmt: skip
    drawn = figures.curves(
        points, title="Success along training",
        subtitle=f"{CURVE} episodes a point, from the start of all five steps, in layouts that no log shows.",
        x="updates", y="success", label="policy",
    )  # fmt: skip
    atomic.write_file(file, drawn.encode(), point="figure")


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
            if "curve" in row:
                console.print(f"Along training: {told(row['curve'])}.")
        if settings.json is not None:
            whole = json.dumps(joined(settings.json, rows), indent=1) + "\n"
            atomic.write_file(settings.json, whole.encode(), point="json")
    console.print(table(rows))
    if settings.figure is not None and any("curve" in row for row in rows):
        draw(rows, settings.figure)
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
