"""How good are the policies? BC and IQL on real data, beside d3rlpy's on the same data and evaluator.

    python benchmarks/scores.py --quick                     a minute: one task, one seed, few steps
    nice python benchmarks/scores.py --peer train           all of it, unattended; hours on two cores
    python benchmarks/scores.py --tasks dmsd door --json scores.json

Last checkpoint, no choice by online return. Uncertainty is the standard error over training seeds (over
episodes where there is one seed). d3rlpy's runs are kept in results/peer/ and made once: "--peer train"
makes those that are missing. Data: SUTURE_DATA, or ../shared/data; tasks whose data is absent are skipped.
"""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import evaluators
import numpy as np
import tyro
from _bench import Options
from _peer import PeerRun, returns_of
from rich.console import Console
from rich.table import Table

import suture
from suture.data.dataset import Dataset
from suture.evaluation.score import REFERENCES, standard_error

ALGORITHMS = {"bc": suture.BC(), "iql": suture.IQL()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A log and where its policies are played.   published: algorithm -> mean return, its spread, source."""

    path: str
    environment: str
    episodes: int = 100
    reading: suture.Reading = dataclasses.field(default_factory=suture.Reading)
    published: dict[str, tuple[float, float | None, str]] = dataclasses.field(default_factory=dict)


def door_return(score: float) -> float:
    """Raw return of a D4RL-normalised score on the door."""
    low, high = REFERENCES["door"]
    return low + score / 100 * (high - low)


TASKS = {
    "dmsd": Task(
        path="neorl/dmsd_train.npz", environment="benchmarks/DMSD-v0",
        published={"bc": (563.6, 13.5, "NeoRL-2")},
    ),
    **{
        f"swingup-{tier.replace('_', '-')}": Task(
            path=f"swingup/{tier}.h5", environment="benchmarks/SwingUp-v0"
        )
        for tier in evaluators.TIERS
    },
    "pendulum": Task(path="pendulum/pendulum_replay.npz", environment="Pendulum-v1"),
    "cheetah": Task(
        path="neorl/safety_halfcheetah_train.npz", environment="benchmarks/SafetyHalfCheetah-v0",
        episodes=20, published={"bc": (1674.5, 10.5, "NeoRL-2")},
    ),
    "door": Task(
        path="adroit/door_human.npz", environment="AdroitHandDoor-v1", episodes=50,
        reading=suture.Reading(action_bounds="observed"),
        published={"bc": (door_return(2.3), None, "CORL, sister file"),
                   "iql": (door_return(3.3), None, "CORL, sister file")},
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores(Options):
    """Scores of BC and IQL on real data."""

    tasks: tuple[str, ...] = tuple(TASKS)
    """Which tasks."""
    algorithms: tuple[Literal["bc", "iql"], ...] = ("bc", "iql")
    """Which algorithms."""
    steps: int = 30_000
    """Updates of each run."""
    seeds: int = 3
    """Training seeds, trained in one program."""
    peer: Annotated[Literal["kept", "train", "none"], tyro.conf.arg(metavar="HOW")] = "kept"
    """Use d3rlpy's kept runs, train those that are missing (minutes each), or leave the peer out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """Mean return of each training seed, and the standard error of their mean."""

    mean: float
    standard_error: float
    per_seed: tuple[float, ...]
    details: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])

    @staticmethod
    def of(returns: Any, **details: Any) -> "Side":
        """From the returns (seeds, episodes). One seed: the error is over its episodes."""
        returns = np.asarray(returns)
        means = returns.mean(axis=1)
        error = standard_error(means if len(means) > 1 else returns[0])
        return Side(
            mean=float(means.mean()),
            standard_error=float(error),
            per_seed=tuple(means.tolist()),
            details=details,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """One line: a task and an algorithm. behaviour: mean return of the log's whole episodes."""

    task: str
    algorithm: str
    steps: int
    behaviour: float
    ours: Side
    peer: Side | None
    published: tuple[float, float | None, str] | None

    @property
    def difference(self) -> float | None:
        """Ours less the peer's, in standard errors of the difference."""
        if self.peer is None:
            return None
        error = float(np.hypot(self.ours.standard_error, self.peer.standard_error))
        return (self.ours.mean - self.peer.mean) / error if error > 0 else None

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "difference_in_standard_errors": self.difference}


