"""QT-Opt with the network of its paper, on a log with pictures: every weight learns, and the run acts."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from making.sets import dataset_of

from suture.algorithms.qt_opt import QTOpt
from suture.data.dataset import Dataset
from suture.errors import ConfigError
from suture.spaces import Box
from suture.training.run import open_run
from suture.training.train import train

PAPER = QTOpt(network="paper", loss="cross_entropy", layer_norm=True, samples=8, elites=2, batch_size=4)


def pictures() -> Dataset:
    rng = np.random.default_rng(0)
    seen = {
        "camera": rng.integers(256, size=(24, 20, 24, 3)).astype(np.uint8),
        "hand": rng.normal(size=(24, 2)).astype(np.float32),
    }
    data = dataset_of((8, 8, 8), observation=seen)
    return dataclasses.replace(data, reward=data.terminated.astype(np.float32))


def test_one_update_changes_every_weight_and_the_run_acts(tmp_path: Path) -> None:
    data = pictures()
    train(PAPER, data, out=tmp_path / "run", steps=2, checkpoint_every=1, log_every=1)
    run = open_run(tmp_path / "run")
    first, second = (run.at(step).newest.state.critic.net for step in (1, 2))
    for (path, before), after in zip(
        jax.tree_util.tree_leaves_with_path(first), jax.tree.leaves(second), strict=True
    ):
        assert not np.array_equal(before, after), jax.tree_util.keystr(path)
    rows: Any = jax.tree.map(lambda column: column[:3], data.observation)
    actions = run.policy.act(rows)
    assert actions.shape == (3, 2)
    assert np.ptp(actions, axis=0).min() > 0


def test_without_a_picture_it_is_refused(tmp_path: Path) -> None:
    data = dataset_of((8, 8))
    assert data.observation_space == Box((3,))
    with pytest.raises(ConfigError, match="network='paper' needs an observation with one picture"):
        train(PAPER, data, out=tmp_path / "run", steps=2)
