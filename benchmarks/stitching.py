"""Is a five-step plan, never shown whole, put together from logs of its steps?

    python benchmarks/stitching.py --quick                    two minutes: BC and IQL, one seed
    python benchmarks/stitching.py --methods bc iql iql-task  more of METHODS
    python benchmarks/stitching.py --json stitching.json

A log is made as `suture make composite` makes it, its certificates are printed, and every method is trained
on it, or on a part. Policies are played from the start of all five steps, in layouts that no log shows, with
sampled and with mean actions; success ends an episode, so that at the end and ever are one. Intervals are
95 % bootstraps over seeds and their episodes; of one seed, over episodes alone. The quick form fails unless
IQL is above BC.
"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from _bench import Options
from rich.console import Console
from rich.table import Table

import suture
from suture.algorithms.base import Algorithm
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.collect import SKILLS, Recipe, certify, collect
from suture.envs.composite.env import COMPOSITE
from suture.evaluation.statistics import interval, mean

HIDDEN = (128, 128)
VALUES: dict[str, Any] = {
    "discount": 0.97, "n_step": 3, "target_rate": 0.02, "critic_learning_rate": 1e-3, "hidden": HIDDEN,
    "layer_norm": True,
}  # fmt: skip
IQL = suture.IQL(
    **VALUES, value_learning_rate=1e-3, expectile=0.9, inverse_temperature=10.0, actor_learning_rate=1e-3,
    head="mixture",
)  # fmt: skip
BC = suture.BC(hidden=HIDDEN, learning_rate=1e-3, head="mixture")
REWARD_SCALE = 100.0


def everything(data: Dataset) -> Dataset:
    """All sets."""
    return data


def without_b(data: Dataset) -> Dataset:
    """A causal control: nothing shows how to open the drawer."""
    return data.take_episodes(np.flatnonzero(_sets(data) != "B"))


def task_alone(data: Dataset) -> Dataset:
    """What the reward was seen in."""
    return data.take_episodes(np.flatnonzero(_sets(data) == "task"))


def rewarded(data: Dataset) -> Dataset:
    """Episodes that end outside."""
    return data.take_episodes(np.flatnonzero(np.asarray(data.returns) > 0))


def skilled(data: Dataset) -> Dataset:
    """Episodes of a skill that reach its end."""
    best = np.maximum.reduceat(data.columns["next_stage"], data.episode_start[:-1])
    wanted = np.array([SKILLS.get(name, (0, 99))[1] for name in _sets(data).tolist()])
    return data.take_episodes(np.flatnonzero(best >= wanted))


def _sets(data: Dataset) -> Any:
    return data.columns["set"][data.episode_start[:-1]]


METHODS: dict[str, tuple[Algorithm[Any], Callable[[Dataset], Dataset]]] = {
    "bc": (BC, everything),
    "iql": (IQL, everything),
    "iql-without-B": (IQL, without_b),
    "iql-task": (IQL, task_alone),
    "bc-rewarded": (BC, rewarded),
    "bc-skills": (BC, skilled),
}
"""Name -> the algorithm, and the part of the log that it is given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Stitching of the five-step task, from state."""

    methods: tuple[str, ...] = tuple(METHODS)
    """Which of METHODS."""
    episodes: int = 8_000
    """Of the log."""
    steps: int = 20_000
    """Updates of each run."""
    seeds: int = 3
    """Of training, in one program."""
    played: int = 500
    """Episodes that each seed's policy plays."""
    seed: int = 0
    """Of the log."""


def rows_of(name: str, data: Dataset, settings: Settings) -> list[dict[str, Any]]:
    """Train a method and play its policies, with sampled and with mean actions."""
    algorithm, part = METHODS[name]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = suture.train(
            algorithm, part(data), out=Path(folder) / "run", seeds=settings.seeds, steps=settings.steps,
            reward_scale=REWARD_SCALE,
        )  # fmt: skip
        trained, rows = round(time.perf_counter() - began), list[dict[str, Any]]()
        for sample in (True, False):
            played = suture.evaluate(run, COMPOSITE, episodes=settings.played, sample=sample, seed=1)
            low, high = interval(mean, played.returns)
            rows.append({
                "method": f"{name}, {'sampled' if sample else 'mean'} actions", "observation": "state",
                "seeds": settings.seeds, "episodes": settings.played,
                "success_end": float(played.mean.mean()),
                "success_ever": float(played.returns.mean()), "low": low, "high": high,
                "per_seed": played.mean.tolist(), "seconds": trained, "outcome": str(run.outcome),
            })  # fmt: skip
    return rows


def main(settings: Settings) -> list[dict[str, Any]]:
    """Make the log, prove what it shows, train, play, print."""
    if settings.quick:
        settings = dataclasses.replace(
            settings, methods=("bc", "iql"), episodes=3_000, steps=6_000, seeds=1, played=100
        )
    console, rows = Console(highlight=False), list[dict[str, Any]]()
    data = build(collect(Recipe(episodes=settings.episodes, seed=settings.seed))).admit()
    proof = certify(data)
    console.print(f"{len(data):,} transitions in {data.episodes:,} episodes; {len(STEPS)} steps.")
    console.print(json.dumps(proof.to_json()))
    if not proof.holds:
        raise SystemExit("The log shows too much or too little: a certificate does not hold.")
    table = Table(title="Success from the start, in layouts that were held out", title_justify="left")
    for column in ("method", "success", "95 %", "of each seed", "seconds"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name in settings.methods:
        for row in rows_of(name, data, settings):
            rows.append(row)
            seeds = " ".join(f"{share:.2f}" for share in row["per_seed"])
            table.add_row(
                row["method"], f"{row['success_end']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}", seeds,
                str(row["seconds"]),
            )  # fmt: skip
            if settings.json is not None:
                settings.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    console.print(table)
    if settings.quick:
        require_stitching(rows)
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
