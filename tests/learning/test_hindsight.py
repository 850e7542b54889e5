"""A policy that is told its goal joins fragments of three steps into ways across the whole line."""

from pathlib import Path

import numpy as np
import pytest
from making.sets import dataset_of

from suture import spaces
from suture.algorithms.awr import AWR
from suture.algorithms.qlearning import DQN
from suture.data.dataset import Dataset
from suture.errors import ConfigError
from suture.training.run import open_run
from suture.training.train import train

PLACES, LENGTH = 9, 3
SMALL = DQN(hidden=(64,), discount=0.9, target_rate=0.05, critic_learning_rate=3e-3, batch_size=64)


def fragments(count: int) -> Dataset:
    """Left or right by one, at random, for three steps from anywhere; places are one-hot, walls hold."""
    generator = np.random.default_rng(0)
    action = generator.integers(2, size=(count, LENGTH))
    place = [generator.integers(PLACES, size=count)]
    for step in range(LENGTH):
        place.append(np.clip(place[-1] + 2 * action[:, step] - 1, 0, PLACES - 1))
    seen = np.eye(PLACES, dtype=np.float32)[np.stack(place, axis=1)]
    data = dataset_of((LENGTH,) * count, observation=seen[:, :-1].reshape(-1, PLACES))
    rows = len(data)
    return Dataset(
        observation=data.observation, next_observation=seen[:, 1:].reshape(-1, PLACES),
        action=action.reshape(-1).astype(np.int32), reward=None, terminated=np.zeros(rows, bool),
        truncated=np.zeros(rows, bool), has_next=np.ones(rows, bool), episode_start=data.episode_start,
        observation_space=data.observation_space, action_space=spaces.Discrete(2), source="line",
    )  # fmt: skip


def test_any_place_is_reached_from_any_other(tmp_path: Path) -> None:
    log = fragments(200)
    run = train(SMALL, log, steps=1_000, out=tmp_path / "run", hindsight=8, normalise="none", validation=0.1)
    here, there = (one.ravel() for one in np.meshgrid(np.arange(PLACES), np.arange(PLACES)))
    told = {"observation": np.eye(PLACES)[here], "desired_goal": np.eye(PLACES)[there]}
    right = run.policy.act(told)
    wrong = (here != there) & (right != (there > here))
    assert not wrong.any(), np.stack([here, there], axis=1)[wrong]
    assert open_run(run.path).recipe.observation == run.recipe.observation == run.policies.observation_space
    again = train(SMALL, log, steps=1_000, out=tmp_path / "run", hindsight=8, normalise="none",
                  validation=0.1, resume=True)  # fmt: skip
    assert again.newest.step == 1_000


@pytest.mark.parametrize("algorithm", [DQN(n_step=3), AWR()])
def test_what_looks_beyond_one_transition_is_refused(algorithm: DQN | AWR, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hindsight_length = 1"):
        train(algorithm, fragments(5), steps=1, hindsight=2, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
