"""What a writer of episodes keeps when something fails, and what it will not bend to fit."""

import contextlib
import dataclasses
import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.episodes import IMAGE, LAYOUT, PICTURES, episode, layout_of, logged, record, same

import suture
from suture.data.formats import episode_reader
from suture.data.formats.episode_layout import Layout
from suture.data.formats.episode_store import log_name, read_log
from suture.data.formats.episode_writer import Writer
from suture.errors import ConfigError, DataRefused, FormatError, StorageError
from suture.spaces import Array, Box
from suture.storage import tensors
from suture.testing.disk import fail_io, record_io

COUNTED = layout_of(IMAGE, columns={"count": "int64", "flag": "bool", "real": "float32"})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("count", 2.5), ("count", np.nan), ("count", 1e30), ("count", np.uint64(2**63)), ("flag", 3.0),
        ("real", 1e300), ("count", [0, 1, 1.5]),
    ],
)  # fmt: skip
def test_a_number_that_its_column_cannot_hold_is_refused(tmp_path: Path, column: str, value: Any) -> None:
    fits = {"count": [0, 1.0, -(2**40)], "flag": 1, "real": np.nan}
    one = dataclasses.replace(episode(0, PICTURES, steps=3), columns=fits)
    with Writer(tmp_path / "store", COUNTED) as writer:
        with pytest.raises(DataRefused, match=f"column '{column}' holds numbers that are no"):
            writer.append(dataclasses.replace(one, columns=fits | {column: value}))
        writer.append(one)
    stored = suture.load(tmp_path / "store").columns
    assert stored["count"].tolist() == [0, 1, -(2**40)]
    assert stored["flag"].tolist() == [True] * 3
    assert np.isnan(stored["real"]).all()


@pytest.mark.parametrize("text", [["a", "b", "c"], 3.5, "\ud800"])
def test_what_is_no_text_is_not_made_one(tmp_path: Path, text: Any) -> None:
    wrong = dataclasses.replace(episode(0, steps=3), columns={"policy": text, "skill": 0.0})
    with Writer(tmp_path / "store", LAYOUT) as writer, pytest.raises(DataRefused, match="column 'policy' is"):
        writer.append(wrong)


def test_text_that_is_no_text_is_refused_when_it_is_read() -> None:
    table = dict(tensors.parse(np.frombuffer(LAYOUT.pack(episode(0)), np.uint8), "an episode"))
    table["columns/policy"] = np.full_like(table["columns/policy"], 255)
    with pytest.raises(FormatError, match="columns/policy holds no UTF-8"):
        LAYOUT.unpack(np.frombuffer(tensors.save(table), np.uint8), "an episode")


def test_bounds_without_end_are_refused() -> None:
    with pytest.raises(ConfigError, match="finite bounds"):
        layout_of(IMAGE, action_space=Box((2,), low=(-np.inf, -1.0), high=(1.0, 1.0)))


def test_an_episode_whose_append_failed_can_be_stored_again_after_others(tmp_path: Path) -> None:
    """It was written, but not known to be on the disk; the shard that is sealed next holds it."""
    with Writer(tmp_path / "store", LAYOUT, shard_episodes=2) as writer:
        writer.append(episode(0))
        with fail_io(2, errno.EIO), pytest.raises(StorageError, match="fsync"):
            writer.append(episode(1))
        assert 1 not in writer
        writer.append(episode(2))
        writer.append(episode(1))
    same(suture.load(tmp_path / "store"), range(3))


def test_s4_whatever_fails_while_a_shard_is_sealed_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """The program that writes goes on as if nothing were, and is then killed."""
    with Writer(tmp_path / "whole", LAYOUT) as writer:
        writer.append(episode(0))
        with record_io() as operations:
            writer.seal()
    for n in range(len(operations)):
        store, acknowledged = tmp_path / f"store-{n}", [0]
        with contextlib.suppress(KeyboardInterrupt), Writer(store, LAYOUT) as writer:
            writer.append(episode(0))
            with fail_io(n, errno.EIO), pytest.raises(StorageError):
                writer.seal()
            with contextlib.suppress(StorageError):
                writer.append(episode(1))
                acknowledged.append(1)
            raise KeyboardInterrupt
        same(suture.load(store), acknowledged)
        with Writer(store, LAYOUT) as writer:
            writer.append(episode(0), episode(1))
        same(suture.load(store), [0, 1])


def test_d18_an_episode_that_is_lost_from_the_log_is_not_sealed_away(tmp_path: Path) -> None:
    """A disk that damages the log between append and seal: the log stays, and what is damaged is named."""
    log = tmp_path / "store" / log_name(0)
    with contextlib.suppress(KeyboardInterrupt), Writer(tmp_path / "store", LAYOUT) as writer:
        writer.append(episode(0), episode(1))
        content = bytearray(log.read_bytes())
        content[100] ^= 1
        log.write_bytes(content)
        with pytest.raises(FormatError, match="1 of 2 episodes"):
            writer.seal()
        raise KeyboardInterrupt
    assert log.stat().st_size > 0
    with pytest.raises(FormatError, match="corrupted from byte 0"):
        suture.load(tmp_path / "store")


def test_a_store_that_is_sealed_while_it_is_opened_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the manifest and the log the writer moves what is in the log into a shard."""
    store = logged(tmp_path / "store", range(3))
    calls = list[int]()

    def late(path: Path, number: int, layout: Layout) -> Any:
        calls.append(number)
        if len(calls) == 1:
            record(store, [3])
        return read_log(path, number, layout)

    monkeypatch.setattr(episode_reader, "read_log", late)
    same(suture.load(store), range(4))
    assert calls == [0, 1]


def test_a_damaged_picture_of_the_log_names_the_log_also_where_a_shard_was_left_out(tmp_path: Path) -> None:
    store = logged(record(tmp_path / "store", range(8), PICTURES), [8], PICTURES)
    (store / "frames-000000.array_record").unlink()
    data = suture.load(store, reading=suture.Reading(skip_bad=True))

    def broken(content: bytes, shape: tuple[int, ...]) -> Array:
        raise FormatError("it is broken")

    frames: Any = data.observation
    frames._pictures._codec = type("Broken", (), {"decode": staticmethod(broken)})
    with pytest.raises(FormatError, match=log_name(2)):
        np.asarray(frames[-1:])
