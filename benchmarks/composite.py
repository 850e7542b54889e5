"""Steps a second of the five-step task: from state and with 64x64 pictures, on one core and on two.

    python benchmarks/composite.py [--quick] [--json FILE]

Random actions, resets included, through Gymnasium's own wrappers. `of its CPU` is the same rate for each
second of CPU time that a process got: on a shared machine it is what the code costs, and the rate beside it
is what was left for it. The limit is MuJoCo's `mj_step` alone. Last, where the time of a step goes.
"""

import dataclasses
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import gymnasium
import numpy as np
import tyro
from _bench import Options, Row, rate_of, show, write_rows

from suture.envs.composite.env import COMPOSITE, COMPOSITE_IMAGE, REACH, Composite, command_of, state_of
from suture.envs.composite.scene import SUBSTEPS
from suture.envs.gripper import write

IDS = {"state": COMPOSITE, "image": COMPOSITE_IMAGE}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Steps a second of the five-step task."""

    seconds: float = 3.0
    """Of each measurement."""
    cores: tuple[int, ...] = (1, 2)
    """Processes at once."""
    rounds: int = 3
    """Measurements of each, of which the median counts."""


def play(kind: str, seconds: float, seed: int = 0) -> tuple[int, float, float]:
    """Steps taken, seconds, and seconds of CPU time, of random actions in one process."""
    env, generator = gymnasium.make(IDS[kind], disable_env_checker=True), np.random.default_rng(seed)
    env.reset(seed=seed)
    actions = generator.uniform(-1.0, 1.0, (1000, 8)).astype(np.float32)
    steps, began, began_cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        _, _, ended, truncated, _ = env.step(actions[steps % len(actions)])
        steps += 1
        if ended or truncated:
            env.reset()
    return steps, time.perf_counter() - began, time.process_time() - began_cpu


def bare(seconds: float) -> float:
    """Steps a second of the simulation alone."""
    scene = Composite().scene
    return rate_of(
        lambda: scene._engine.mj_step(scene.model, scene.data, nstep=SUBSTEPS), units=1, seconds=seconds
    )


def measure(kind: str, cores: int, settings: Settings) -> Row:
    """One row: some processes at once."""
    rates: dict[str, list[float]] = {"ours": [], "limit": []}
    cpu = list[float]()
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        list(pool.map(play, [kind] * cores, [0.2] * cores))
        for _ in range(settings.rounds):
            told = list(pool.map(play, [kind] * cores, [settings.seconds] * cores, range(cores)))
            rates["ours"].append(sum(steps / wall for steps, wall, _ in told))
            rates["limit"].append(cores * bare(0.3))
            cpu.append(sum(steps for steps, _, _ in told) / sum(used for _, _, used in told))
    return Row.of(f"{kind}, {cores} process{'es' * (cores > 1)}", rates, of_its_CPU=f"{np.median(cpu):,.0f}")


def profile(repeats: int = 400) -> dict[str, float]:
    """Microseconds of CPU time of each part of a step with pictures."""
    env = Composite("image")
    env.reset(seed=0, options={"stage": 2})
    scene, still = env.scene, write(np.zeros(3), 0.0, 0, REACH)
    parts: dict[str, Any] = {
        "simulation": lambda: scene._engine.mj_step(scene.model, scene.data, nstep=SUBSTEPS),
        "action, holds, limits and simulation": lambda: scene.act(command_of(scene, still)),
        "picture": env.view.picture,
        "state": lambda: state_of(scene),
        "whole step": lambda: env.step(still),
    }
    told = dict[str, float]()
    for name, work in parts.items():
        began = time.process_time()
        for _ in range(repeats):
            work()
        told[name] = 1e6 * (time.process_time() - began) / repeats
    return told


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.quick:
        settings = dataclasses.replace(settings, seconds=0.7, rounds=1)
    rows = [measure(kind, cores, settings) for kind in IDS for cores in settings.cores]
    parts = profile()
    notes = ["Microseconds of CPU time: " + ", ".join(f"{name} {us:.0f}" for name, us in parts.items()) + "."]
    show("Steps a second of the five-step task", "1/s", rows, notes)
    write_rows(settings.json, [dataclasses.replace(row, details=row.details | parts) for row in rows])


if __name__ == "__main__":
    main(tyro.cli(Settings))
