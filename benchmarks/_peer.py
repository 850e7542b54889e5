"""d3rlpy's side: run in an environment of its own, on our data; for the scores kept in results/peer/.

A run is kept with its seed, versions, the fingerprint of the data and the return of every episode.
"""

import dataclasses
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _kept import RESULTS, kept

from suture.data.dataset import Dataset
from suture.errors import SutureError
from suture.evaluation.rollout import Act, rollout

HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerRun:
    """What one of the peer's runs is asked for."""

    task: str
    environment: str
    algorithm: str
    steps: int
    seed: int
    episodes: int
    expectile: float
    inverse_temperature: float

    @property
    def file(self) -> Path:
        return RESULTS / "peer" / f"{self.task}-{self.algorithm}-{self.steps}-seed{self.seed}.json"


def python() -> Path:
    """The interpreter of the peer's environment: SUTURE_PEER, or what `make bench` builds."""
    return Path(os.environ.get("SUTURE_PEER", HERE.parent / ".peer" / "bin" / "python"))


def returns_of(run: PeerRun, data: Dataset, *, train: bool) -> dict[str, Any] | None:
    """The kept result of a run; where there is none, the result of training now, or None."""
    asked = {**dataclasses.asdict(run), "fingerprint": data.fingerprint}
    return kept(run.file, asked, (lambda: _train(run, data)) if train and python().is_file() else None)


def _train(run: PeerRun, data: Dataset) -> dict[str, Any]:
    settings = run.algorithm, run.steps, run.seed, run.expectile, run.inverse_temperature
    policy = left_by("peer_d3rlpy.py", data, settings)
    evaluation = rollout(
        acting(policy), run.environment, episodes=run.episodes, environments=run.episodes, seed=0
    )
    return {
        "versions": policy["versions"].tolist(),
        "transitions": int(policy["transitions"]),
        "updates_per_second": round(run.steps / float(policy["seconds"]), 1),
        "clipped": float(evaluation.clipped[0]),
        "returns": evaluation.returns[0].tolist(),
    }


def left_by(
    script: str, data: Dataset, settings: tuple[Any, ...], serve: Callable[[str], str | None] = lambda _: None
) -> dict[str, Any]:
    """The arrays that a script of the peer's leaves, given our data and its settings.

    serve: what is answered, if anything, to a line that the script writes.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target, errors = (Path(folder) / name for name in ("data.npz", "left.npz", "errors"))
        np.savez(source, **export(data))
        command = [python(), HERE / script, source, target, *settings]
        with (
            errors.open("w") as unread,
            subprocess.Popen(
                list(map(str, command)), env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=unread,
            ) as process,
        ):  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            for line in process.stdout:
                if (said := serve(line)) is not None:
                    process.stdin.write(f"{said}\n")
                    process.stdin.flush()
        if process.returncode:
            raise SutureError(f"d3rlpy's run of {script} failed:\n{errors.read_text()[-2000:]}")
        with np.load(target) as file:
            return {name: file[name] for name in file.files}


def export(data: Dataset) -> dict[str, Any]:
    """A dataset as the peer reads it: settled columns, the last next observations, and our scales."""
    observation = np.asarray(data.observation, np.float32)
    last = data.episode_start[1:] - 1
    space: Any = data.action_space
    return {
        "observation": observation, "action": np.asarray(data.action, np.float32), "reward": data.reward,
        "terminated": data.terminated, "episode_start": data.episode_start,
        "final_observation": np.asarray(data.next_observation, np.float32)[last],
        "has_final": data.has_next[last],
        "mean": observation.mean(axis=0, dtype=np.float64), "std": observation.std(axis=0, dtype=np.float64),
        "low": np.array(space.low, np.float32), "high": np.array(space.high, np.float32),
    }  # fmt: skip


def acting(policy: dict[str, Any]) -> Act:
    """The peer's policy in NumPy: observations (..., n) to actions.

    Raises SutureError where it does not answer as the peer did.
    """
    layers = [
        (policy[f"weight{number}"], policy[f"bias{number}"])
        for number in range(sum(name.startswith("weight") for name in policy))
    ]
    low, high = policy["low"], policy["high"]

    def act(observation: Any) -> Any:
        hidden = ((observation - policy["mean"]) / policy["scale"]).astype(np.float32)
        for weight, bias in layers[:-1]:
            hidden = np.maximum(hidden @ weight + bias, 0.0)
        weight, bias = layers[-1]
        return low + (np.tanh(hidden @ weight + bias) + 1) / 2 * (high - low)

    miss = float(np.abs(act(policy["observation"]) - policy["action"]).max())
    if miss > 1e-3 * float((high - low).max()):
        raise SutureError(f"The peer's policy was misread: its actions differ from d3rlpy's by {miss:g}.")
    return act
