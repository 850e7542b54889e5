"""Minari datasets, made with it and read without it; the environments they name are never run (D24)."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest

from suture.data.build import build
from suture.data.formats import minari, read
from suture.errors import FormatError
from suture.spaces import Box, Dict, Discrete

SPACE = gymnasium.spaces.Box(-1, 1, (3,), np.float32)


def make(
    folder: Path, monkeypatch: pytest.MonkeyPatch, observation: Any, action: Any, **options: Any
) -> Path:
    """A dataset of three episodes of 5, 4 and 3 steps; the first ends by termination."""
    library = pytest.importorskip("minari", reason="Minari is not installed (pip install minari)")
    buffer = importlib.import_module("minari.data_collector").EpisodeBuffer
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    observation.seed(0)
    action.seed(0)

    def stack(values: list[Any]) -> Any:
        if isinstance(values[0], dict):
            return {name: np.stack([value[name] for value in values]) for name in values[0]}
        return np.stack(values)

    episodes = [
        buffer(
            observations=stack([observation.sample() for _ in range(length + 1)]),
            actions=np.stack([action.sample() for _ in range(length)]),
            rewards=np.arange(length, dtype=float),
            terminations=np.arange(length) == (length - 1 if length == 5 else -1),
            truncations=np.arange(length) == (length - 1 if length < 5 else -1),
        )
        for length in (5, 4, 3)
    ]  # fmt: skip
    library.create_dataset_from_buffers(
        "test/log-v0", buffer=episodes, observation_space=observation, action_space=action,
        algorithm_name="none", author="none", author_email="none@none.org", code_permalink="none",
        description="made by a test", **options,
    )  # fmt: skip
    return folder / "test" / "log-v0"


@pytest.fixture(autouse=True)
def _quiet(recwarn: pytest.WarningsRecorder) -> None:
    """Minari warns about what a test leaves out."""


pytestmark = pytest.mark.filterwarnings("ignore")


def test_episodes_end_with_their_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path, monkeypatch, SPACE, gymnasium.spaces.Discrete(4, start=2))
    for given in (path, path / "data"):
        log = read.read(given)
        assert (log.layout, log.source) == ("Minari", str(given))
    assert log.final_state is not None
    assert np.flatnonzero(log.final_state).tolist() == [5, 10, 14]
    assert log.observation_space == Box((3,), "float32", (-1.0,) * 3, (1.0,) * 3)
    assert log.action_space == Discrete(4)
    assert (log.action.min() >= 0) & (log.action.max() < 4)
    with h5py.File(path / "data" / "main_data.hdf5") as file:
        np.testing.assert_array_equal(np.asarray(log.observation)[6:11], file["episode_1/observations"][:])
        np.testing.assert_array_equal(log.action[6:10] + 2, file["episode_1/actions"][:])
    data = build(log)
    assert (len(data), data.episodes, data.terminated.sum(), data.truncated.sum()) == (12, 3, 1, 2)
    assert data.has_next.all()


def test_dictionaries_and_unbounded_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbounded = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    space = gymnasium.spaces.Dict({"arm": unbounded, "goal": SPACE})
    log = minari.read(make(tmp_path, monkeypatch, space, SPACE))
    assert isinstance(log.observation, dict)
    assert log.observation["arm"].shape == (15, 2)
    assert isinstance(log.observation_space, Dict)
    assert log.observation_space.items[0] == ("arm", Box((2,), "float64"))


def test_jpeg_images_are_refused_and_raw_ones_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8)
    with pytest.raises(FormatError, match="jpeg_encoding=False"):
        minari.read(make(tmp_path / "jpeg", monkeypatch, image, SPACE))
    log = minari.read(make(tmp_path / "raw", monkeypatch, image, SPACE, jpeg_encoding=False))
    assert np.asarray(log.observation).shape == (15, 32, 32, 3)


def test_d24_an_environment_specification_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path, monkeypatch, SPACE, SPACE)
    (tmp_path / "hostile_environment.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    metadata = json.loads((path / "data" / "metadata.json").read_text())
    spec = {"id": "Hostile-v0", "entry_point": "hostile_environment:Environment", "kwargs": {}}
    metadata["env_spec"] = json.dumps(spec)
    (path / "data" / "metadata.json").write_text(json.dumps(metadata))
    log = read.read(path)
    assert [finding.id for finding in log.findings] == ["environment-not-run"]
    assert "hostile_environment" not in sys.modules
    assert not (tmp_path / "canary").exists()
    del metadata["observation_space"]
    (path / "data" / "metadata.json").write_text(json.dumps(metadata))
    assert read.read(path).observation_space is None
    assert not (tmp_path / "canary").exists()


def test_an_episode_that_is_not_whole_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path, monkeypatch, SPACE, SPACE)
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        file["episode_1/observations"].resize(4, 0)
    with pytest.raises(FormatError, match="episode_1: 4 actions need 5 observations"):
        minari.read(path)


def test_d20_d22_links_in_a_dataset_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path, monkeypatch, SPACE, SPACE)
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        del file["episode_1/rewards"]
        file["episode_1/rewards"] = h5py.ExternalLink("/elsewhere.h5", "/rewards")
    with pytest.raises(FormatError, match="link to another file"):
        minari.read(path)
    data = path / "data" / "main_data.hdf5"
    data.rename(tmp_path / "moved")
    data.symlink_to(tmp_path / "moved")
    with pytest.raises(FormatError, match="symbolic link"):
        minari.read(path)
