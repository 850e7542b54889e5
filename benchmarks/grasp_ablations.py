"""What makes or breaks grasping from a log: one thing changed at a time.

    python benchmarks/grasp_ablations.py [--quick] [--json FILE] [--folder FOLDER] [--only NAME ...]

One seed and short runs, so that a difference below a few points says nothing; settings are otherwise those
of grasp.py. Every policy is played on shapes that no log shows. Lines that are called "online" go on from the
run of the first line. With --folder logs and runs stay, and what is there is gone on with.
"""

import dataclasses
import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import tyro
from _bench import Options, Row, show, wilson, write_rows
from grasp import BATCH, COST, HIDDEN, MIX, OFFLINE, ONLINE

import suture
from suture.algorithms.base import Algorithm
from suture.data.dataset import Dataset
from suture.envs.grasp.collect import Recipe
from suture.envs.grasp.env import GRASP, GRASP_HELD_OUT, Place
from suture.envs.grasp.log import make, successes
from suture.evaluation.evaluate import evaluate
from suture.training.run import Run

NARROW: dict[str, Any] = {"hidden": HIDDEN, "batch_size": BATCH}
VALUES: dict[str, Any] = NARROW | {"discount": OFFLINE.discount, "target_rate": OFFLINE.target_rate}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """What is learned from what.   part: of the log's episodes.   mix: who made it.   camera: what they saw.

    cost: of a step, beside what the bin takes.
    share: of online rows in the batches of a fine-tuning, which goes on from the first variant's run.
    """

    algorithm: Algorithm[Any] = OFFLINE
    part: float = 1.0
    mix: Mapping[str, float] = dataclasses.field(default_factory=lambda: MIX)
    camera: Place = "crop"
    share: float | None = None
    cost: float = COST


FIRST, SMALL = "as grasp.py", 0.3
VARIANTS: dict[str, Variant] = {
    FIRST: Variant(),
    "30 % of the log": Variant(part=SMALL),
    "10 % of the log": Variant(part=0.1),
    "a log of near-optimal grasps": Variant(mix={"exact": 0.8, "scripted": 0.2}),
    "a long search in training": Variant(algorithm=dataclasses.replace(OFFLINE, iterations=3)),
    "steps that cost 0.01": Variant(cost=0.0),
    "one target network": Variant(algorithm=dataclasses.replace(OFFLINE, targets="one")),
    "squared loss": Variant(algorithm=dataclasses.replace(OFFLINE, loss="squared")),
    "the best of 16 random actions": Variant(
        algorithm=dataclasses.replace(
            OFFLINE, samples=16, elites=1, iterations=1, act_samples=0, act_iterations=0
        )
    ),
    "camera overhead, 30 %": Variant(camera="overhead", part=SMALL),
    "camera wrist, 30 %": Variant(camera="wrist", part=SMALL),
    "camera shoulder, 30 %": Variant(camera="shoulder", part=SMALL),
    "BC, 30 %": Variant(algorithm=suture.BC(**NARROW), part=SMALL),
    "IQL, 30 %": Variant(algorithm=suture.IQL(**VALUES, expectile=0.9), part=SMALL),
    "CQL, 30 %": Variant(algorithm=suture.CQL(**VALUES, samples=4), part=SMALL),
    "ReBRAC, 30 %": Variant(algorithm=suture.ReBRAC(**VALUES), part=SMALL),
    "online, of the log alone": Variant(share=0.0),
    "online, half of each batch": Variant(share=0.5),
    "online, new rows alone": Variant(share=1.0),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """What makes or breaks grasping from a log."""

    only: tuple[str, ...] = tuple(VARIANTS)
    """Which of VARIANTS, by name."""
    episodes: int = 12_000
    """Of the whole log; 60 with --quick."""
    pixels: int = 48
    """Width of a picture; 24 with --quick."""
    updates: int = 5_000
    """Of each run; 20 with --quick."""
    steps: int = 2_000
    """Online transitions of the lines that are called online, with an update each; 20 with --quick."""
    played: int = 300
    """Episodes of each policy; 10 with --quick."""
    seed: int = 0
    folder: Path | None = None
    """Where the logs and the runs stay; default: nowhere."""


def log_of(variant: Variant, settings: Settings, folder: Path) -> tuple[Dataset, float]:
    """What is learned from, and how often it succeeds. Logs of other cameras hold no more than is used."""
    whole = variant.camera == "crop"
    name = "-".join(f"{who}{share}" for who, share in sorted(variant.mix.items()))
    episodes = settings.episodes if whole else round(settings.episodes * variant.part)
    recipe = Recipe(mix=variant.mix, pixels=settings.pixels, camera=variant.camera)
    log = folder / f"log-{settings.pixels}-{variant.camera}-{name}"
    data = make(recipe, log, episodes=episodes, resume=True)
    if whole and variant.part < 1:
        data = data.take_episodes(np.arange(round(variant.part * data.episodes)))
    return data, successes(data)["all"]


def run_of(name: str, variant: Variant, data: Dataset, settings: Settings, folder: Path) -> Run:
    """A trained run."""
    path = folder / f"{'-'.join(name.replace('%', '').replace(',', '').split())}"
    if variant.share is None:
        return suture.train(
            variant.algorithm, data, out=path, resume=True, seed=settings.seed, steps=settings.updates,
            reward_shift=variant.cost,
        )  # fmt: skip
    start = run_of(FIRST, VARIANTS[FIRST], data, settings, folder)
    env = functools.partial(gymnasium.make, GRASP, pixels=settings.pixels, disable_env_checker=True)
    return suture.finetune(
        start, env, data=data, out=path, resume=True, algorithm=ONLINE, steps=settings.steps,
        share_first=variant.share, share_last=variant.share, random_actions=0.1, at_once=20, window=20,
    )  # fmt: skip


def measured(name: str, settings: Settings, folder: Path) -> Row:
    """Record, train, play."""
    variant = VARIANTS[name]
    data, succeeding = log_of(variant, settings, folder)
    run = run_of(name, variant, data, settings, folder)
    if run.outcome is not suture.Outcome.COMPLETED:
        raise SystemExit(
            f"{run.path}: {run.outcome or 'It has not ended.'} The same command goes on with it."
        )
    env = functools.partial(
        gymnasium.make, GRASP_HELD_OUT, pixels=settings.pixels, camera=variant.camera,
        disable_env_checker=True,
    )  # fmt: skip
    played = evaluate(run, env, episodes=settings.played, seed=2_000 + settings.seed)
    success = np.asarray(played.successes)[0]
    low, high = wilson(int(success.sum()), len(success))
    details = {
        "log_episodes": data.episodes, "log_success": round(succeeding, 3), "updates": run.newest.step,
        "episodes": len(success), "low": round(low, 3), "high": round(high, 3),
    }  # fmt: skip
    return Row(method=name, ours=float(success.mean()), details=details)


def main(settings: Settings) -> None:
    """Measure and print, a line after each."""
    if settings.quick:
        settings = dataclasses.replace(
            settings, episodes=60, pixels=24, updates=20, steps=20, played=10,
            only=(FIRST, "online, half of each batch", "BC, 30 %"),
        )  # fmt: skip
    rows = list[Row]()
    with tempfile.TemporaryDirectory(prefix="suture-grasp-") as folder:
        for name in settings.only:
            rows.append(measured(name, settings, settings.folder or Path(folder)))
            print(f"{name}: {rows[-1].ours:.3f}", flush=True)
            write_rows(settings.json, rows)
    show("Success of grasps on shapes that no log shows", "share", rows)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
