"""Fine-tuning in small: a learner that compiles at once, and all that a run leaves, to compare."""

import dataclasses
import os
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from making.point import POINT, point_log
from making.runs import Stop
from suture.algorithms.base import Algorithm, Batch, Metrics, Spec
from suture.config import bounded
from suture.keys import Key
from suture.nets.distributions import Gaussian, Point
from suture.nets.encoder import Observation
from suture.nets.policies import Policy
from suture.online.finetune import finetune
from suture.storage import atomic
from suture.training.run import Run
from suture.training.train import Watch, train

FIELDS: dict[str, Any] = {
    "steps": 60, "window": 3, "checkpoint_every": 20, "log_every": 10, "share_first": 0.5, "share_over": 30,
}  # fmt: skip


class NudgeState(eqx.Module):
    """The gain of a linear policy, in `size` parts."""

    gain: Any


class LinearPolicy(Policy):
    """action = gain * observation, with some noise or none."""

    gain: Any
    noisy: bool = eqx.field(static=True)

    def __call__(self, observation: Observation, key: Key | None = None) -> Any:
        mean = self.gain * observation
        return Gaussian(mean, jnp.full(1, -3.0)) if self.noisy else Point(jnp.clip(mean, -1.0, 1.0))


@dataclasses.dataclass(frozen=True)
class Nudge(Algorithm[NudgeState]):
    """Moves a gain by what a batch holds: every number of it, and the key, leave their mark."""

    name: ClassVar[str] = "nudge"

    batch_size: int = bounded(8, at_least=1)
    rate: float = bounded(0.05, above=0.0)
    noisy: bool = bounded(True)
    size: int = bounded(1, at_least=1)

    def init(self, spec: Spec, key: Key) -> NudgeState:
        return NudgeState(jax.random.normal(key, (self.size,)))

    def update(self, state: NudgeState, batch: Batch, key: Key) -> tuple[NudgeState, Metrics]:
        assert batch.reward is not None
        assert batch.discount is not None
        told = batch.reward * batch.discount + (batch.action * batch.next_observation)[:, 0]
        gain = state.gain + self.rate * (told.mean() + 0.1 * jax.random.normal(key))
        return NudgeState(jnp.clip(gain, -2.0, 2.0)), {"nudge/told": told.mean()}

    def policy(self, state: NudgeState) -> Policy:
        return LinearPolicy(state.gain.mean(), self.noisy)


def offline(folder: Path, algorithm: Algorithm[Any] | None = None, **options: Any) -> Run:
    """A run on the point's log to start from."""
    chosen = algorithm or Nudge()
    return train(chosen, point_log(), out=folder, **{"steps": 10, "checkpoint_every": 10, **options})


def tuned(run: Run, out: Path, environment: Any = POINT, **options: Any) -> Run:
    """The run fine-tuned in the point's environment."""
    return finetune(run, environment, data=point_log(), out=out, **{**FIELDS, **options})


def told(run: Run, out: Path, **options: Any) -> tuple[Run, str]:
    """The same, and all that people were told meanwhile."""
    said = list[str]()
    return tuned(run, out, watch=Watch(say=said.append), **options), "\n".join(said)


def left(run: Path) -> dict[str, bytes]:
    """Everything exact that a fine-tuned run leaves: checkpoints, what it collected, the summary."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for folder in ("checkpoints", "online")
        for path in sorted((run / folder).rglob("*"))
        if path.is_file()
    }


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics without what clocks say."""
    clocks = {"seconds", "updates_per_second"}
    lines = Run(run, Nudge).metrics
    return [{name: value for name, value in line.items() if name not in clocks} for line in lines]


def live(start: Path, out: Path, crash_at: str) -> None:
    """Fine-tune until something, or a crash point, kills this process; the next one takes the run up."""
    os.environ["SUTURE_CRASH_AT"] = crash_at
    tuned(Run(start, Nudge), out, steps=240, resume=True)


def break_off(monkeypatch: pytest.MonkeyPatch, point: str, survived: int) -> None:
    """From now on raise `Stop` at a crash point, once it was passed so many times."""
    left_over = [survived]

    def crash(name: str) -> None:
        left_over[0] -= name == point
        if left_over[0] < 0:
            raise Stop

    monkeypatch.setattr(atomic, "crash_point", crash)
