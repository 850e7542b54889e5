"""Loading: every kind of path through one door, refusals included."""

from pathlib import Path

import numpy as np
import pytest
from making.logs import built, walk_log

from suture.data.formats import native
from suture.data.load import load
from suture.data.log import Log, Reading
from suture.errors import DataRefused, FormatError


def saved(log: Log, path: Path) -> Path:
    names = {"observations": log.observation, "actions": log.action, "rewards": log.reward,
             "next_observations": log.next_observation, "terminals": log.terminal}  # fmt: skip
    np.savez(path, **{name: np.asarray(array) for name, array in names.items()})  # type: ignore[arg-type]
    return path


def test_a_file_and_its_conversion_are_the_same_data(tmp_path: Path) -> None:
    path = saved(walk_log((5, 4)), tmp_path / "log.npz")
    data = load(str(path))
    native.write(data, tmp_path / "store")
    assert load(tmp_path / "store").fingerprint == data.fingerprint
    assert data.source == str(path)


def test_what_makes_training_wrong_is_refused_unless_asked_for(tmp_path: Path) -> None:
    log = walk_log((5, 4))
    np.asarray(log.reward)[3] = np.nan
    path = saved(log, tmp_path / "log.npz")
    with pytest.raises(DataRefused, match="reward") as refused:
        load(path)
    assert refused.value.exit_code == 2
    assert load(path, admit=False).errors


def test_the_reading_reaches_the_gate_and_is_refused_for_a_store(tmp_path: Path) -> None:
    path = saved(walk_log((4, 4, 4)), tmp_path / "log.npz")
    reading = Reading(ends="time-limit")
    assert load(path, reading=reading).truncated.sum() == 3
    native.write(built(walk_log((5, 4))), tmp_path / "store")
    with pytest.raises(FormatError, match="settled when it was converted"):
        load(tmp_path / "store", reading=reading)
