"""What does fine-tuning make of policies from real data? Four methods, beside d3rlpy's.

    python benchmarks/finetune.py --quick                    a minute: IQL on the pendulum, few steps
    python benchmarks/finetune.py --train none --figure finetuning.svg
    python benchmarks/finetune.py --train both               all that is missing, unattended
    python benchmarks/finetune.py --tasks pendulum --methods iql rebrac --json finetune.json

IQL, Cal-QL, ReBRAC, and SAC from scratch. Both sides: as many updates offline, then as many steps online
with one update each, in the same environment, from the same seeds; networks, rates and weights of ours. Ours
are the presets of `suture finetune`; d3rlpy's `fit_online` draws logged and online rows alike. SAC begins
anew and sees no log. The return offline and at the end, and the curve, are of the policy's best action in
episodes of their own; dip and regret are of the episodes that were learned from, in means over `window` of
them (docs/finetuning.md). Results are kept in results/finetune-*.json and made once. Data: SUTURE_DATA, or
../shared/data.
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
from _peer import acting, left_by, python
from _served import Served
from rich.console import Console
from rich.table import Table
from scores import TASKS, Side

import suture
from suture.algorithms.base import Algorithm
from suture.config import fields_of, to_json
from suture.data.dataset import Dataset
from suture.errors import SutureError
from suture.evaluation.rollout import rollout
from suture.online.collect import APART
from suture.online.experience import journal
from suture.online.settings import Online
from suture.online.summary import summarise
from suture.report import figures
from suture.storage import atomic
from suture.training.outcome import Outcome
from suture.training.train import Watch

NARROW, RATE = (64, 64), 1e-3


def narrow(algorithm: Algorithm[Any]) -> Algorithm[Any]:
    """A method for small tasks: narrow networks, which learn faster."""
    rates = {name: RATE for name in fields_of(algorithm) if name.endswith("learning_rate")}
    return dataclasses.replace(algorithm, **rates, hidden=NARROW, batch_size=256)


METHODS = {
    "iql": narrow(suture.IQL()),
    "cal_ql": narrow(suture.CalQL(sampled_gradient=True)),
    "rebrac": narrow(suture.ReBRAC()),
    "sac": narrow(suture.SAC()),
}
"""The rest is the default, but for CQL's cheap gradient."""
SCRATCH = "sac"
SIDES = {"ours": "Suture", "peer": "d3rlpy"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Fine-tuning from real data."""

    tasks: tuple[str, ...] = ("pendulum", "swingup-medium-replay", "swingup-random")
    """Which tasks of scores.py."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Which methods."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds."""
    offline: int = 5_000
    """Updates before it goes online."""
    online: int = 5_000
    """Steps online, with an update each."""
    window: int = 5
    """Episodes that the first policy plays before the first update online, and that means are over."""
    every: int = 500
    """Steps between points of the curve."""
    episodes: int = 20
    """Of each point of the curve."""
    train: Annotated[Literal["ours", "peer", "both", "none"], tyro.conf.arg(metavar="WHICH")] = "ours"
    """Make what is not kept: ours, d3rlpy's, both, or nothing: kept results alone."""
    again: bool = False
    """Make ours even where a result is kept: after a change of the code."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the curves to this SVG file."""

    def offline_for(self, method: str) -> int:
        """Updates offline: none for what begins anew."""
        return 0 if method == SCRATCH else self.offline

    def asked(self, task: str, method: str, side: str, seed: int, data: Dataset) -> dict[str, Any]:
        """All that a result depends on."""
        return {
            "task": task, "environment": TASKS[task].environment, "algorithm": method, "side": side,
            "fields": dataclasses.asdict(METHODS[method]), "seed": seed, "fingerprint": data.fingerprint,
            "offline": self.offline_for(method), "online": self.online, "window": self.window,
            "every": self.every, "episodes": self.episodes,
        }  # fmt: skip


def result_of(
    task: str, method: str, side: str, seed: int, data: Dataset, settings: Settings
) -> dict[str, Any] | None:
    """One fine-tuning, kept or made; None where it is neither kept nor wanted."""
    make = {"ours": ours, "peer": peers}[side]
    wanted = settings.train == "both" or settings.train == side
    if side == "peer" and not python().is_file():
        wanted = False
    with tempfile.TemporaryDirectory() as folder:
        name = f"finetune-{task}-{method}-{side}-{seed}.json"
        return kept(
            (Path(folder) if settings.quick else RESULTS) / name,
            settings.asked(task, method, side, seed, data),
            (lambda: make(task, method, seed, data, settings)) if wanted else None,
            again=settings.again and side == "ours",
        )


def ours(task: str, method: str, seed: int, data: Dataset, settings: Settings) -> dict[str, Any]:
    """Through `suture.train` and `suture.finetune`."""
    scratch = {"fresh": True, "share_first": 1.0, "share_last": 1.0} if method == SCRATCH else {}
    environment = TASKS[task].environment
    with tempfile.TemporaryDirectory() as folder:
        first, began = Path(folder) / "offline", list[float]()
        steps = max(1, settings.offline_for(method))  # a run to begin with, whose weights SAC does not use
        run = suture.train(METHODS[method], data, steps=steps, seed=seed, out=first)
        watch = Watch(start=lambda _first, _steps: began.append(time.process_time()))
        done = suture.finetune(
            run, environment, data=data, out=Path(folder) / "online", steps=settings.online, watch=watch,
            window=settings.window, checkpoint_every=settings.every, keep=settings.online, **scratch,
        )  # fmt: skip
        seconds = time.process_time() - began[0]
        if done.outcome is not Outcome.COMPLETED:
            raise SutureError(f"{task} {method} ended with {done.outcome}: such a result is not kept.")
        rounds = journal(done.path / "online")
        curve = [
            suture.evaluate(
                done.at(step), environment, episodes=settings.episodes, environments=settings.episodes, seed=0
            ).returns[0]
            for step in done.steps
        ]
        return {
            "version": suture.__version__, "cpu_seconds": round(seconds, 1), "steps": done.steps,
            "curve": np.round(curve, 3).tolist(),
            "returns": [value for line in rounds for value in line["returns"]],
            "lengths": [value for line in rounds for value in line["lengths"]],
        }  # fmt: skip


def peers(task: str, method: str, seed: int, data: Dataset, settings: Settings) -> dict[str, Any]:
    """d3rlpy's, in its own process, with the environment played here."""
    served = Served(TASKS[task].environment, APART + seed)
    told = {
        "method": method, "fields": to_json(METHODS[method]), "seed": seed, "window": settings.window,
        "offline": settings.offline_for(method), "online": settings.online, "every": settings.every,
        "noise": Online().exploration_noise,
    }  # fmt: skip
    left = left_by("peer_finetune.py", data, (json.dumps(told),), served)
    steps = list(range(0, settings.online + 1, settings.every))
    policies = [
        {name.partition("/")[2]: value for name, value in left.items() if name.startswith(f"{step}/")}
        for step in steps
    ]
    curve = [
        rollout(
            acting(policy), TASKS[task].environment, episodes=settings.episodes,
            environments=settings.episodes, seed=0,
        ).returns[0]
        for policy in policies
    ]  # fmt: skip
    return {
        "versions": left["versions"].tolist(), "cpu_seconds": round(float(left["seconds"]), 1),
        "steps": steps, "curve": np.round(curve, 3).tolist(), "returns": served.returns,
        "lengths": served.lengths,
    }  # fmt: skip


def row_of(result: dict[str, Any]) -> dict[str, Any]:
    """One line of the JSON file: a task, a method, a side and a seed."""
    window, curve = result["window"], np.mean(result["curve"], axis=1)
    told = summarise(result["returns"], result["lengths"], window, window)
    return {
        "task": result["task"], "method": result["algorithm"], "side": SIDES[result["side"]],
        "seed": result["seed"], "offline": curve[0], "final": curve[-1], "before": told.before,
        "lowest": told.lowest, "end": told.end, "dip": told.dip,
        "regret_per_episode": told.regret_per_episode, "cpu_seconds": result["cpu_seconds"],
        "steps": result["steps"], "curve": curve.tolist(),
    }  # fmt: skip


MEASURES = {
    "offline": "offline", "final": "final", "dip": "dip", "regret_per_episode": "regret / episode",
    "cpu_seconds": "CPU s online",
}  # fmt: skip


def grouped(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, list[dict[str, Any]]]]:
    """(task, method) -> side -> the rows of its seeds."""
    found: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        found.setdefault((row["task"], row["method"]), {}).setdefault(row["side"], []).append(row)
    return found


