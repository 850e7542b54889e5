"""How good are the policies? Every method on real data, BC and IQL beside d3rlpy's.

    python benchmarks/scores.py --quick                     a minute: one task, one seed, few steps
    python benchmarks/scores.py --train none                the kept results, as a table
    python benchmarks/scores.py --train both                all that is missing, unattended; a day
    python benchmarks/scores.py --tasks dmsd door --methods bc cql --json scores.json

Last checkpoint, no choice by online return. Uncertainty is the standard error over training seeds (over
episodes where there is one seed: all but SEVERAL). Results are kept in results/ and made once: a kept one is
used where data, settings and steps are the same. Data: SUTURE_DATA, or ../shared/data; tasks without their
data are skipped.
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import evaluators
import numpy as np
import tyro
from _bench import Options
from _kept import RESULTS, kept
from _peer import PeerRun, returns_of
from rich.console import Console
from rich.table import Table

import suture
from suture.algorithms.base import Algorithm
from suture.algorithms.table import ALGORITHMS
from suture.data.dataset import Dataset
from suture.errors import SutureError
from suture.evaluation.score import REFERENCES, standard_error
from suture.training.outcome import Outcome

NARROW = (256, 256)
SETTINGS: dict[str, dict[str, Any]] = {
    "cql": {"sampled_gradient": True, "samples": 4, "hidden": NARROW},
    "cal_ql": {"sampled_gradient": True, "samples": 4, "hidden": NARROW},
    "bear": {"behaviour_hidden": NARROW},
    "bcq": {"hidden": NARROW, "behaviour_hidden": NARROW, "batch_size": 256},
    "fql": {"hidden": NARROW},
    "ifql": {"hidden": NARROW},
}
"""Beside the defaults, the same for all tasks: what two cores can train (of CQL a soft maximum over 12
sampled actions in place of 30, whose gradient flows through one of them)."""
METHODS: dict[str, Algorithm[Any]] = {
    **{name: algorithm(**SETTINGS.get(name, {})) for name, algorithm in ALGORITHMS.items() if name != "dqn"},
    "cql-exact": suture.CQL(hidden=NARROW),
}
"""One line each; dqn is for choices, which these tasks have not."""
CHOSEN: dict[tuple[str, str], dict[str, Any]] = {
    ("dmsd", "rebrac"): {"actor_penalty": 0.001, "critic_penalty": 0.001},
    ("dmsd", "cql"): {
        "conservative_weight": 0.03, "layer_norm": True, "critic_learning_rate": 1e-3,
        "actor_learning_rate": 1e-3, "target_rate": 0.02,
    },
    ("cheetah", "td3_bc"): {"alpha": 0.1},
    ("cheetah", "rebrac"): {"actor_penalty": 1.0, "critic_penalty": 0.1},
}  # fmt: skip
"""Task and method -> settings that were chosen for it once, by what one seed earned when it was played."""
MAIN = ("bc", "iql", "td3_bc", "rebrac", "cql", "awac", "bear", "brac")
"""On every task of COMPARED; the rest of the family on the first of them; BC and IQL on all tasks."""
SEVERAL = (*MAIN, "edac")
"""Trained with several seeds; of the others there is one."""
COMPARED = ("dmsd", "swingup-expert-replay", "pendulum", "cheetah")


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
        published={"bc": (563.6, 13.5, "NeoRL-2"), "cql": (605.8, 9.1, "NeoRL-2"),
                   "td3_bc": (522.1, 6.5, "NeoRL-2"), "edac": (674.7, 18.8, "NeoRL-2")},
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
        episodes=20,
        published={"bc": (1674.5, 10.5, "NeoRL-2"), "cql": (1702.9, 17.1, "NeoRL-2"),
                   "td3_bc": (1630.4, 10.9, "NeoRL-2")},
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
    """Scores of every method on real data."""

    tasks: tuple[str, ...] = tuple(TASKS)
    """Which tasks."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Which methods, on the tasks where they are compared."""
    steps: int = 30_000
    """Updates of each run."""
    seeds: int = 3
    """Training seeds of SEVERAL, trained in one program; one of the others."""
    train: Annotated[Literal["ours", "both", "none"], tyro.conf.arg(metavar="WHICH")] = "ours"
    """Train what is not kept: ours (minutes each), d3rlpy's too, or nothing: kept results alone."""
    again: bool = False
    """Train ours even where a result is kept: after a change of the code."""


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


