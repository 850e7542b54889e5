"""A classifier of success: how far its labels of what it has not seen are true."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from making.logs import built, walk_log

from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.load import load
from suture.envs.composite.certify import certify
from suture.envs.composite.collect import Recipe, collect, make
from suture.errors import ConfigError, DataRefused
from suture.training.success import successes

RECIPE = Recipe(episodes=200, seed=2, labels="true")


@pytest.fixture(scope="module")
def log() -> Dataset:
    pytest.importorskip("mujoco", reason="mujoco is an extra")
    return build(collect(RECIPE, workers=1)).admit()


def test_labels_of_what_was_held_out_agree_with_the_truth(log: Dataset) -> None:
    """Learned from half of the task's episodes; of 3,500 others, in all stages, 0.99 at least are right."""
    truth = np.asarray(log.columns["next_stage"] == 5)
    learned = np.asarray(log.columns["set"] == "task") & (log.episode_index % 2 == 0)
    said = successes(log, learned, steps=300)
    held_out = ~learned
    assert (said == truth)[held_out].mean() > 0.99
    assert said[held_out & truth].mean() > 0.9
    assert said[held_out & ~truth].mean() < 0.01
    assert (held_out & truth).sum() > 15


def test_a_log_can_be_labelled_by_what_the_task_s_episodes_teach(log: Dataset, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, labels="classifier")
    with pytest.raises(ConfigError, match="labels are classifier and a classifier was not passed"):
        make(recipe, tmp_path / "log", workers=1)
    make(recipe, tmp_path / "log", workers=1, classifier=partial(successes, steps=300))
    stored = load(tmp_path / "log")
    task = np.asarray(log.columns["set"] == "task")
    np.testing.assert_array_equal(stored.observation, log.observation)
    np.testing.assert_array_equal(stored.reward[task], log.reward[task])
    assert (stored.reward == log.reward)[~task].mean() > 0.99
    paid = np.unique(stored.columns["set"][~task & (stored.reward > 0)]).tolist()
    assert paid == ["D"], "prior data are rewarded where they show the last step"


def test_true_labels_reward_prior_data_too(log: Dataset) -> None:
    last = np.asarray(log.columns["set"] == "D")
    assert log.reward is not None
    assert 0.2 < certify(log).success["D"] < 0.8
    np.testing.assert_array_equal(log.reward > 0, log.terminated)
    assert log.reward[last].sum() == certify(log).success["D"] * len(np.unique(log.episode_index[last]))
    assert certify(log).never_shown.holds
    assert "D" not in Recipe(episodes=200).counts, "without labels, leaving would be worth nothing"


def test_one_kind_of_labels_teaches_nothing() -> None:
    data = built(walk_log((4, 5)))
    with pytest.raises(DataRefused, match="0 of 3 labelled transitions"):
        successes(dataclasses.replace(data, reward=np.zeros(9, np.float32)), np.arange(9) < 3)