def side_of(rows: list[dict[str, Any]], measure: str) -> Side | None:
    """A measure over seeds; None where it is not known of all."""
    values = [row[measure] for row in rows]
    return None if not values or None in values else Side.of([[value] for value in values])


def shown(side: Side | None) -> str:
    """Mean, and its standard error where there are several seeds."""
    if side is None:
        return ""
    error = f" ± {side.standard_error:.0f}" if len(side.per_seed) > 1 else ""
    return f"{side.mean:.0f}{error}"


def difference(ours: Side | None, peer: Side | None) -> str:
    """Ours less the peer's, in standard errors of the difference."""
    if ours is None or peer is None or min(len(ours.per_seed), len(peer.per_seed)) < 2:
        return ""
    error = float(np.hypot(ours.standard_error, peer.standard_error))
    return f"{(ours.mean - peer.mean) / error:+.1f}" if error > 0 else ""


def table(rows: list[dict[str, Any]]) -> Table:
    """A line for each side, as a person reads them."""
    drawn = Table(title="Fine-tuning: mean ± standard error over seeds", title_justify="left")
    for column in ("task", "method", "side", "seeds", *MEASURES.values(), "final - d3rlpy's / s.e."):
        drawn.add_column(column, justify="left" if column in ("task", "method", "side") else "right")
    for (task, method), sides in grouped(rows).items():
        finals = [side_of(sides.get(side, []), "final") for side in SIDES.values()]
        for side, each in sides.items():
            cells = [shown(side_of(each, measure)) for measure in MEASURES]
            told = difference(*finals) if side == SIDES["ours"] else ""
            drawn.add_row(task, method, side, str(len(each)), *cells, told)
    return drawn


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """A panel a task: means over seeds with their standard errors."""
    panels = dict[str, list[dict[str, Any]]]()
    for (task, method), sides in grouped(rows).items():
        for side, each in sides.items():
            curves = np.array([row["curve"] for row in each])
            error = curves.std(axis=0, ddof=1) / np.sqrt(len(curves)) if len(curves) > 1 else 0 * curves[0]
            panels.setdefault(task, []).extend(
                {"name": method, "what": side, "x": step, "mean": mean, "low": mean - half,
                 "high": mean + half, "crossed": False}
                for step, mean, half in zip(each[0]["steps"], curves.mean(axis=0), error, strict=True)
            )  # fmt: skip
    drawn = figures.stacked(
        [figures.Panel(title=task, rows=found) for task, found in panels.items()],
        title="Fine-tuning from real data",
        subtitle="Return of the policy's best action, mean over seeds with one standard error. At 0 is the "
        "policy that was learned from the log; sac begins anew.",
        x="steps online", y="return", label="method",
    )  # fmt: skip
    atomic.write_file(file, drawn.encode(), point="figure")


