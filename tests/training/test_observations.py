"""Every kind of observation and action passes through the whole path: store, train, checkpoint, act."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.logs import built, walk_log
from making.runs import checkpoints, train_until

from suture import spaces
from suture.algorithms.bc import BC
from suture.data.dataset import Dataset
from suture.data.formats import native
from suture.data.load import load
from suture.data.log import Log
from suture.errors import RefusedInput
from suture.spaces import Box, Dict, Discrete, Space
from suture.training.run import open_run
from suture.training.train import train

pytestmark = pytest.mark.usefixtures("compiled_once")

OBSERVATIONS: dict[str, Space] = {
    "matrix": Box((2, 3)),
    "choice": Discrete(4),
    "image": Box((8, 8, 3), "uint8"),
    "dict": Dict.of({"camera": Box((8, 8, 1), "uint8"), "joints": Box((3,)), "mode": Discrete(2)}),
}


def drawn(space: Space, rng: np.random.Generator, rows: int) -> Any:
    if isinstance(space, Dict):
        return {name: drawn(inner, rng, rows) for name, inner in space.items}
    if isinstance(space, Discrete):
        return rng.integers(space.n, size=rows)
    if space.dtype == "uint8":
        return rng.integers(256, size=(rows, *space.shape)).astype(np.uint8)
    return rng.normal(size=(rows, *space.shape)).astype(np.float32)


def log_of(space: Space, *, discrete: bool) -> Log:
    """Four episodes of random observations of a space; the next observation is the one of the next row."""
    log, rng = walk_log((8, 8, 8, 8)), np.random.default_rng(0)
    every = drawn(space, rng, 33)
    action = rng.integers(3, size=32) if discrete else log.action
    return dataclasses.replace(
        log,
        observation=spaces.map_arrays(lambda array: array[:-1], every),
        next_observation=spaces.map_arrays(lambda array: array[1:], every),
        action=action,
        observation_space=space,
        action_space=Discrete(3) if discrete else log.action_space,
    )


def stored(space: Space, folder: Path, *, discrete: bool) -> Dataset:
    native.write(built(log_of(space, discrete=discrete)).admit(), folder)
    return load(folder)


def test_matrices_pass_through_the_whole_path(tmp_path: Path) -> None:
    space = OBSERVATIONS["matrix"]
    data = stored(space, tmp_path / "store", discrete=False)
    assert spaces.leaves_of(data.observation_space).keys() == spaces.leaves_of(space).keys()
    train(BC(hidden=(8,), batch_size=4), data, out=tmp_path / "run", steps=20, checkpoint_every=10)
    check_acting(tmp_path / "run", data)


def check_acting(path: Path, data: Dataset) -> None:
    run = open_run(path)
    observation = spaces.map_arrays(lambda array: array[:5], data.observation)
    actions = run.policy.act(observation)
    assert actions.shape == (5, 2)
    assert (np.abs(actions) <= 1).all()
    one = run.policy.act(spaces.map_arrays(lambda array: array[0], observation))
    np.testing.assert_allclose(one, actions[0], rtol=1e-5, atol=1e-6)
    sampled = run.policy.act(observation, sample=True, seed=1)
    assert not np.array_equal(sampled, actions)
    assert np.array_equal(sampled, run.policy.act(observation, sample=True, seed=1))


def test_choices_are_learned_from_choices(tmp_path: Path) -> None:
    data = stored(OBSERVATIONS["choice"], tmp_path / "store", discrete=True)
    train(BC(hidden=(8,), batch_size=4), data, out=tmp_path / "run", steps=20, checkpoint_every=10)
    actions = open_run(tmp_path / "run").policy.act(np.arange(4))
    assert actions.shape == (4,)
    assert actions.dtype.kind == "i"
    assert set(actions.tolist()) <= {0, 1, 2}


def test_images_pass_and_resume_exactly(tmp_path: Path) -> None:
    """Images are trained step by step on a CPU: the other path through the program."""
    data = stored(OBSERVATIONS["image"], tmp_path / "store", discrete=False)
    algorithm, every = BC(hidden=(8,), batch_size=4), {"steps": 20, "checkpoint_every": 5, "log_every": 5}
    train(algorithm, data, out=tmp_path / "whole", **every)
    train_until(12, algorithm, data, out=tmp_path / "broken", **every)
    train(algorithm, data, out=tmp_path / "broken", resume=True, **every)
    assert checkpoints(tmp_path / "broken") == checkpoints(tmp_path / "whole")
    check_acting(tmp_path / "broken", data)


def test_dictionaries_pass(dict_run: Any) -> None:
    check_acting(dict_run.path, load(dict_run.path.parent / "store"))


@pytest.mark.parametrize(
    ("observation", "said"),
    [
        ({"camera": np.zeros((8, 8, 1))}, "takes an observation of camera, joints, mode; found camera"),
        (np.zeros(3), "takes an observation of camera, joints, mode"),
        (
            {"camera": np.zeros((8, 8, 1)), "joints": np.zeros(4), "mode": np.zeros(())},
            "shape [3] at 'joints'",
        ),
        (
            {"camera": np.zeros((2, 8, 8, 1)), "joints": np.zeros(3), "mode": np.zeros(())},
            "Some parts of the observation have a batch dimension",
        ),
        (
            {"camera": np.zeros((8, 8, 1)), "joints": np.full(3, np.nan), "mode": np.zeros(())},
            "'joints' holds NaN",
        ),
    ],
)
def test_an_observation_that_does_not_fit_is_refused(observation: Any, said: str, dict_run: Any) -> None:
    with pytest.raises(RefusedInput) as refused:
        dict_run.policy.act(observation)
    assert said in str(refused.value)


@pytest.fixture(scope="module")
def dict_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("dict")
    data = stored(OBSERVATIONS["dict"], folder / "store", discrete=False)
    return train(BC(hidden=(8,), batch_size=4), data, out=folder / "run", steps=2)
