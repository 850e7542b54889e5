"""The append log: what counts is whole, a torn end is known as one, and damage in between is named."""

import errno
from pathlib import Path

import pytest

from suture.errors import StorageError
from suture.storage import records
from suture.testing.disk import fail_io, record_io

CONTENTS = [b"first", b"", b"third" * 1000, records.MARK + b" in a content", b"last one"]


def log_at(path: Path, contents: list[bytes] = CONTENTS) -> Path:
    records.append(path, contents[:2])
    for content in contents[2:]:
        records.append(path, [content])
    return path


def contents_of(found: records.Found) -> list[bytes]:
    return [record.tobytes() for record in found.records]


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    found = records.read(log_at(tmp_path / "log"))
    assert contents_of(found) == CONTENTS
    assert (found.end, found.torn, found.damaged) == ((tmp_path / "log").stat().st_size, 0, [])
    (tmp_path / "empty").touch()
    assert records.read(tmp_path / "empty") == ([], 0, 0, [])


def test_wherever_the_end_is_cut_the_records_before_it_are_read(tmp_path: Path) -> None:
    path = log_at(tmp_path / "log")
    whole = path.read_bytes()
    start = len(whole) - records.BEFORE - len(CONTENTS[-1])
    for cut in range(start, len(whole)):
        path.write_bytes(whole[:cut])
        found = records.read(path)
        assert contents_of(found) == CONTENTS[:-1]
        assert (found.end, found.torn, found.damaged) == (start, cut - start, [])


@pytest.mark.parametrize("tail", [bytes(100), b"SUTUREL1", b"\xff" * 5000])
def test_rubbish_at_the_end_is_a_torn_end(tmp_path: Path, tail: bytes) -> None:
    path = log_at(tmp_path / "log")
    path.write_bytes(path.read_bytes() + tail)
    found = records.read(path)
    assert contents_of(found) == CONTENTS
    assert (found.torn, found.damaged) == (len(tail), [])


def test_every_flipped_byte_of_a_record_costs_that_record_alone_and_is_named(tmp_path: Path) -> None:
    """The record in the middle is the third; its content is long, so every 97th of its bytes is flipped."""
    path = log_at(tmp_path / "log")
    whole = path.read_bytes()
    start = 2 * records.BEFORE + len(CONTENTS[0])
    end = start + records.BEFORE + len(CONTENTS[2])
    for place in [*range(start, start + records.BEFORE), *range(start + records.BEFORE, end, 97)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        found = records.read(path)
        assert contents_of(found) == CONTENTS[:2] + CONTENTS[3:]
        assert found.damaged == [f"log is corrupted from byte {start:,} to {end:,}."]
        assert found.torn == 0


def test_a_record_is_on_the_disk_when_append_returns(tmp_path: Path) -> None:
    with record_io() as operations:
        records.append(tmp_path / "log", [b"content"])
    assert [name for name, _ in operations] == ["open", "write", "fsync"]


def test_a_disk_that_refuses_leaves_what_was_there(tmp_path: Path) -> None:
    path = log_at(tmp_path / "log")
    before = path.read_bytes()
    for n in range(2):
        with fail_io(n, errno.ENOSPC), pytest.raises(StorageError):
            records.append(path, [b"more"])
        assert path.read_bytes() == before