def main(settings: Settings) -> list[dict[str, Any]]:
    """Seed by seed, so that what there is when it is stopped can be compared."""
    if settings.quick:
        settings = dataclasses.replace(
            settings, tasks=("pendulum",), methods=("iql",), seeds=(0,), offline=400, online=600, window=2,
            every=200, episodes=5, train="both",
        )  # fmt: skip
    console, rows = Console(highlight=False, width=130), list[dict[str, Any]]()
    for task in settings.tasks:
        path = evaluators.data_folder() / TASKS[task].path
        if not path.is_file():
            console.print(f"{task}: skipped, {path} is absent; set SUTURE_DATA to the folder of the data")
            continue
        data = suture.load(path, reading=TASKS[task].reading)
        for seed in settings.seeds:
            for method in settings.methods:
                for side in SIDES:
                    found = result_of(task, method, side, seed, data, settings)
                    if found is None:
                        continue
                    rows.append(row_of(found))
                    told = {name: rows[-1][name] for name in ("offline", "final", "cpu_seconds")}
                    console.print(f"{task} {method} {SIDES[side]}, seed {seed}: {json.dumps(told)}")
                    if settings.json is not None:
                        text = json.dumps(rows, indent=1) + "\n"
                        atomic.write_file(settings.json, text.encode(), point="json")
    console.print(table(rows))
    if settings.figure is not None and rows:
        draw(rows, settings.figure)
    return rows


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
