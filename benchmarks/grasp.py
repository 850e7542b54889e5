"""Grasping from pictures: QT-Opt from a log alone, then with a little more that it plays itself.

    python benchmarks/grasp.py [--quick] [--json FILE] [--folder FOLDER]

    behaviour   who made the log: scripted grasps, half of which fail (`suture make grasps`)
    offline     QT-Opt, trained on that log alone (`suture train`)
    finetuned   that run, gone on with in the bin: 5 % more transitions, in rounds (`suture finetune`)
    control     that run, gone on with for as many updates, from the log alone, with its own discount

Every checkpoint is played in the bin on shapes that no log shows (`objects` held-out), and the last one on
the log's own too; the cross-entropy method chooses each action. Shares are of all episodes, with Wilson's
95 % intervals. Seeds of evaluation are not those of the log; seeds 0 to 4, and from 100 on, were looked at
when settings were chosen, the others were not. A row is the end of a stage; `averaged` is the mean of the
points of its `curve`, (updates, share). With --folder the log, the runs and their rows stay, and what is
there is gone on with: after a stop, or with more --seeds. Seeds may be made at once, by a process each, once
the log is there.
"""

import dataclasses
import functools
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import tyro
from _arithmetic import encoder_layers
from _bench import Options, Row, alternate, gemm_limit, rate_of, show, wilson, write_rows
from _kept import kept

import suture
from suture.data.dataset import Dataset
from suture.envs.grasp.collect import EDITION, Recipe, collect
from suture.envs.grasp.env import GRASP, GRASP_HELD_OUT
from suture.envs.grasp.log import make
from suture.envs.grasp.objects import Objects
from suture.evaluation.evaluate import evaluate
from suture.keys import key_for
from suture.nets.conv import FEATURES
from suture.online.experience import journal
from suture.training.run import Run

IDS = {"held-out": GRASP_HELD_OUT, "train": GRASP}
HAND, ACTION = 3, 8
HIDDEN, BATCH, CRITICS = (256, 256), 64, 1
OFFLINE = suture.QTOpt(
    loss="cross_entropy", choices=3, no_choice=True, critics=CRITICS, hidden=HIDDEN, batch_size=BATCH,
    discount=0.8, critic_learning_rate=8e-4, critic_schedule="cosine", target_rate=0.01, lag=100,
    iterations=1, act_samples=256, act_iterations=4,
)  # fmt: skip
"""Of a discount of 0.9 too little is lost by waiting: what a critic errs by makes its policy hover.
A long search finds the largest error: it is short where values are learned, and long where they act."""
CONTROL = dataclasses.replace(OFFLINE, critic_learning_rate=3e-4, critic_schedule="constant")
ONLINE = dataclasses.replace(CONTROL, discount=0.97)
COST = -0.04
"""Of a step, beside the 0.01 that the bin takes: less is gained by waiting than a critic errs by."""
COSTS = {"finetuned": 0.0, "control": COST}
"""What a critic errs by is seen online, and goes. There a step costs what it does, and later is nearly as
good as now: what is not surely lifted is lifted further."""
SHARES = {"finetuned": (0.16, 0.4), "control": (0.0, 0.0)}
"""Of online rows in a batch: at the first update and at the last."""
LEARNING: dict[str, tuple[suture.QTOpt, ...]] = {
    "behaviour": (), "offline": (OFFLINE,), "finetuned": (OFFLINE, ONLINE), "control": (OFFLINE, CONTROL)
}  # fmt: skip
"""The stages, and what was trained one after the other in each."""
KEPT = (
    "episodes", "pixels", "updates", "more", "updates_per_step", "at_once", "points", "played",
    "evaluation_seed",
)  # fmt: skip
"""Settings that a row depends on."""
MIX = {"scripted": 1.0}
"""Who makes the log."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Grasping from pictures, from a log and beyond it."""

    episodes: int = 30_000
    """Of the log; 160 with --quick."""
    pixels: int = 48
    """Width of a picture; 24 with --quick."""
    updates: int = 20_000
    """Offline; 60 with --quick."""
    more: float = 0.05
    """Online transitions, as a share of the log's."""
    updates_per_step: float = 0.5
    """Updates for each online transition."""
    at_once: int = 100
    """Episodes in a round; 5 with --quick."""
    points: int = 4
    """Checkpoints that are played, of each run; 2 with --quick."""
    played: int = 700
    """Episodes that each is played; 40 with --quick."""
    seeds: tuple[int, ...] = (5, 6, 7)
    """Of the runs; 0 with --quick."""
    evaluation_seed: int = 1_000
    """Episodes of evaluation are those of this seed, and of the run's own."""
    rounds: int = 5
    """In which speeds are measured; 2 with --quick."""
    seconds: float = 1.0
    """Of each turn of a round; 0.2 with --quick."""
    folder: Path | None = None
    """Where the log and the runs stay; default: nowhere."""


