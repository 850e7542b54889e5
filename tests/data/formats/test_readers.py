"""The readers on files that others made, and on the spellings that they use."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from suture.data.formats import hdf5, npz, read
from suture.data.load import load
from suture.errors import FormatError
from suture.spaces import Array, Box, Dict


def as_array(value: Any) -> Array:
    assert isinstance(value, np.ndarray)
    return value


@pytest.mark.parametrize(
    ("name", "rows"),
    [("uniform", 20101), ("random", 20163), ("medium_replay", 8999), ("expert_replay", 13999),
     ("medium", 20044), ("expert", 20000)],
)  # fmt: skip
def test_swing_up_is_read_as_it_is_stored(data_folder: Path, name: str, rows: int) -> None:
    path = data_folder / "swingup" / f"{name}.h5"
    log = hdf5.read(path)
    assert (log.layout, log.source) == ("D4RL", str(path))
    assert as_array(log.observation).shape == (rows, 5)
    assert as_array(log.next_observation).dtype == np.float64
    assert log.terminal is None
    assert as_array(log.done).sum() >= as_array(log.timeout).sum()
    with h5py.File(path) as file:
        np.testing.assert_array_equal(log.action, file["actions"][:])
        np.testing.assert_array_equal(as_array(log.reward), file["rewards"][:])


def test_neorl_keeps_done_and_truncated_apart(data_folder: Path) -> None:
    log = read.read(data_folder / "neorl" / "dmsd_train.npz")
    assert log.layout == "NeoRL"
    assert log.action.shape == (100_000, 2)
    assert as_array(log.next_observation).shape == (100_000, 6)
    assert as_array(log.timeout).sum() == 1000
    assert log.terminal is None
    assert log.done is not None


def test_pendulum_and_door_have_only_what_they_say(data_folder: Path) -> None:
    pendulum = read.read(data_folder / "pendulum" / "pendulum_replay.npz")
    assert (pendulum.layout, as_array(pendulum.done).sum()) == ("plain names", 500)
    door = read.read(data_folder / "adroit" / "door_human.npz")
    assert as_array(door.boundary).sum() == 25
    assert door.next_observation is None
    assert door.done is None
    (ignored,) = door.findings
    assert (ignored.id, ignored.count) == ("keys-ignored", 3)


def test_ogbench_terminals_mark_last_states(data_folder: Path) -> None:
    log = read.read(data_folder / "pointmaze" / "pointmaze-large-stitch-v0-val.npz")
    assert log.layout == "OGBench"
    assert as_array(log.final_state).sum() == 200
    assert np.flatnonzero(as_array(log.final_state))[0] == 200
    assert log.terminal is None
    assert {finding.id for finding in log.findings} == {"keys-ignored", "layout-inferred"}


def saved(path: Path, **columns: Array) -> Path:
    np.savez(path, **columns)
    return path


def basic(**more: Array) -> dict[str, Array]:
    return {"observations": np.zeros((4, 2)), "actions": np.zeros((4, 1)), **more}


def test_d4rl_without_next_observations_is_not_ogbench(tmp_path: Path) -> None:
    ends = np.array([False, True, False, True])
    with_timeouts = npz.read(saved(tmp_path / "a.npz", **basic(terminals=ends, timeouts=~ends)))
    with_rewards = npz.read(saved(tmp_path / "b.npz", **basic(terminals=ends, rewards=np.zeros(4))))
    open_end = npz.read(saved(tmp_path / "c.npz", **basic(terminals=ends[::-1])))
    for log in (with_timeouts, with_rewards, open_end):
        assert log.layout == "plain names"
        assert log.terminal is not None
        assert log.final_state is None
    assert npz.read(saved(tmp_path / "d.npz", **basic(terminals=ends))).layout == "OGBench"


@pytest.mark.parametrize(
    ("stored", "column"),
    [
        ("rewards", "reward"), ("next_observations", "next_observation"), ("next_obs", "next_observation"),
        ("dones", "done"), ("done", "done"), ("terminals", "terminal"), ("terminated", "terminal"),
        ("timeouts", "timeout"), ("truncated", "timeout"), ("episode_end", "boundary"),
        ("episode_ends", "boundary"),         ("episode_ids", "episode"), ("propensity_score", "propensity"),
    ],
)  # fmt: skip
def test_every_spelling_finds_its_column(tmp_path: Path, stored: str, column: str) -> None:
    values = np.arange(8.0).reshape(4, 2) if "next" in stored else np.array([0.0, 0, 0, 1])
    extra = {} if stored == "rewards" else {"reward": np.zeros(4)}
    log = npz.read(
        saved(
            tmp_path / "log.npz", obs=np.zeros((4, 2)), action=np.zeros((4, 1)), **extra, **{stored: values}
        )
    )
    np.testing.assert_array_equal(getattr(log, column), values)
    with h5py.File(tmp_path / "log.h5", "w") as file:
        file["obs"], file["action"], file[stored] = np.zeros((4, 2)), np.zeros((4, 1)), values
        file["infos/qpos"] = np.zeros(3)
        if stored != "rewards":
            file["reward"] = np.zeros(4)
    log = hdf5.read(tmp_path / "log.h5")
    np.testing.assert_array_equal(getattr(log, column), values)
    assert "infos" in log.findings[0].message


def test_of_two_spellings_the_other_is_reported(tmp_path: Path) -> None:
    log = npz.read(saved(tmp_path / "log.npz", **basic(states=np.ones((4, 9)), rewards=np.zeros(4))))
    assert as_array(log.observation).shape == (4, 2)
    assert "states" in log.findings[0].message


def test_a_file_without_actions_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no action: expected .* actions.* found observations, torques"):
        npz.read(saved(tmp_path / "log.npz", observations=np.zeros((4, 2)), torques=np.zeros((4, 1))))


@pytest.mark.parametrize("shape", [(4, 2), (), (4, 1, 1)])
def test_a_reward_must_be_one_number_per_row(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match=r"'rewards'"):
        npz.read(saved(tmp_path / "log.npz", **basic(rewards=np.zeros(shape))))


def test_columns_of_one_number_in_two_dimensions_are_flattened(tmp_path: Path) -> None:
    log = npz.read(
        saved(tmp_path / "log.npz", **basic(rewards=np.zeros((4, 1)), dones=np.zeros((4, 1), bool)))
    )
    assert as_array(log.reward).shape == (4,)
    assert as_array(log.done).shape == (4,)


def test_a_schema_for_a_file_with_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="names its columns itself"):
        read.read(saved(tmp_path / "log.npz", **basic()), schema=tmp_path / "schema.json")


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="No such file"):
        read.read(tmp_path / "log.npz")
    with pytest.raises(FormatError, match=r"without metadata\.json"):
        read.read(tmp_path)


def test_a_group_of_observations_is_a_dictionary_and_bytes_in_three_dimensions_are_images(
    tmp_path: Path,
) -> None:
    """From an HDF5 file to a dataset: names, values and what follows within an episode."""
    rng = np.random.default_rng(0)
    camera, joints = rng.integers(256, size=(6, 8, 8, 3)).astype(np.uint8), rng.normal(size=(6, 3))
    with h5py.File(tmp_path / "log.hdf5", "w") as file:
        file["observations/camera"], file["observations/joints"] = camera, joints
        file["actions"], file["rewards"] = rng.uniform(-1, 1, (6, 2)), np.arange(6.0)
        file["terminals"], file["timeouts"] = [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]
    data = load(tmp_path / "log.hdf5", admit=False)
    assert data.observation_space == Dict.of({"camera": Box((8, 8, 3), "uint8"), "joints": Box((3,))})
    assert isinstance(data.observation, dict)
    assert isinstance(data.next_observation, dict)
    np.testing.assert_array_equal(data.observation["camera"], camera)
    np.testing.assert_array_equal(data.observation["joints"], joints.astype(np.float32))
    np.testing.assert_array_equal(data.next_observation["camera"][[0, 1, 3, 4]], camera[[1, 2, 4, 5]])
    assert data.has_next.tolist() == [True, True, False, True, True, False]
