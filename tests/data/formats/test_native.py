"""The native store: what goes in comes out, mapped; what is damaged is named (D17, D18, D22, S1, S4)."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.damage import damage

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.findings import Finding
from suture.data.formats import native
from suture.errors import FormatError, HostileFile, RunLocked, StorageError
from suture.storage import tensors
from suture.storage.lock import Lock
from suture.storage.manifest import entry_of
from suture.testing.disk import fail_io, record_io


def dataset(episodes: int = 6, length: int = 10, *, source: str = "somewhere") -> Dataset:
    rows = episodes * length
    values = np.arange(rows, dtype=np.float32)
    last = np.arange(rows) % length == length - 1
    observation = {
        "arm": {"joint": np.stack([values, -values], 1)},
        "camera": np.full((rows, 2, 2, 3), 7, np.uint8),
    }
    return Dataset(
        observation=observation, action=(values % 3).astype(np.int32), reward=values,
        next_observation=observation, terminated=last, truncated=np.zeros(rows, bool), has_next=~last,
        episode_start=np.arange(0, rows + 1, length), observation_space=spaces.space_of(observation),
        action_space=spaces.Discrete(3), source=source, layout="test",
        propensity=np.full(rows, 0.5, np.float32),
        columns={
            "entity": np.array([f"pétient {row // length}" for row in range(rows)]),
            "time": np.datetime64("2020-01-01", "us") + np.arange(rows), "age": np.arange(rows),
        },
        findings=(Finding(id="rare", severity="info", count=2, rows=(3, 4), message="Twice."),),
    )  # fmt: skip


def later(episodes: int = 6) -> Dataset:
    """Further episodes of the same recorder."""
    first = dataset(episodes)
    return dataclasses.replace(first, reward=first.reward + 1000 if first.reward is not None else None)


def same(found: Dataset, expected: Dataset) -> None:
    assert found.fingerprint == expected.fingerprint
    for name in ("observation_space", "action_space", "source", "layout", "findings"):
        assert getattr(found, name) == getattr(expected, name)
    assert list(found.columns) == sorted(expected.columns)
    for name, column in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name], column)
        assert found.columns[name].dtype.kind == column.dtype.kind


@pytest.mark.parametrize("shard_bytes", [1 << 30, 1500])
def test_what_is_written_is_what_is_opened(tmp_path: Path, shard_bytes: int) -> None:
    native.write(dataset(), tmp_path / "store", shard_bytes=shard_bytes)
    shards = len(list((tmp_path / "store").glob("shard-*")))
    assert (shards == 1) == (shard_bytes == 1 << 30)
    assert native.is_store(tmp_path / "store")
    same(native.open(tmp_path / "store"), dataset())


def test_a_log_without_rewards_comes_back_without_them(tmp_path: Path) -> None:
    native.write(dataclasses.replace(dataset(), reward=None), tmp_path / "store")
    assert native.open(tmp_path / "store").reward is None


def test_one_shard_is_mapped_and_read_only(tmp_path: Path) -> None:
    native.write(dataset(), tmp_path / "store")
    reward = native.open(tmp_path / "store").reward
    assert reward is not None
    with pytest.raises(ValueError, match="read-only"):
        reward[0] = 1
    base = reward
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    native.write(dataset(), tmp_path / "store")
    with pytest.raises(StorageError, match="exists already"):
        native.write(dataset(2), tmp_path / "store")
    same(native.open(tmp_path / "store"), dataset())


def test_appended_episodes_follow(tmp_path: Path) -> None:
    native.write(dataset(), tmp_path / "store", shard_bytes=1500)
    more = dataclasses.replace(dataset(3, 7, source="elsewhere"), columns=dataset(3, 7).columns)
    native.append(more, tmp_path / "store")
    found = native.open(tmp_path / "store")
    assert (len(found), found.episodes) == (81, 9)
    same(found.take_episodes(np.arange(6)), dataclasses.replace(dataset(), findings=found.findings))
    assert found.take_episodes(np.arange(6, 9)).fingerprint == more.fingerprint
    assert found.findings[1].message == "In what was appended from elsewhere: Twice."
    assert found.findings[1].rows == ()


@pytest.mark.parametrize("shard_bytes", [1 << 30, 1500])
def test_d13_episodes_that_are_there_already_are_refused_or_left_out(
    tmp_path: Path, shard_bytes: int
) -> None:
    """Converting twice must not double the data in silence."""
    store = tmp_path / "store"
    native.write(dataset(), store, shard_bytes=shard_bytes)
    before = {path.name: path.read_bytes() for path in store.iterdir() if path.name != "lock"}
    for again, said in ((dataset(), "6 of 6"), (dataset(4), "4 of 4"), (dataset(9), "6 of 9")):
        with pytest.raises(FormatError, match=rf"holds {said} .*episodes of somewhere already") as refused:
            native.append(again, store, shard_bytes=shard_bytes)
        assert "--drop-duplicates" in str(refused.value)
        assert {path.name: path.read_bytes() for path in store.iterdir() if path.name != "lock"} == before
    assert native.append(dataset(9), store, drop_duplicates=True, shard_bytes=shard_bytes) == 3
    same(native.open(store), dataclasses.replace(dataset(9), findings=native.open(store).findings))
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    assert native.append(dataset(9), store, drop_duplicates=True, shard_bytes=shard_bytes) == 0
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before


@pytest.mark.parametrize("shard_bytes", [1 << 30, 1500])
def test_equal_decisions_of_a_bandit_are_no_copies(tmp_path: Path, shard_bytes: int) -> None:
    """The same context, choice and click occur on any day; the same rows in the same order do not."""

    def day(seed: int) -> Dataset:
        rng, whole = np.random.default_rng(seed), dataset(1, 60)
        click, choice = rng.integers(2, size=60).astype(np.float32), rng.integers(3, size=60, dtype=np.int32)
        same = spaces.map_arrays(np.zeros_like, whole.observation)
        return dataclasses.replace(
            whole, observation=same, next_observation=same, action=choice, reward=click,
            terminated=np.ones(60, bool), has_next=np.zeros(60, bool), episode_start=np.arange(61),
        )  # fmt: skip

    native.write(day(0), tmp_path / "store", shard_bytes=shard_bytes)
    assert native.append(day(1), tmp_path / "store", shard_bytes=shard_bytes) == 60
    for seed in (0, 1):
        with pytest.raises(FormatError, match="holds 60 of 60"):
            native.append(day(seed), tmp_path / "store", shard_bytes=shard_bytes)
    assert len(native.open(tmp_path / "store")) == 120


def test_other_spaces_and_columns_are_not_appended(tmp_path: Path) -> None:
    native.write(dataset(), tmp_path / "store")
    others = {
        "action space": dataclasses.replace(dataset(), action_space=spaces.Discrete(4)),
        "arrays": dataclasses.replace(dataset(), reward=None),
        "columns": dataclasses.replace(dataset(), columns={}),
    }
    for name, other in others.items():
        with pytest.raises(FormatError, match=f"its {name} is"):
            native.append(other, tmp_path / "store")
    same(native.open(tmp_path / "store"), dataset())


def test_s4_every_failing_operation_of_an_append_leaves_the_store(tmp_path: Path) -> None:
    native.write(dataset(), tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "store")
    with record_io() as record:
        native.append(later(), tmp_path / "store")
    assert len(record) == 10
    for n in range(len(record) - 1):
        shutil.rmtree(tmp_path / "store")
        shutil.copytree(tmp_path / "whole", tmp_path / "store")
        with fail_io(n, errno.EIO), pytest.raises(StorageError):
            native.append(later(), tmp_path / "store")
        same(native.open(tmp_path / "store"), dataset())
        native.append(later(), tmp_path / "store")
        assert native.open(tmp_path / "store").episodes == 12


@pytest.mark.parametrize(
    "point", ["append.before_rename", "append.after_sync", "append.manifest.before_rename"]
)
def test_s1_a_killed_append_leaves_the_store(tmp_path: Path, point: str) -> None:
    native.write(dataset(), tmp_path / "store")
    native.write(later(), tmp_path / "more")
    code = "import sys; from pathlib import Path; from suture.data.formats import native\n"
    code += "native.append(native.open(Path(sys.argv[2])), Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path / "store"), str(tmp_path / "more")]
    child = subprocess.run(command, env={**os.environ, "SUTURE_CRASH_AT": point}, check=False)
    assert child.returncode == -signal.SIGKILL
    same(native.open(tmp_path / "store"), dataset())
    native.append(later(), tmp_path / "store")
    assert native.open(tmp_path / "store").episodes == 12
    assert not list((tmp_path / "store").glob(".tmp-*"))


def test_s9_two_writers_do_not_append_at_once(tmp_path: Path) -> None:
    native.write(dataset(), tmp_path / "store")
    with Lock(tmp_path / "store" / "lock"), pytest.raises(RunLocked, match=str(os.getpid())):
        native.append(dataset(), tmp_path / "store")


@pytest.mark.parametrize("how", ["missing", "cut", "flipped", "link"])
def test_d17_d18_a_bad_shard_is_named_and_can_be_left_out(tmp_path: Path, how: str) -> None:
    native.write(dataset(), tmp_path / "store", shard_bytes=1500)
    damage(tmp_path / "store" / "shard-000001.safetensors", how)
    with pytest.raises(FormatError, match=r"shard-000001\.safetensors"):
        native.open(tmp_path / "store")
    found = native.open(tmp_path / "store", skip_bad=True)
    finding = found.findings[-1]
    assert (finding.id, finding.severity) == ("shards-skipped", "warning")
    assert "shard-000001.safetensors" in finding.message
    assert finding.count == 60 - len(found) > 0
    assert not found.errors


def test_d18_where_nothing_is_whole_nothing_is_opened(tmp_path: Path) -> None:
    native.write(dataset(), tmp_path / "store")
    damage(tmp_path / "store" / "shard-000000.safetensors", "flipped")
    with pytest.raises(FormatError, match="Nothing of it is whole"):
        native.open(tmp_path / "store", skip_bad=True)


def test_d18_a_flipped_bit_of_the_manifest_is_named(tmp_path: Path) -> None:
    """Such as in a bound of the actions, by which they would be scaled otherwise."""
    native.write(dataset(), tmp_path / "store")
    path = tmp_path / "store" / "manifest.json"
    whole = path.read_bytes()
    for position in np.random.default_rng(0).choice(len(whole) * 8, 200, replace=False):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        reason = ""
        try:
            same(native.open(tmp_path / "store"), dataset())  # a blank, or the name of the checksum
        except FormatError as error:
            reason = str(error)
        assert not reason or str(path) in reason


def unsigned(path: Path) -> dict[str, Any]:
    """A manifest without its own checksum, to be changed on purpose."""
    return {name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "has format 2"), ({"kind": "checkpoint"}, "does not describe"),
        ({"shards": []}, "there are none"),
        ({"shards": [{"file": "shard-000000.safetensors", "rows": -1}]}, "entry 0 is damaged"),
        ({"shards": [None]}, "JSON object"), ({"arrays": None}, "'arrays' is damaged"),
        ({"source": None}, None),
        ({"observation_space": {"type": "box"}}, "space is not readable"), ({"findings": [{}]}, "is damaged"),
        ({"arrays": ["action"]}, "other arrays"), ({"columns": {}}, "other arrays"),
    ],
)  # fmt: skip
def test_a_changed_manifest_is_refused(tmp_path: Path, change: dict[str, object], said: str | None) -> None:
    native.write(dataset(), tmp_path / "store")
    path = tmp_path / "store" / "manifest.json"
    path.write_text(json.dumps(unsigned(path) | change))
    if said is None:
        native.open(tmp_path / "store")
        return
    with pytest.raises(FormatError, match=said):
        native.open(tmp_path / "store")


def test_d22_a_shard_elsewhere_is_refused(tmp_path: Path) -> None:
    native.write(dataset(), tmp_path / "store")
    native.write(dataset(), tmp_path / "other")
    path = tmp_path / "store" / "manifest.json"
    manifest = unsigned(path)
    manifest["shards"][0]["file"] = "../other/shard-000000.safetensors"
    path.write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match=r"entry 0 is damaged|not a plain file name"):
        native.open(tmp_path / "store")
    path.rename(tmp_path / "manifest.json")
    path.symlink_to(tmp_path / "manifest.json")
    with pytest.raises(HostileFile, match="symbolic link"):
        native.open(tmp_path / "store")


def test_names_of_columns_and_the_schema_are_kept(tmp_path: Path) -> None:
    """A store made from a table still knows what its columns were called; others are not appended to it."""
    names = {"observation": ("height", "speed", "tilt"), "action": ("left", "right")}
    data = dataclasses.replace(dataset(), names=names, schema={"format": 1})
    native.write(data, tmp_path / "store")
    again = native.open(tmp_path / "store")
    assert (again.names, again.schema) == (names, {"format": 1})
    swapped = dataclasses.replace(dataset(source="other"), names={**names, "action": ("right", "left")})
    with pytest.raises(FormatError, match="its names is"):
        native.append(swapped, tmp_path / "store")


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"observation": np.zeros(10, np.float32)}, "as well as a group"),
        ({"columns/note": np.full((10, 3), 255, np.uint8)}, "is damaged"),
        ({"columns/note": np.zeros(10, np.float32)}, "is damaged"),
    ],
)  # fmt: skip
def test_d21_a_shard_whose_arrays_contradict_each_other_is_refused(
    tmp_path: Path, odd: dict[str, Any], said: str
) -> None:
    """A whole store, checksums and all, by somebody who means harm."""
    data = dataclasses.replace(dataset(1), columns={"note": np.array(["text"] * 10)})
    native.write(data, tmp_path / "store")
    path, shard = tmp_path / "store" / "manifest.json", tmp_path / "store" / "shard-000000.safetensors"
    content = tensors.save(
        {name: np.array(array) for name, array in tensors.open_tensors(shard).items()} | odd
    )
    shard.write_bytes(content)
    manifest = unsigned(path)
    manifest["arrays"] = sorted({*manifest["arrays"], *odd} - {"columns/note"})
    manifest["shards"][0] |= entry_of(content)
    path.write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match=said):
        native.open(tmp_path / "store")
