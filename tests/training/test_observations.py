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
from suture.algorithms.iql import IQL
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
    "words": Dict.of({"joints": Box((3,)), "mode": Discrete(2), "tool": Discrete(2)}),
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


def test_dictionaries_pass(dict_run: Any) -> None:
    check_acting(dict_run.path, load(dict_run.path.parent / "store"))


IMAGE, JOINTS, MODE = np.zeros((8, 8, 1), np.uint8), np.zeros(3), np.int64(1)
FITS = {"camera": IMAGE, "joints": JOINTS, "mode": MODE}


@pytest.mark.parametrize(
    ("observation", "said"),
    [
        ({"camera": IMAGE}, "takes an observation of camera, joints, mode; found camera."),
        (np.zeros(3), "takes an observation of camera, joints, mode; found one array."),
        ({**FITS, "joints": np.zeros(4)}, "observations of shape [3] at 'joints', alone or with one batch"),
        ({**FITS, "camera": IMAGE[None]}, "differ in their batch dimension (1, none)"),
        ({"camera": IMAGE[None].repeat(3, 0), "joints": np.zeros((2, 3)), "mode": np.zeros(3, int)},
         "differ in their batch dimension (2, 3)"),
        ({**FITS, "joints": [np.nan, 0, 0]}, "at 'joints' holds NaN or infinity in 1 of 3 values"),
        ({**FITS, "joints": [0, 1e300, 0]}, "at 'joints' holds NaN or infinity in 1 of 3 values"),
        ({**FITS, "joints": [[1, 2], [3]]}, "at 'joints' is no array"),
        ({**FITS, "joints": np.zeros(3, complex)}, "float32 values at 'joints'; found complex128 values"),
        ({**FITS, "joints": ["a", "b", "c"]}, "float32 values at 'joints'; found <U1 values"),
        ({**FITS, "camera": IMAGE / 255}, "from 0 to 255 at 'camera'; found float64 values. Give"),
        ({**FITS, "camera": IMAGE.astype(np.float32)}, "found float32 values"),
        ({**FITS, "camera": IMAGE.astype(int) + 256}, "64 of 64 are others, the first 256."),
        ({**FITS, "camera": IMAGE.astype(int) - 1}, "64 of 64 are others, the first -1."),
        ({**FITS, "mode": 2}, "choices from 0 to 1 at 'mode'; 1 of 1 are others, the first 2. Number"),
        ({**FITS, "mode": -1}, "choices from 0 to 1 at 'mode'; 1 of 1 are others, the first -1."),
        ({**FITS, "mode": 2**40}, "the first 1099511627776."),
        ({**FITS, "mode": 1.0}, "choices from 0 to 1 at 'mode'; found float64 values. Number"),
        ({**FITS, "mode": 0.7}, "found float64 values"),
    ],
)  # fmt: skip
def test_an_observation_that_does_not_fit_is_refused(observation: Any, said: str, dict_run: Any) -> None:
    """Nothing is clipped, cut or wrapped on its way into the policy: expected, found, what to do."""
    with pytest.raises(RefusedInput) as refused:
        dict_run.policy.act(observation)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "same",
    [{"camera": IMAGE.astype(np.int64)}, {"camera": IMAGE.tolist()}, {"joints": JOINTS.astype(np.float16)},
     {"joints": JOINTS.astype(np.float32)}, {"joints": [0, 0, 0]}, {"mode": True}, {"mode": np.uint8(1)},
     {"mode": np.array(1, ">i4")}, {"mode": 1}],
    ids=str,
)  # fmt: skip
def test_other_dtypes_of_the_same_numbers_are_the_same_observation(
    same: dict[str, Any], dict_run: Any
) -> None:
    np.testing.assert_array_equal(dict_run.policy.act({**FITS, **same}), dict_run.policy.act(FITS))


def test_whole_batches_are_looked_at(dict_run: Any) -> None:
    """A choice out of range in one row of many."""
    batch = spaces.map_arrays(lambda array: np.repeat(np.asarray(array)[None], 5, 0), FITS)
    assert dict_run.policy.act(batch).shape == (5, 2)
    with pytest.raises(RefusedInput, match="1 of 5 are others, the first 9"):
        dict_run.policy.act({**batch, "mode": np.array([0, 1, 9, 0, 0])})


@pytest.fixture(scope="module")
def dict_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("dict")
    data = stored(OBSERVATIONS["dict"], folder / "store", discrete=False)
    return train(BC(hidden=(8,), batch_size=4), data, out=folder / "run", steps=2)


def cued_log(space: Space, *, discrete: bool) -> Log:
    """One-step episodes with two cues in the observation; an action is rewarded for following each of them.

    The behaviour knows nothing of the cues: imitation learns its mean.
    """
    rng, log = np.random.default_rng(0), walk_log((1,) * 512)
    cue = rng.integers(2, size=(512, 2))
    seen, action = (
        cued(space, cue, rng),
        rng.integers(4, size=512) if discrete else rng.uniform(-1, 1, (512, 2)),
    )
    followed = np.stack([action // 2, action % 2], 1) == cue if discrete else action * (2 * cue - 1)
    return dataclasses.replace(
        log, observation=seen, next_observation=seen, action=action, reward=followed.sum(1).astype(float),
        observation_space=space, action_space=Discrete(4) if discrete else log.action_space,
    )  # fmt: skip


def cued(space: Space, cue: Any, rng: np.random.Generator) -> Any:
    """Random observations that show the cues, (rows, 2) of 0 and 1.

    They are the brightness of an image's upper and lower half; of a dictionary's camera, its mode and tool.
    """
    seen, first = drawn(space, rng, len(cue)), cue[:, 0, None, None, None]
    if not isinstance(space, Dict):
        halves = seen.reshape(-1, 2, 4, 8, 3) // 8 + 200 * cue[:, :, None, None, None]
        return halves.reshape(seen.shape).astype(np.uint8)
    if "camera" in seen:
        return {**seen, "camera": (seen["camera"] // 8 + 200 * first).astype(np.uint8), "mode": cue[:, 1]}
    return {**seen, "mode": cue[:, 0], "tool": cue[:, 1]}


LEARNER = IQL(
    hidden=(32,), batch_size=64, target_rate=0.2, inverse_temperature=5.0,
    value_learning_rate=3e-3, critic_learning_rate=3e-3, actor_learning_rate=3e-3,
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "discrete"), [("image", False), ("image", True), ("dict", False), ("words", True)]
)
def test_iql_follows_each_cue_that_it_sees(kind: str, discrete: bool, tmp_path: Path) -> None:
    """From stored log to action, by way of a run that was broken off and continued exactly.

    Networks of images are trained step by step on a CPU: the other path through the program.
    """
    space, every = OBSERVATIONS[kind], {"steps": 400, "checkpoint_every": 200, "log_every": 200}
    native.write(built(cued_log(space, discrete=discrete)).admit(), tmp_path / "store")
    data = load(tmp_path / "store")
    train(LEARNER, data, out=tmp_path / "whole", **every)
    train_until(250, LEARNER, data, out=tmp_path / "broken", **every)
    run = train(LEARNER, data, out=tmp_path / "broken", resume=True, **every)
    assert checkpoints(tmp_path / "broken") == checkpoints(tmp_path / "whole")
    cue = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]).repeat(16, 0)
    action = run.policy.act(cued(space, cue, np.random.default_rng(1)))
    followed = np.stack([action // 2, action % 2], 1) == cue if discrete else (action > 0) == cue
    assert (followed.mean(0) > 0.9).all()
