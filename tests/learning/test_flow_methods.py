"""FQL and IFQL where the behaviour has two ways to act, and their mean is none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.sets import dataset_of

from suture import spaces
from suture.algorithms.fql import FQL
from suture.algorithms.ifql import IFQL
from suture.data.dataset import Dataset
from suture.training.train import train

SMALL: dict[str, Any] = {
    "hidden": (32, 32), "batch_size": 128, "discount": 0.9, "critic_learning_rate": 2e-3, "target_rate": 0.05,
}  # fmt: skip


@pytest.fixture(scope="module")
def two_ways() -> Dataset:
    """Single steps: -0.8 or 0.8, whatever is seen; the way of its sign pays 1, the other nothing."""
    generator, rows = np.random.default_rng(0), 600
    seen = generator.choice([-1.0, 1.0], rows)
    side = generator.choice([-1.0, 1.0], rows)
    action = 0.8 * side + 0.03 * generator.normal(size=rows)
    data = dataset_of((1,) * rows, observation=seen[:, None].astype(np.float32))
    return Dataset(
        observation=data.observation, next_observation=data.next_observation,
        action=action[:, None].astype(np.float32), reward=(side == seen).astype(np.float32),
        terminated=data.terminated, truncated=data.truncated, has_next=data.has_next,
        episode_start=data.episode_start, observation_space=data.observation_space,
        action_space=spaces.Box((1,), low=(-1.0,), high=(1.0,)), source="two ways",
    )  # fmt: skip


@pytest.mark.parametrize(("algorithm", "near"), [
    (FQL(**SMALL, bc_weight=0.1, actor_learning_rate=2e-3), 0.35),
    (IFQL(**SMALL, value_learning_rate=2e-3, flow_learning_rate=2e-3), 0.15),
], ids=lambda value: getattr(value, "name", ""))  # fmt: skip
def test_the_better_of_two_ways_is_taken(
    algorithm: Any, near: float, two_ways: Dataset, tmp_path: Path
) -> None:
    """In all of 50 draws for either observation, and as the mode."""
    run = train(algorithm, two_ways, steps=1_000, out=tmp_path / "run")
    seen = np.repeat([-1.0, 1.0], 50)[:, None].astype(np.float32)
    wanted = 0.8 * seen
    for actions in (run.policy.act(seen), run.policy.act(seen, sample=True, seed=3)):
        assert (np.abs(actions - wanted) < near).mean() > 0.97
