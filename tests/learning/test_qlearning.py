"""DQN finds the optimum of a log that shows everything; QT-Opt finds actions that succeed, over two steps."""

from pathlib import Path
from typing import Any

import numpy as np
from making.sets import dataset_of

from suture import spaces
from suture.algorithms.qlearning import DQN
from suture.algorithms.qt_opt import QTOpt
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.log import Reading
from suture.envs.tabular import canonical, evaluate, sample_log
from suture.training.train import train


def test_dqn_finds_the_optimum_of_a_log_that_shows_everything(tmp_path: Path) -> None:
    """It needs values over many steps: one-step greedy is worth 4.5 here, the optimum 11.1."""
    log = sample_log(canonical(), np.full((4, 3), 1 / 3), episodes=100, horizon=20, seed=0)
    algorithm = DQN(hidden=(32,), discount=0.9, target_rate=0.05, critic_learning_rate=3e-3, batch_size=64)
    run = train(algorithm, build(log, Reading()), steps=2_500, out=tmp_path / "run", normalise="none")
    chosen = run.policy.act(np.eye(4, dtype=np.float32))
    assert evaluate(canonical(), np.eye(3)[chosen])[2] > 11.0


STEP, NEAR, LONGEST = 0.5, 0.1, 4


def reach_log(episodes: int, seed: int) -> Dataset:
    """A point on a line that random actions move by up to 0.5; within 0.1 of 0 it has succeeded."""
    generator = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {"seen": [], "action": [], "after": [], "won": [], "cut": []}
    lengths = list[int]()
    for _ in range(episodes):
        place = generator.uniform(-1, 1)
        for step in range(1, LONGEST + 1):
            action = generator.uniform(-1, 1)
            after = np.clip(place + STEP * action, -1, 1)
            won = abs(after) < NEAR
            values = (place, action, after, won, step == LONGEST and not won)
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
            place = after
            if won:
                break
        lengths.append(step)
    made = {name: np.array(column) for name, column in columns.items()}
    data = dataset_of(tuple(lengths), observation=made["seen"][:, None].astype(np.float32))
    return Dataset(
        observation=data.observation, next_observation=made["after"][:, None].astype(np.float32),
        action=made["action"][:, None].astype(np.float32), reward=made["won"].astype(np.float32),
        terminated=made["won"], truncated=made["cut"], has_next=np.ones(len(data), bool),
        episode_start=data.episode_start, observation_space=data.observation_space,
        action_space=spaces.Box((1,), low=(-1.0,), high=(1.0,)), source="reach",
    )  # fmt: skip


def successes(act: Any, steps: int) -> float:
    """The share of 41 starts from which a policy is at 0 within some steps."""
    place, won = np.linspace(-1, 1, 41), np.zeros(41, bool)
    for _ in range(steps):
        action = act(place[:, None].astype(np.float32))[:, 0]
        place = np.where(won, place, np.clip(place + STEP * action, -1, 1))
        won |= np.abs(place) < NEAR
    return float(won.mean())


def test_qt_opt_reaches_over_two_steps(tmp_path: Path) -> None:
    """Random actions succeed in one of six steps. From beyond 0.6 the first step only comes nearer: its
    value is that of the second."""
    data = reach_log(400, seed=0)
    algorithm = QTOpt(
        hidden=(64, 64), loss="cross_entropy", samples=16, elites=3, lag=50, target_rate=0.02,
        critic_learning_rate=2e-3, batch_size=128,
    )  # fmt: skip
    run = train(algorithm, data, steps=1_500, out=tmp_path / "run")
    assert data.reward is not None
    assert data.reward.mean() < 0.25
    assert successes(run.policy.act, 1) < 0.7
    assert successes(run.policy.act, 2) > 0.9
