"""Loading: every kind of path through one door, refusals included."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.logs import built, walk_log

import suture
from suture import spaces
from suture.data.formats import native
from suture.data.load import load
from suture.data.log import Log, Reading
from suture.errors import DataRefused, FormatError
from suture.storage import manifest, tensors


def saved(log: Log, path: Path) -> Path:
    names = {"observations": log.observation, "actions": log.action, "rewards": log.reward,
             "next_observations": log.next_observation, "terminals": log.terminal}  # fmt: skip
    np.savez(path, **{name: np.asarray(array) for name, array in names.items()})  # type: ignore[arg-type]
    return path


def test_a_file_and_its_conversion_are_the_same_data(tmp_path: Path) -> None:
    path = saved(walk_log((5, 4)), tmp_path / "log.npz")
    data = load(str(path))
    native.write(data, tmp_path / "store")
    store = load(tmp_path / "store")
    assert store.fingerprint == data.fingerprint
    assert (data.source, store.source) == (str(path), str(tmp_path / "store")), "where it is found again"


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
    with pytest.raises(FormatError, match="settled when it was written"):
        load(tmp_path / "store", reading=reading)


def store_of(folder: Path, size: int) -> Path:
    """A store of one transition whose observation is `size` zeros, which the disk need not hold."""
    native.write(built(Log(source="zeros", layout="test", observation=np.zeros((1, 1)),
                           action=np.zeros(1, np.int64), reward=np.zeros(1), terminal=np.ones(1, bool))),
                 folder)  # fmt: skip
    shard, described = folder / "shard-000000.safetensors", json.loads((folder / "manifest.json").read_text())
    arrays = {name: np.array(array) for name, array in tensors.open_tensors(shard).items()}
    header, end = dict[str, Any](), 0
    for name, array in arrays.items():
        shape = [1, size] if "observation" in name else list(array.shape)
        kind = next(kind for kind, code in tensors.DTYPES.items() if code == array.dtype.str)
        begin, end = end, end + array.itemsize * math.prod(shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with shard.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, array in arrays.items():
            file.seek(8 + len(text) + header[name]["data_offsets"][0])
            file.write(array.tobytes())
        file.truncate(8 + len(text) + end)
    del described["sha256"]
    described["observation_space"]["shape"] = [size]
    described["shards"][0].update(manifest.manifest_of(folder, [shard.name])[shard.name])
    (folder / "manifest.json").write_text(json.dumps(described))
    return folder


def test_d18_a_flipped_byte_is_found_in_a_store_of_any_size(tmp_path: Path) -> None:
    """One byte of 280 MB, through the public door."""
    store = store_of(tmp_path / "store", 35_000_000)
    assert suture.load(store).observation_space == spaces.Box((35_000_000,))
    shard = store / "shard-000000.safetensors"
    assert shard.stat().st_size > 256 << 20
    with shard.open("r+b") as file:
        file.seek(200_000_000)
        file.write(b"\1")
    with pytest.raises(FormatError, match=r"shard-000000\.safetensors is corrupted"):
        suture.load(store)


def test_d17_good_shards_are_loaded_on_request(tmp_path: Path) -> None:
    data, store = built(walk_log((5, 4, 6))), tmp_path / "store"
    native.write(data, store, shard_bytes=1)
    bad = store / "shard-000001.safetensors"
    bad.write_bytes(bad.read_bytes()[:-1])
    with pytest.raises(FormatError, match=r"shard-000001.* bytes, its manifest says .*") as refused:
        suture.load(store)
    assert "--skip-bad (in Python: Reading(skip_bad=True))" in str(refused.value)
    kept = suture.load(store, reading=suture.Reading(skip_bad=True))
    assert kept.fingerprint == data.take_episodes(np.array([0, 2])).fingerprint
    assert (kept.findings[-1].id, kept.findings[-1].count) == ("shards-skipped", 4)
    path = saved(walk_log((5, 4)), tmp_path / "log.npz")
    with pytest.raises(FormatError, match="has no shards to leave out"):
        load(path, reading=Reading(skip_bad=True))