def ours(name: str, method: str, data: Dataset, options: Scores) -> Side | None:
    """All seeds trained in one program and played in one batch; None where neither kept nor wanted."""
    task = TASKS[name]
    algorithm = dataclasses.replace(METHODS[method], **CHOSEN.get((name, method), {}))
    seeds = options.seeds if method in SEVERAL else 1
    asked = {
        "algorithm": algorithm.name, "fields": dataclasses.asdict(algorithm), "steps": options.steps,
        "seeds": seeds, "environment": task.environment, "episodes": task.episodes,
        "fingerprint": data.fingerprint,
    }  # fmt: skip

    def make() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            out, began = Path(folder) / "run", time.perf_counter()
            run = suture.train(algorithm, data, steps=options.steps, seeds=seeds, out=out)
            if run.outcome is Outcome.PREEMPTED:
                raise SutureError(f"{name} {method} was stopped on its way: such a score is not kept.")
            seconds = round(time.perf_counter() - began)
            evaluation = suture.evaluate(
                run, task.environment, episodes=task.episodes, environments=task.episodes, seed=0
            )
            return {
                "version": suture.__version__, "outcome": str(run.outcome), "seconds": seconds,
                "clipped": evaluation.clipped.tolist(), "returns": evaluation.returns.tolist(),
            }  # fmt: skip

    file = RESULTS / "ours" / f"{name}-{method}-{options.steps}.json"
    found = kept(file, asked, None if options.train == "none" else make, again=options.again)
    return None if found is None else Side.of(found["returns"], outcome=found["outcome"])


def peers(name: str, algorithm: str, data: Dataset, options: Scores) -> Side | None:
    """d3rlpy's runs with the same seeds; None unless all of them are there."""
    task, settings = TASKS[name], suture.IQL()
    found = [
        returns_of(
            PeerRun(
                task=name, environment=task.environment, algorithm=algorithm, steps=options.steps, seed=seed,
                episodes=task.episodes, expectile=settings.expectile,
                inverse_temperature=settings.inverse_temperature,
            ),
            data, train=options.train == "both",
        )
        for seed in range(options.seeds)
    ]  # fmt: skip
    if any(result is None for result in found):
        return None
    return Side.of([result["returns"] for result in found if result is not None])


def compared(name: str) -> tuple[str, ...]:
    """The methods whose score is shown for a task."""
    if name == COMPARED[0]:
        return tuple(METHODS)
    return MAIN if name in COMPARED else ("bc", "iql")


def behaviour(data: Dataset) -> float:
    """Mean return of the log's episodes; one that was recorded in part (the log's end) is left out."""
    whole = data.terminated[data.episode_start[1:] - 1] | data.truncated[data.episode_start[1:] - 1]
    return float(np.mean(data.returns[whole] if whole.any() else data.returns))


def table(scores: list[Score]) -> Table:
    """The lines as a person reads them."""
    shown = Table(title="Mean return ± standard error", title_justify="left")
    for column in ("task", "algorithm"):
        shown.add_column(column, no_wrap=True)
    for column in ("behaviour", "ours", "d3rlpy", "difference / s.e.", "published"):
        shown.add_column(column, justify="right")
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
        options = dataclasses.replace(
            options, tasks=("dmsd",), methods=("bc", "iql"), steps=1_000, seeds=1, train="both", again=True
        )
    console, scores = Console(), list[Score]()
    for name in options.tasks:
        task = TASKS[name]
        path = evaluators.data_folder() / task.path
        if not path.is_file():
            console.print(f"{name}: skipped, {path} is absent; set SUTURE_DATA to the folder of the data")
            continue
        data = suture.load(path, reading=task.reading)
        for method in compared(name):
            side = ours(name, method, data, options) if method in options.methods else None
            if side is None:
                continue
            scores.append(
                Score(
                    task=name, algorithm=method, steps=options.steps, behaviour=behaviour(data), ours=side,
                    peer=peers(name, method, data, options) if method in ("bc", "iql") else None,
                    published=task.published.get(method),
                )
            )  # fmt: skip
            console.print(f"{name} {method}: {_side(side)}, d3rlpy {_side(scores[-1].peer) or 'not run'}")
            if options.json is not None:
                written = [line.to_json() for line in scores]
                options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    console.print(table(scores))
    return scores


if __name__ == "__main__":
    main(tyro.cli(Scores, description=__doc__))