def multiplications(pixels: int) -> dict[str, float]:
    """What one row cannot avoid, of an update of QT-Opt, of a target, and of an action that is played.

    An update trains a critic towards a target; a target asks two old critics, and searches; an action is a
    longer search of one of them. A picture is encoded once for each network that is asked.
    """
    layers = encoder_layers(pixels)
    seen, (first, second) = FEATURES + HAND, HIDDEN
    deeper = first * second + second
    ask = sum(layers) + CRITICS * (seen * first + ACTION * first + deeper)
    sample = CRITICS * (ACTION * first + deeper)
    target = 2 * ask + OFFLINE.iterations * OFFLINE.samples * sample
    action = ask + OFFLINE.act_iterations * OFFLINE.act_samples * sample
    train = 3 * ask - layers[0]  # no gradient of the picture is needed
    return {"images": train + target, "targets": target, "actions": action}


Shares = list[tuple[int, float]]
"""Updates and the share of episodes that succeeded after them, of the checkpoints of a run."""


def row_of(
    stage: str, seed: int, success: Any, others: Any, curve: Shares, *, offline: int, online: int
) -> Row:
    """What became of a stage: its end, and what came before.

    success, others: of each episode, on shapes that no log shows and on the log's own.
    """
    low, high = wilson(int(np.sum(success)), len(success))
    share = float(np.mean(success))
    details = {
        "stage": stage, "seed": seed, "objects": "held-out", "episodes": len(success),
        "success": round(share, 4), "low": round(low, 4), "high": round(high, 4),
        "averaged": round(float(np.mean([point for _, point in curve])), 4),
        "logged_shapes": round(float(np.mean(others)), 4),
        "offline_episodes": offline, "online_episodes": online, "updates": curve[-1][0],
        "curve": [[updates, round(point, 4)] for updates, point in curve],
    }  # fmt: skip
    return Row(method=stage, ours=share, details=details)


def brief(row: Row) -> Row:
    """A row as a person reads it."""
    told = row.details
    shares = {name: f"{told[name]:.3f}" for name in ("averaged", "logged_shapes")}
    counts = {name: f"{told[name]:,}" for name in ("seed", "updates", "online_episodes")}
    interval = f"{told['low']:.3f} to {told['high']:.3f}"
    return dataclasses.replace(row, details={"interval": interval, **shares, **counts})


def scripted(objects: Objects, seed: int, settings: Settings) -> list[bool]:
    """Which episodes succeed of who made the log: others than those of the log."""
    recipe = Recipe(mix=MIX, objects=objects, camera=None, seed=settings.evaluation_seed + seed)
    return [bool(one.columns["success"]) for one in collect(recipe, range(settings.played))]


def grasped(run: Run, objects: Objects, seed: int, settings: Settings) -> Any:
    """Which episodes of a policy succeed, (played,)."""
    env = functools.partial(gymnasium.make, IDS[objects], pixels=settings.pixels, disable_env_checker=True)
    played = evaluate(run, env, episodes=settings.played, seed=settings.evaluation_seed + seed)
    return np.asarray(played.successes)[0]


