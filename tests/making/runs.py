"""Small training runs: a learner that compiles at once, logs on the disk, and runs in child processes."""

import dataclasses
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from making.logs import built, walk_log
from suture.algorithms.base import Algorithm, Batch, Metrics, Spec
from suture.config import bounded
from suture.data.dataset import Dataset
from suture.keys import Key
from suture.training.program import Program
from suture.training.run import Run
from suture.training.train import Watch, train

LENGTHS = (10, 12, 9) * 6
STATE = "state.safetensors"


class ToyState(eqx.Module):
    """One number."""

    value: Any


@dataclasses.dataclass(frozen=True)
class Toy(Algorithm[ToyState]):
    """Tracks a mean over the batch; it compiles at once. With `growth` > 1 its value runs away."""

    name: ClassVar[str] = "toy"

    batch_size: int = bounded(8, at_least=1)
    rate: float = bounded(0.1, above=0.0, at_most=1.0)
    growth: float = bounded(1.0, above=0.0)
    limit: float = bounded(1e3, above=0.0, traced=False)

    def init(self, spec: Spec, key: Key) -> ToyState:
        return ToyState(jnp.ones(()))

    def update(self, state: ToyState, batch: Batch, key: Key) -> tuple[ToyState, Metrics]:
        target = batch.reward.mean() + batch.discount.mean() + (batch.next_observation**2).mean()
        value = jnp.where(self.growth > 1, self.growth, 1 - self.rate) * state.value
        value += jnp.where(self.growth > 1, 0.0, self.rate * (target + batch.action.mean()))
        return ToyState(value), {"value/max_abs": jnp.abs(value), "toy/seen": batch.observation.mean()}

    def policy(self, state: ToyState) -> Any:
        raise NotImplementedError

    def value_limit(self, spec: Spec) -> float:
        return self.limit / 10  # the loop allows ten times that


def walk(lengths: tuple[int, ...] = LENGTHS, **more: Any) -> Dataset:
    """Episodes of a random walk, through the gate."""
    return built(walk_log(lengths, **more))


def poisoned(row: int, lengths: tuple[int, ...] = LENGTHS) -> Dataset:
    """The walk with NaN in one row's observation, put there behind the gate."""
    data = walk(lengths)
    observation = np.array(data.observation)
    observation[row, 1] = np.nan
    return dataclasses.replace(data, observation=observation)


def saved_walk(path: Path, lengths: tuple[int, ...] = LENGTHS, **more: Any) -> Path:
    """The walk as an NPZ file."""
    log = walk_log(lengths, **more)
    columns = {"observations": log.observation, "actions": log.action, "rewards": log.reward,
               "next_observations": log.next_observation, "terminals": log.terminal}  # fmt: skip
    np.savez(path, **{name: np.asarray(array) for name, array in columns.items()})
    return path


class Stop(Exception):
    """Ends a run in the middle, as a kill would: nothing is written after it."""


def train_until(step: int, algorithm: Any, data: Dataset, **options: Any) -> None:
    """Train, and break off at the first chunk boundary at or after `step`, without a last checkpoint."""

    def stop(now: int) -> None:
        if now >= step:
            raise Stop

    try:
        train(algorithm, data, watch=Watch(progress=stop), **options)
    except Stop:
        return
    raise AssertionError(f"the run was over before step {step}")


def live(out: Path, options: dict[str, Any]) -> None:
    """Train until something kills this process; the next one takes the run up."""
    train(Toy(), walk(), out=out, resume=True, **options)


def told(algorithm: Any, data: Dataset, **options: Any) -> tuple[Run, str]:
    """A run, and all that people were told meanwhile."""
    said = list[str]()
    return train(algorithm, data, watch=Watch(say=said.append), **options), "\n".join(said)


def checkpoints(run: Path) -> dict[str, tuple[bytes, bytes]]:
    """Folder name -> bytes of the state and of the manifest."""
    return {
        folder.name: ((folder / STATE).read_bytes(), (folder / "manifest.json").read_bytes())
        for folder in sorted((run / "checkpoints").iterdir())
    }


def newest(run: Path) -> tuple[str, tuple[bytes, bytes]]:
    """Name and content of the last checkpoint."""
    return list(checkpoints(run).items())[-1]


def logged(run: Path | Run) -> list[tuple[int, int]]:
    """(step, member) of every line of metrics, in the order of the file."""
    lines = (run if isinstance(run, Run) else Run(run, Toy)).metrics
    return [(line["step"], line["member"]) for line in lines]


def suture(*arguments: object, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a child process."""
    return subprocess.run(
        [sys.executable, "-m", "suture", *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def start(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """The command line in a child process that is not waited for."""
    return subprocess.Popen(
        [sys.executable, "-m", "suture", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip


program = functools.cache(Program)
"""Like `Program`, compiled once for equal arguments."""

KILLED = -signal.SIGKILL
