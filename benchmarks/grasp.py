"""Grasping from pictures, learned from a log alone: QT-Opt beside cloning and beside who made the log.

    python benchmarks/grasp.py [--quick] [--json FILE] [--folder FOLDER]

Scripted and random grasps, most of which fail, are recorded (`suture make grasps`), QT-Opt and BC are trained
on them (`suture train`), and every kept checkpoint is played in the bin, on objects whose shapes the log
shows and on others, with the cross-entropy method choosing each action. Shares are of all episodes, with
Wilson's 95 % intervals; evaluation seeds are not those of the log. With --folder the log and the runs stay,
and what is there is gone on with. `limit` is the arithmetic of an update at the machine's best product.
"""

import dataclasses
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import tyro
from _bench import Options, Row, gemm_limit, show, wilson, write_rows

import suture
from suture.algorithms.base import Algorithm
from suture.data.dataset import Dataset
from suture.envs.grasp.collect import Recipe, collect
from suture.envs.grasp.env import GRASP, GRASP_HELD_OUT
from suture.envs.grasp.log import make
from suture.evaluation.evaluate import evaluate
from suture.nets.conv import CHANNELS, FEATURES, STRIDES
from suture.training.run import Run

IDS = {"train": GRASP, "held-out": GRASP_HELD_OUT}
HAND, ACTION = 3, 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Grasping from pictures, from a log alone."""

    episodes: int = 12_000
    """Of the log; 160 with --quick."""
    pixels: int = 48
    """Width of a picture; 24 with --quick."""
    updates: int = 20_000
    """Of each run; 60 with --quick."""
    points: int = 4
    """Checkpoints that are played, of each run; 2 with --quick."""
    played: int = 700
    """Episodes that each is played; 40 with --quick."""
    seeds: int = 3
    """Runs of each method; 1 with --quick."""
    first_seed: int = 0
    objects: tuple[Literal["train", "held-out"], ...] = ("train", "held-out")
    evaluation_seed: int = 1_000
    folder: Path | None = None
    """Where the log and the runs stay; default: nowhere."""

    @property
    def methods(self) -> dict[str, Algorithm[Any]]:
        """What is trained, by name."""
        return {
            "qt_opt": suture.QTOpt(
                loss="cross_entropy", choices=3, no_choice=True, critics=CRITICS, hidden=HIDDEN,
                batch_size=BATCH, critic_learning_rate=8e-4, target_rate=0.01, lag=100,
            ),
            "bc": suture.BC(hidden=HIDDEN, batch_size=BATCH),
        }  # fmt: skip


HIDDEN, BATCH, CRITICS = (128, 128), 64, 1
MIX = {"scripted": 1.0}
"""Who makes the log."""


def multiplications(pixels: int, samples: int = 2 * 64) -> float:
    """What one row of an update of QT-Opt cannot avoid: a critic trained, two old ones asked, a search.

    A picture is encoded once for each network that is asked; a search asks for `samples` actions.
    """
    width, layers, channels = pixels, list[int](), 3
    for out, stride in zip(CHANNELS, STRIDES, strict=True):
        width = -(-width // stride)
        layers.append(width * width * 9 * channels * out)
        channels = out
    encode = sum(layers) + width * width * channels * FEATURES
    seen, (first, second) = FEATURES + HAND, HIDDEN
    deeper = first * second + second
    ask = CRITICS * (seen * first + ACTION * first + deeper)
    train = 3 * (encode + ask) - layers[0]  # no gradient of the picture is needed
    return train + 2 * (encode + ask) + samples * CRITICS * (ACTION * first + deeper)


def row_of(stage: str, method: str, success: Any, settings: Settings, **more: Any) -> Row:
    """One point: of some episodes, how many succeeded."""
    low, high = wilson(int(np.sum(success)), len(success))
    details = {
        "stage": stage, **more, "episodes": len(success), "success": round(float(np.mean(success)), 4),
        "low": round(low, 4), "high": round(high, 4), "offline_episodes": settings.episodes,
        "online_episodes": 0,
    }  # fmt: skip
    return Row(method=method, ours=float(np.mean(success)), details=details)


def brief(row: Row) -> Row:
    """A point as a person reads it."""
    told = row.details
    shown = {name: f"{told[name]:,}" for name in ("updates", "seed") if name in told}
    interval = f"{told['low']:.3f} to {told['high']:.3f}"
    return dataclasses.replace(row, details={**shown, "objects": told["objects"], "interval": interval})


def behaviours(settings: Settings) -> Iterator[Row]:
    """How often who made the log succeeds, on other episodes than those."""
    for objects in settings.objects:
        recipe = Recipe(mix=MIX, objects=objects, camera=None, seed=settings.evaluation_seed)
        told = [one.columns["success"] for one in collect(recipe, range(settings.played))]
        yield row_of("behaviour", "who made the log", told, settings, objects=objects)


def trained(name: str, data: Dataset, settings: Settings, seed: int, folder: Path) -> Run:
    """A finished run, whose checkpoints are the points."""
    run = suture.train(
        settings.methods[name], data, out=folder / f"{name}-{seed}", resume=True, seed=seed,
        steps=settings.updates, checkpoint_every=max(1, settings.updates // settings.points),
        log_every=max(1, settings.updates // 20), keep=settings.points + 1,
    )  # fmt: skip
    if run.outcome is not suture.Outcome.COMPLETED:
        why = run.outcome.value if run.outcome else "It has not ended."
        raise SystemExit(f"{run.path}: {why} The same command goes on with it.")
    return run


def points(name: str, run: Run, settings: Settings, seed: int) -> Iterator[Row]:
    """Every kept checkpoint, played."""
    for step in run.steps:
        for objects in settings.objects:
            env = functools.partial(
                gymnasium.make, IDS[objects], pixels=settings.pixels, disable_env_checker=True
            )
            played = evaluate(
                run.at(step), env, episodes=settings.played, seed=settings.evaluation_seed + seed
            )
            success = np.asarray(played.successes)[0]
            stage = "offline" if name == "qt_opt" else name
            yield row_of(stage, name, success, settings, objects=objects, seed=seed, updates=step)


def speed(run: Run, settings: Settings) -> Row:
    """Updates a second of a run of QT-Opt, as its log has them, beside what the machine could do."""
    rates = [line["updates_per_second"] for line in run.metrics]
    operations = 2 * BATCH * multiplications(settings.pixels)
    limit = gemm_limit([(BATCH * (settings.pixels // 2) ** 2, 288, 32), (BATCH * 128, 128, 128)]) / operations
    return Row.of(
        f"{settings.pixels} pixels, batches of {BATCH}", {"ours": rates, "limit": [limit] * len(rates)},
        GFLOP_an_update=round(operations / 1e9, 2),
    )  # fmt: skip


def measured(settings: Settings, folder: Path) -> tuple[list[Row], list[Row]]:
    """Record, train, play. Returns the points and the speed."""
    recipe, log = Recipe(mix=MIX, pixels=settings.pixels), folder / f"log-{settings.pixels}"
    data = make(recipe, log, episodes=settings.episodes, resume=True)
    rows, rates = list(behaviours(settings)), list[Row]()
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        for name in settings.methods:
            run = trained(name, data, settings, seed, folder)
            rows += points(name, run, settings, seed)
            if name == "qt_opt":
                rates.append(speed(run, settings))
    return rows, rates


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.quick:
        settings = dataclasses.replace(
            settings, episodes=160, pixels=24, updates=60, points=2, played=40, seeds=1
        )
    with tempfile.TemporaryDirectory(prefix="suture-grasp-") as name:
        rows, rates = measured(settings, settings.folder or Path(name))
    show(f"Success of grasps, from {settings.episodes:,} logged episodes", "share", list(map(brief, rows)))
    show("Speed of training", "updates/s", rates)
    write_rows(settings.json, [*rows, *rates])


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