def ours(name: str, algorithm: str, data: Dataset, options: Scores) -> Side:
    """Train all seeds in one program and play them in one batch."""
    task = TASKS[name]
    with tempfile.TemporaryDirectory() as folder:
        run = suture.train(
            ALGORITHMS[algorithm], data, steps=options.steps, seeds=options.seeds, out=Path(folder) / "run"
        )
        evaluation = suture.evaluate(
            run, task.environment, episodes=task.episodes, environments=task.episodes, seed=0
        )
        outcome = str(run.outcome)
    return Side.of(
        evaluation.returns, outcome=outcome, clipped=evaluation.clipped.tolist(), fingerprint=data.fingerprint
    )


def peers(name: str, algorithm: str, data: Dataset, options: Scores) -> Side | None:
    """d3rlpy's runs with the same seeds; None unless all of them are there."""
    task, settings = TASKS[name], ALGORITHMS["iql"]
    kept = [
        returns_of(
            PeerRun(
                task=name, environment=task.environment, algorithm=algorithm, steps=options.steps, seed=seed,
                episodes=task.episodes, expectile=settings.expectile,
                inverse_temperature=settings.inverse_temperature,
            ),
            data, train=options.peer == "train",
        )
        for seed in range(options.seeds)
    ]  # fmt: skip
    found = [result for result in kept if result is not None]
    if options.peer == "none" or len(found) < options.seeds:
        return None
    return Side.of([result["returns"] for result in found], versions=found[0]["versions"])


def behaviour(data: Dataset) -> float:
    """Mean return of the log's episodes; one that was recorded in part (the log's end) is left out."""
    whole = data.terminated[data.episode_start[1:] - 1] | data.truncated[data.episode_start[1:] - 1]
    return float(np.mean(data.returns[whole] if whole.any() else data.returns))


def table(scores: list[Score]) -> Table:
    """The lines as a person reads them."""
    shown = Table(title="Mean return ± standard error", title_justify="left")
    for column in ("task", "algorithm", "behaviour", "ours", "d3rlpy", "difference / s.e.", "published"):
        shown.add_column(column, justify="left" if column in ("task", "algorithm") else "right")
    for score in scores:
        published = ""
        if score.published is not None:
            mean, spread, source = score.published
            published = f"{mean:.1f}" + (f" ± {spread}" if spread else "") + f" ({source})"
        shown.add_row(
            score.task, score.algorithm, f"{score.behaviour:.1f}", _side(score.ours), _side(score.peer),
            "" if score.difference is None else f"{score.difference:+.1f}", published,
        )  # fmt: skip
    return shown


def _side(side: Side | None) -> str:
    return "" if side is None else f"{side.mean:.1f} ± {side.standard_error:.1f}"


def main(options: Scores) -> list[Score]:
    """Every line, printed as it is done and written after each, so that nothing is lost on the way."""
    if options.quick:
        options = dataclasses.replace(options, tasks=("dmsd",), steps=1_000, seeds=1, peer="train")
    console, scores = Console(), list[Score]()
    for name in options.tasks:
        task = TASKS[name]
        path = evaluators.data_folder() / task.path
        if not path.is_file():
            console.print(f"{name}: skipped, {path} is absent; set SUTURE_DATA to the folder of the data")
            continue
        data = suture.load(path, reading=task.reading)
        for algorithm in options.algorithms:
            score = Score(
                task=name, algorithm=algorithm, steps=options.steps, behaviour=behaviour(data),
                ours=ours(name, algorithm, data, options), peer=peers(name, algorithm, data, options),
                published=task.published.get(algorithm),
            )  # fmt: skip
            scores.append(score)
            console.print(
                f"{name} {algorithm}: ours {_side(score.ours)}, d3rlpy {_side(score.peer) or 'not run'}"
            )
            if options.json is not None:
                written = [line.to_json() for line in scores]
                options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    console.print(table(scores))
    return scores


if __name__ == "__main__":
    main(tyro.cli(Scores, description=__doc__))
