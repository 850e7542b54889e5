"""Do policies stitch in worlds that others made: OGBench's point maze, and a chain of keys in MiniGrid?

    python benchmarks/third_party_stitching.py --quick        under a minute: small forms of what is there
    python benchmarks/third_party_stitching.py --train none   the kept results, as a table
    python benchmarks/third_party_stitching.py --json rows.json
                                                              all that is missing, unattended; about an hour

goals: OGBench's pointmaze-large-stitch (SUTURE_DATA, or ../shared/data), fragments of 200 steps from anywhere
in a maze. Policies are told a goal and learn from goals in hindsight; they are played in the five tasks of
OGBench. `published` is OGBench's table (Park et al. 2025, arXiv:2410.20092, table 2), made with 1,000,000
updates of 1,024 transitions in networks of 512, 512 and 512 units, 8 seeds.
tasks: the same log as the task of reaching one goal, for each of the five. Few transitions arrive at it, and
these are drawn for a tenth of each batch (`balance`). No table is published for these.
keydoor: BlockedUnlockPickup, where a ball is in the way of a door whose key lies elsewhere, and a box behind
it is to be fetched; the log shows steps of this chain one at a time (benchmarks/_keydoor.py). Needs
`pip install -e .[minigrid]`; without it this part is left out.

Success is reaching the goal within the environment's own limit of 1,000 steps; in MiniGrid within 64, twice
what scripts need, and beside it (`late`) within its own 576. Intervals are 95 % bootstraps over seeds and
episodes. Last checkpoint, no choice by online return. Results are kept in
results/ and made once: a kept one is used where data, settings and steps are the same.
"""

import dataclasses
import functools
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import evaluators
import numpy as np
import tyro
from _bench import Options, narrow
from _kept import RESULTS, kept
from rich.console import Console
from rich.table import Table

import suture
from suture import config
from suture.algorithms.base import Algorithm
from suture.data.dataset import Dataset
from suture.data.goals import reaching
from suture.errors import SutureError
from suture.evaluation.rollout import rollout
from suture.evaluation.score import Evaluation
from suture.evaluation.statistics import interval, mean
from suture.storage import atomic
from suture.training.outcome import Outcome
from suture.training.run import Run

Part: TypeAlias = Literal["goals", "tasks", "keydoor"]
LOG = Path("pointmaze") / "pointmaze-large-stitch-v0.npz"
TASKS = range(1, len(evaluators.MAZE_TASKS) + 1)
RATE = 1e-3
VALUES: dict[str, Any] = {
    "discount": 0.995, "n_step": 10, "target_rate": 0.05, "critic_learning_rate": RATE, "hidden": (128, 128),
    "layer_norm": True,
}  # fmt: skip
IQL = suture.IQL(
    **VALUES, value_learning_rate=RATE, actor_learning_rate=RATE, actor_schedule="constant", expectile=0.9,
    extraction="ddpg_bc", bc_weight=0.01,
)  # fmt: skip
CQL = suture.CQL(
    **VALUES, actor_learning_rate=RATE, temperature_learning_rate=RATE, conservative_weight=1.0, samples=2,
    success_value=100.0,
)  # fmt: skip
REBRAC = suture.ReBRAC(**VALUES, actor_learning_rate=RATE, actor_penalty=0.01, critic_penalty=0.0)
BC = suture.BC(hidden=(128, 128), learning_rate=RATE)
CHAIN_WIDTH = (256, 256)
CHAIN: dict[str, Any] = VALUES | {
    "discount": 0.97, "n_step": 1, "target_rate": 0.02, "hidden": CHAIN_WIDTH,
}  # fmt: skip
"""Targets of one step: errands turn about at once, and targets of several blame it on the actions before."""
REWARD: dict[str, Any] = {"reward_scale": 100.0}
TOLD: dict[str, Any] = {
    "hindsight": 2, "hindsight_discount": 0.995, "hindsight_length": 10,
    "hindsight_tolerance": evaluators.PointMaze.near,
}  # fmt: skip
"""Goals for values: OGBench's shares, the defaults; each is kept for as many steps as a target has."""
NEXT: dict[str, Any] = {"hindsight_length": 1}
FOLLOWED: dict[str, Any] = {
    "hindsight": 2, "hindsight_arriving": 0.0, "hindsight_later": 0.5, "hindsight_discount": None,
}  # fmt: skip
"""Goals for imitation: OGBench's for its logs of fragments."""
RARE: dict[str, Any] = REWARD | {"balance": 0.1}


@dataclasses.dataclass(frozen=True)
class Method:
    """An algorithm and the settings of its runs.   published: OGBench's mean and deviation, in percent."""

    algorithm: Algorithm[Any]
    settings: dict[str, Any]
    sample: bool = False
    published: tuple[float, float] | None = None