def offline(data: Dataset, seed: int, settings: Settings, folder: Path) -> Run:
    """Trained on the log."""
    return suture.train(
        OFFLINE, data, out=folder / f"offline-{seed}", resume=True, seed=seed, steps=settings.updates,
        reward_shift=COST,
        checkpoint_every=-(-settings.updates // settings.points),
        log_every=max(1, settings.updates // 20), keep=settings.points + 1,
    )  # fmt: skip


def further(stage: str, run: Run, data: Dataset, settings: Settings, path: Path) -> Run:
    """Gone on with in the bin; of the control's episodes nothing is learned."""
    first, last = SHARES[stage]
    steps = max(1, round(settings.more * len(data)))
    updates = max(1, round(steps * settings.updates_per_step))
    env = functools.partial(gymnasium.make, GRASP, pixels=settings.pixels, disable_env_checker=True)
    return suture.finetune(
        run, env, data=data, out=path, resume=True, algorithm=LEARNING[stage][-1], steps=steps,
        updates_per_step=settings.updates_per_step, share_first=first, share_last=last,
        at_once=settings.at_once, window=settings.at_once, random_actions=0.1, reward_shift=COSTS[stage],
        checkpoint_every=-(-updates // settings.points), keep=settings.points + 1,
    )  # fmt: skip


def played_out(stage: str, run: Run, seed: int, settings: Settings, *, offline: int, online: int = 0) -> Row:
    """Every kept checkpoint, and the row of them."""
    if run.outcome is not suture.Outcome.COMPLETED:
        why = run.outcome.value if run.outcome else "It has not ended."
        raise SystemExit(f"{run.path}: {why} The same command goes on with it.")
    curve, success = Shares(), None
    for step in filter(None, run.steps):
        success = grasped(run.at(step), "held-out", seed, settings)
        curve.append((step, float(success.mean())))
    others = grasped(run, "train", seed, settings)
    return row_of(stage, seed, success, others, curve, offline=offline, online=online)


def made(stage: str, data: Dataset, seed: int, settings: Settings, folder: Path) -> Row:
    """The row of a stage of a seed, from nothing."""
    log = data.episodes
    if stage == "behaviour":
        shown, other = scripted("held-out", seed, settings), scripted("train", seed, settings)
        return row_of(stage, seed, shown, other, [(0, float(np.mean(shown)))], offline=log, online=0)
    run = offline(data, seed, settings, folder)
    if stage == "offline":
        return played_out(stage, run, seed, settings, offline=log)
    done = further(stage, run, data, settings, folder / f"{stage}-{seed}")
    learned = journal(done.path / "online") if stage == "finetuned" else []
    online = sum(len(one["returns"]) for one in learned)
    return played_out(stage, done, seed, settings, offline=log, online=online)


def stages(data: Dataset, seed: int, settings: Settings, folder: Path) -> Iterator[Row]:
    """The four rows of a seed, which are kept in the folder."""
    common = {"settings": {name: repr(getattr(settings, name)) for name in KEPT}}
    common |= {"log": {"mix": MIX, "edition": EDITION}, "reward_shift": COST}
    for stage, learning in LEARNING.items():
        asked = common | {
            "learning": [dataclasses.asdict(one) for one in learning],
            "later": COSTS.get(stage),
        }
        file = folder / f"row-{stage}-{seed}.json"
        found = kept(
            file, asked, lambda stage=stage: {"row": vars(made(stage, data, seed, settings, folder))}
        )
        assert found is not None
        yield Row(**found["row"])


def speed(run: Run, data: Dataset, settings: Settings) -> list[Row]:
    """Images, targets and actions a second of a run of QT-Opt, beside what the machine could do.

    images: rows of batches, each with its picture and the next one, by the log of the run (the median).
    """
    seen = jax.tree.map(lambda leaf: np.asarray(leaf[:BATCH]), data.observation)
    one = jax.tree.map(lambda leaf: leaf[:1], seen)
    algorithm, state, policy = run.algorithm, run.newest.state, run.policy
    assert isinstance(algorithm, suture.QTOpt)
    values, key = jax.jit(jax.vmap(algorithm.best_value, (0, None, None))), key_for(0, "update")
    trained = BATCH * statistics.median(line["updates_per_second"] for line in run.metrics)
    contestants: dict[str, tuple[str, Callable[[], float]]] = {
        "images": ("images", lambda: trained),
        "targets": ("targets", _rate(lambda: values(state, seen, key), BATCH, settings)),
        f"actions, {BATCH} at once": ("actions", _rate(lambda: policy.act(seen), BATCH, settings)),
        "actions, one by one": ("actions", _rate(lambda: policy.act(one), 1, settings)),
    }
    work, rows = multiplications(settings.pixels), list[Row]()
    for name, (what, ours) in contestants.items():
        operations = 2 * work[what]
        limit = functools.partial(_limit, operations, settings)
        rates = alternate({"ours": ours, "limit": limit}, rounds=settings.rounds)
        rows.append(Row.of(name, rates, MFLOP=round(operations / 1e6, 1)))
    return rows


def _rate(call: Callable[[], Any], units: int, settings: Settings) -> Callable[[], float]:
    """Units a second of a call that does some."""
    return lambda: rate_of(lambda: jax.block_until_ready(call()), units=units, seconds=settings.seconds)


def _limit(operations: float, settings: Settings) -> float:
    """How often a second the machine could do so many operations."""
    shapes = [(BATCH * (settings.pixels // 2) ** 2, 288, 32), (1024, 1024, 1024)]
    return gemm_limit(shapes) / operations


def measured(settings: Settings, folder: Path) -> tuple[list[Row], list[Row]]:
    """Record, train, play. Returns the points and the speeds of the last seed's run."""
    log = folder / f"log-{settings.pixels}"
    data = make(Recipe(mix=MIX, pixels=settings.pixels), log, episodes=settings.episodes, resume=True)
    rows = [row for seed in settings.seeds for row in stages(data, seed, settings, folder)]
    return rows, speed(suture.open_run(folder / f"offline-{settings.seeds[-1]}"), data, settings)


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.quick:
        settings = dataclasses.replace(
            settings, episodes=160, pixels=24, updates=60, points=2, played=40, seeds=(0,), at_once=5,
            rounds=2, seconds=0.2,
        )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="suture-grasp-") as name:
        rows, rates = measured(settings, settings.folder or Path(name))
    show(f"Success of grasps, from {settings.episodes:,} logged episodes", "share", list(map(brief, rows)))
    show(f"Speed at {settings.pixels} pixels", "1/s", rates)
    write_rows(settings.json, rows)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
