"""The generalisation gap: one algorithm with and without fresh interaction, on equal numbers of updates.

    python benchmarks/generalisation_gap.py [--quick] [--json FILE] [--plot FILE]

Soft actor-critic on the pendulum, one update a step of experience. With interaction it learns from what its
own policy does; without, from a log of the same size: of random torques, or of what the trained policy thinks
best, with a random torque at one step in ten or with none; beside it, a method that stays within the log. The
lecture's figure 1.
"""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from _bench import Options
from rich.console import Console
from rich.table import Table

from suture.algorithms.base import Algorithm, Spec
from suture.algorithms.iql import IQL
from suture.algorithms.sac import SAC
from suture.data.stage import Column, Rows
from suture.evaluation.rollout import rollout
from suture.keys import key_for
from suture.report.figures import curves
from suture.spaces import Box
from suture.training.program import Members, Program

ENVIRONMENT, TORQUE, LENGTH = "Pendulum-v1", 2.0, 200
HIDDEN = (64, 64)
SCALE = np.array([1.0, 1.0, 8.0], np.float32)
COLUMNS = (
    Column("observation", (3,), 0), Column("action", (1,), 3), Column("reward", (), 4),
    Column("discount", (), 5), Column("next_observation", (3,), 6),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """One algorithm with and without fresh interaction."""

    episodes: int = 60
    """Episodes of experience, of 200 steps each; as many updates as steps."""
    seeds: int = 3
    """Training seeds."""
    played: int = 10
    """Episodes of each evaluation."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the curves into this SVG file."""


@functools.cache
def compiled(algorithm: Algorithm[Any], capacity: int) -> Program:
    """One program for all learners of one algorithm."""
    spec = Spec(observation=Box((3,)), action=Box((1,), low=(-1.0,), high=(1.0,)))
    return Program(algorithm, spec, capacity, streamed=False, continue_diverged=True)


class Learner:
    """One seed: an algorithm, its state, and the experience that it samples from."""

    def __init__(self, algorithm: Algorithm[Any], seed: int, capacity: int):
        self.program = compiled(algorithm, capacity)
        self.members = Members(seeds=np.array([seed], np.uint32), fields={})
        self.state, self.steps = self.program.init(self.members), 0
        self.algorithm, self.capacity = algorithm, capacity
        self._act = jax.jit(lambda state, seen, key: algorithm.policy(state)(seen).sample(key))
        self._mode = jax.jit(lambda state, seen: algorithm.policy(state)(seen).mode())

    def learn(self, experience: np.ndarray[Any, Any], updates: int) -> None:
        """`updates` updates on the rows so far; all of one shape, so that there is one program."""
        packed = np.zeros((self.capacity, experience.shape[1]), np.float32)
        packed[: len(experience)] = experience
        starts = np.arange(self.capacity, dtype=np.int32) % len(experience)
        rows = Rows(jnp.asarray(packed), {}, COLUMNS, jnp.asarray(starts))
        self.state, _ = self.program.run(self.state, self.members, rows, self.steps, updates)
        self.steps += updates

    @property
    def single(self) -> Any:
        """The state of the one member."""
        return jax.tree.map(lambda leaf: leaf[0], self.state)

    def episode(self, seed: int, *, noise: float | None = None) -> np.ndarray[Any, Any]:
        """An episode of the policy, as packed rows (200, 9).

        noise: the share of random torques among what it thinks best; None: its own draws.
        """
        generator, state = np.random.default_rng(seed), self.single

        def act(seen: np.ndarray[Any, Any], step: int) -> Any:
            if noise is None:
                return self._act(state, seen / SCALE, key_for(seed, "act", step))
            if generator.random() < noise:
                return generator.uniform(-1, 1, 1)
            return self._mode(state, (seen / SCALE).astype(np.float32))

        return record(act, seed)

    def worth(self, episodes: int) -> float:
        """Mean return of the policy's mode."""
        state = self.single
        played = rollout(
            lambda seen: TORQUE * np.asarray(self._mode(state, (seen[0] / SCALE).astype(np.float32)))[None],
            ENVIRONMENT, episodes=episodes, environments=episodes, seed=7,
        )  # fmt: skip
        return float(played.returns.mean())


def record(act: Any, seed: int) -> np.ndarray[Any, Any]:
    """An episode as packed rows: scaled observations, unit actions, tenths of rewards."""
    environment, rows = gymnasium.make(ENVIRONMENT), list[np.ndarray[Any, Any]]()
    seen, _ = environment.reset(seed=seed)
    for step in range(LENGTH):
        action = np.clip(np.asarray(act(seen, step), np.float32), -1, 1)
        after, reward, *_ = environment.step(TORQUE * action)
        rows.append(np.concatenate([seen / SCALE, action, [float(reward) / 10, 1.0], after / SCALE]))
        seen = after
    return np.array(rows, np.float32)


def online(settings: Settings, seed: int) -> tuple[list[float], Learner]:
    """With interaction: returns after each evaluation, and what was learned."""
    learner = Learner(SAC(hidden=HIDDEN), seed, settings.episodes * LENGTH)
    experience, worths = np.zeros((0, 9), np.float32), [learner.worth(settings.played)]
    for episode in range(settings.episodes):
        experience = np.concatenate([experience, learner.episode(1_000 * seed + episode)])
        learner.learn(experience, LENGTH)
        if (episode + 1) % every(settings) == 0:
            worths.append(learner.worth(settings.played))
    return worths, learner


def logs_of(learner: Learner, settings: Settings, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Name -> a log of as many episodes as were played online."""
    generator = np.random.default_rng(seed)
    first = 500_000 + 1_000 * seed

    def log(play: Callable[[int], np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        return np.concatenate([play(first + episode) for episode in range(settings.episodes)])

    return {
        "random torques": log(lambda episode: record(lambda *_: generator.uniform(-1, 1, 1), episode)),
        "trained policy, a tenth random": log(lambda episode: learner.episode(episode, noise=0.1)),
        "trained policy alone": log(lambda episode: learner.episode(episode, noise=0.0)),
    }


def offline(
    algorithm: Algorithm[Any], log: np.ndarray[Any, Any], settings: Settings, seed: int
) -> list[float]:
    """Without interaction: as many updates, on a log."""
    learner = Learner(algorithm, seed, len(log))
    worths = [learner.worth(settings.played)]
    for episode in range(settings.episodes):
        learner.learn(log, LENGTH)
        if (episode + 1) % every(settings) == 0:
            worths.append(learner.worth(settings.played))
    return worths


def every(settings: Settings) -> int:
    """Episodes between evaluations."""
    return max(1, settings.episodes // 10)


def main(settings: Settings) -> list[dict[str, Any]]:
    """Train, print, draw."""
    if settings.quick:
        settings = dataclasses.replace(settings, episodes=3, seeds=1, played=3)
    found: dict[str, list[list[float]]] = {}
    for seed in range(settings.seeds):
        worths, learner = online(settings, seed)
        found.setdefault("sac, interacting", []).append(worths)
        for name, log in logs_of(learner, settings, seed).items():
            for algorithm in (SAC(hidden=HIDDEN), IQL(hidden=HIDDEN)):
                label = f"{algorithm.name}, {name}"
                found.setdefault(label, []).append(offline(algorithm, log, settings, seed))
    rows = [
        {"name": name, "x": index * every(settings) * LENGTH, "mean": float(np.mean(column)),
         "low": float(np.min(column)), "high": float(np.max(column))}
        for name, worths in found.items() for index, column in enumerate(zip(*worths, strict=True))
    ]  # fmt: skip
    table = Table(title="Return after as many updates (pendulum, mean over seeds)", title_justify="left")
    for column in ("learner", "at the end", "lowest seed", "highest seed"):
        table.add_column(column, justify="left" if column == "learner" else "right")
    for name in found:
        last = [row for row in rows if row["name"] == name][-1]
        table.add_row(name, *(f"{last[key]:.0f}" for key in ("mean", "low", "high")))
    Console().print(table)
    if settings.plot is not None:
        drawing = curves(
            rows, title="The generalisation gap", x="updates", y="undiscounted return", label="learner",
            subtitle="Soft actor-critic on the pendulum with and without fresh interaction; IQL on the logs.",
        )  # fmt: skip
        settings.plot.write_text(drawing, encoding="utf-8")
    if settings.json is not None:
        settings.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