METHODS: dict[Part, dict[str, Method]] = {
    "goals": {
        "bc": Method(BC, FOLLOWED, sample=True, published=(7, 5)),
        "iql": Method(dataclasses.replace(IQL, n_step=1), REWARD | TOLD | NEXT, published=(31, 2)),
        "cql": Method(dataclasses.replace(CQL, n_step=1), REWARD | TOLD | NEXT),
        "rebrac": Method(REBRAC, REWARD | TOLD),
    },
    "tasks": {
        "bc": Method(BC, {}, sample=True),
        "iql": Method(IQL, RARE),
        "cql": Method(CQL, RARE),
        "rebrac": Method(REBRAC, RARE),
    },
    "keydoor": {
        "bc": Method(suture.BC(hidden=CHAIN_WIDTH, learning_rate=RATE), {}, sample=True),
        "iql": Method(
            suture.IQL(
                **CHAIN, value_learning_rate=RATE, actor_learning_rate=RATE, actor_schedule="constant",
                expectile=0.9, inverse_temperature=10.0, max_weight=100.0,
            ),
            REWARD, sample=True,
        ),
        "cql": Method(suture.CQL(**CHAIN, conservative_weight=1.0, success_value=100.0), REWARD),
        "bcq": Method(suture.BCQ(**CHAIN, threshold=0.3, batch_size=256), REWARD),
    },
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Stitching in worlds that others made."""

    parts: tuple[Part, ...] = ("goals", "tasks", "keydoor")
    methods: tuple[str, ...] = ("bc", "iql", "cql", "rebrac", "bcq")
    """Which of METHODS, where a part has them."""
    steps: int = 10_000
    """Updates of each run."""
    seeds: int = 2
    """Of training, in one program; of the single tasks one, as there are five."""
    played: int = 20
    """Episodes that each seed's policy plays in each task; of the key and door so many times five."""
    fragments: int = 4_000
    """Of the log of the key and door."""
    train: Annotated[Literal["missing", "none"], tyro.conf.arg(metavar="WHICH")] = "missing"
    """Train what is not kept, or nothing: kept results alone."""
    again: bool = False
    """Train even where a result is kept: after a change of the code."""


@dataclasses.dataclass(frozen=True)
class World:
    """What a method is trained on and where it is played.   name: of the task, for people.

    limit: steps within which reaching the goal is a success, where the environment's own is longer.
    """

    name: str
    data: Callable[[], Dataset]
    environments: tuple[Any, ...]
    seeds: int
    played: int
    proof: Callable[[Dataset], dict[str, Any]]
    limit: int | None = None


def maze_proof(data: Dataset) -> dict[str, Any]:
    """How long fragments are, and how many transitions pay."""
    paid = 0 if data.reward is None else int(np.count_nonzero(data.reward))
    return {"transitions": len(data), "rewarded": paid, "longest": int(data.lengths.max())}


def worlds(part: Part, settings: Settings) -> list[World]:
    """The worlds of a part; none where what it needs is absent."""
    path = evaluators.data_folder() / LOG
    if part == "keydoor":
        if importlib.util.find_spec("minigrid") is None:
            return []
        import _keydoor

        def chain() -> Dataset:
            return _keydoor.fragments(settings.fragments, seed=0)

        long = functools.partial(_keydoor.KeyDoor, max_steps=_keydoor.OWN_LIMIT)
        played, proof = settings.played * len(TASKS), _keydoor.never_shown
        return [World("chain", chain, (long,), settings.seeds, played, proof, limit=_keydoor.LIMIT)]
    if not path.is_file() or importlib.util.find_spec("mujoco") is None:
        return []
    log = suture.load(path)
    if part == "goals":
        played = TASKS[3:4] if settings.quick else TASKS
        told = tuple(f"benchmarks/PointMazeGoal{task}-v0" for task in played)
        name = "all five" if len(told) > 1 else "task 4"
        return [World(name, lambda: log, told, settings.seeds, settings.played, maze_proof)]
    return [
        World(
            f"task {task}",
            lambda goal=goal: reaching(log, evaluators.maze_place(goal), tolerance=evaluators.PointMaze.near),
            (f"benchmarks/PointMaze{task}-v0",), 1, settings.played, maze_proof,
        )
        for task, (_, goal) in zip(TASKS, evaluators.MAZE_TASKS, strict=True)
    ]  # fmt: skip


def play(run: Run, environment: Any, episodes: int, *, sample: bool) -> Evaluation:
    """All members' policies, with their modes or sampled."""
    policies, calls = run.policies, iter(range(1 << 31))
    return rollout(
        lambda seen: policies.act(seen, sample=sample, seed=next(calls)), environment, episodes=episodes,
        seed=1, members=len(run), expected=(policies.observation_space, policies.action_space),
    )  # fmt: skip


def result_of(
    part: Part, name: str, world: World, settings: Settings, data: Dataset | None
) -> dict[str, Any] | None:
    """A method's row: kept, or of a run that is made now; None where there is neither.

    data: of the world; None: nothing is trained, and what the data would be is taken on trust.
    """
    method = METHODS[part][name]
    asked = {
        "part": part, "task": world.name, "algorithm": method.algorithm.name,
        "fields": config.to_json(method.algorithm), "settings": method.settings, "steps": settings.steps,
        "seeds": world.seeds, "played": world.played, "limit": world.limit,
        **({} if data is None else {"fingerprint": data.fingerprint}),
    }  # fmt: skip

    def make() -> dict[str, Any]:
        assert data is not None
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = suture.train(
                method.algorithm, data, out=Path(folder) / "run", seeds=world.seeds, steps=settings.steps,
                on_divergence="continue", **method.settings,
            )  # fmt: skip
            if run.outcome is Outcome.PREEMPTED:
                raise SystemExit("Stopped on the way: this run is not kept. Start again to go on with it.")
            seconds, outcome = round(time.perf_counter() - began), str(run.outcome)
            played = [play(run, each, world.played, sample=method.sample) for each in world.environments]
        late = [each.returns > 0 for each in played]
        won = [
            ever & (each.lengths <= (world.limit or np.inf)) for ever, each in zip(late, played, strict=True)
        ]
        low, high = interval(mean, np.concatenate(won, axis=1).astype(float))
        return {
            "version": suture.__version__, "outcome": outcome, "seconds": seconds,
            "success_end": float(np.mean(won)), "low": low, "high": high,
            "late": None if world.limit is None else float(np.mean(late)),
            "per_task": [float(each.mean()) for each in won], "proof": world.proof(data),
        }  # fmt: skip

    if settings.quick:
        return asked | make()
    place = f"{part}-{name}-{world.name.replace(' ', '-')}-{settings.steps}-steps.json"
    return kept(
        RESULTS / "third_party_stitching" / place, asked, None if data is None else make, again=settings.again
    )


def row_of(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """What is told of a result."""
    part = found["part"]
    return {
        "part": part, "method": name, "task": found["task"], "observation": "state", "seeds": found["seeds"],
        "episodes": found["played"] * len(found["per_task"]), "published": METHODS[part][name].published,
        **{
            of: found[of]
            for of in ("success_end", "low", "high", "late", "per_task", "steps", "seconds", "outcome")
        },
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows as a person reads them."""
    shown = narrow(
        "Success in worlds that others made", "part", "method", "task",
        "success", "95 %", "late", "of each task", "published", words=3,
    )  # fmt: skip
    for row in rows:
        published = "" if row["published"] is None else "{:g} ± {:g} %".format(*row["published"])
        each = " ".join(f"{share:.2f}" for share in row["per_task"]) if len(row["per_task"]) > 1 else ""
        shown.add_row(
            row["part"], row["method"], row["task"], f"{row['success_end']:.2f}",
            f"{row['low']:.2f}-{row['high']:.2f}", "" if row["late"] is None else f"{row['late']:.2f}", each,
            published,
        )  # fmt: skip
    return shown


def main(settings: Settings) -> list[dict[str, Any]]:
    """Train what is missing, print."""
    if settings.quick:
        settings = dataclasses.replace(
            settings,
            parts=("goals", "keydoor"),
            methods=("bc", "iql"),
            steps=500,
            seeds=1,
            played=2,
            fragments=200,
        )
    console, rows, failed = Console(highlight=False), list[dict[str, Any]](), list[str]()
    for part in settings.parts:
        found = worlds(part, settings)
        if not found:
            console.print(f"{part}: left out, as its log (SUTURE_DATA), mujoco or minigrid is absent.")
        for world in found:
            data = None if settings.train == "none" else world.data()
            if data is not None:
                console.print(f"{part}, {world.name}: {json.dumps(world.proof(data))}")
            for name in [each for each in settings.methods if each in METHODS[part]]:
                try:
                    made = result_of(part, name, world, settings, data)
                except SutureError as error:  # the others can still be made
                    console.print(f"{part}, {world.name}, {name}: {error}")
                    failed.append(f"{part} {world.name} {name}")
                    continue
                if made is not None:
                    rows.append(row_of(name, made))
                    console.print(f"{part}, {world.name}, {name}: {rows[-1]['success_end']:.2f}")
                if settings.json is not None:
                    atomic.write_file(
                        settings.json, (json.dumps(rows, indent=1) + "\n").encode(), point="json"
                    )
    console.print(table(rows))
    if failed:
        raise SystemExit(f"Not made: {', '.join(failed)}.")
    return rows


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
