"""Manifests and bounded JSON (faults D21, D22, S5 and S6 at the level of storage)."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from suture.errors import FormatError, HostileFile
from suture.storage import manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.bin").write_bytes(bytes(range(200)))
    (tmp_path / "store" / "b.bin").write_bytes(b"")
    return tmp_path / "store"


def test_a_whole_folder_verifies(folder: Path) -> None:
    entries = manifest.manifest_of(folder)
    assert entries["a.bin"] == manifest.entry_of(bytes(range(200)))
    assert sorted(entries) == ["a.bin", "b.bin"]
    assert manifest.verify(folder, entries) == []


def test_s5_every_flipped_byte_is_named(folder: Path) -> None:
    entries, path = manifest.manifest_of(folder), folder / "a.bin"
    whole = path.read_bytes()
    for position in range(0, 200, 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert manifest.verify(folder, entries) == [
            "a.bin is corrupted: its SHA-256 is not the one in its manifest."
        ]


@pytest.mark.parametrize("size", [0, 1, 100, 199])
def test_s6_truncated_and_missing_files_are_named(folder: Path, size: int) -> None:
    entries = manifest.manifest_of(folder)
    os.truncate(folder / "a.bin", size)
    (folder / "b.bin").unlink()
    reasons = manifest.verify(folder, entries)
    assert reasons[0] == f"a.bin has {size} bytes, its manifest says 200."
    assert "b.bin" in reasons[1]
    assert "No such file" in reasons[1]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "a\0b"])
def test_d22_a_manifest_cannot_name_a_file_elsewhere(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_bytes(b"")
    (reason,) = manifest.verify(folder, {name: manifest.entry_of(b"")})
    assert "not a plain file name" in reason


def test_d22_a_member_may_not_be_a_link(folder: Path) -> None:
    entries = manifest.manifest_of(folder)
    (folder / "a.bin").rename(folder.parent / "a.bin")
    (folder / "a.bin").symlink_to(folder.parent / "a.bin")
    (reason,) = manifest.verify(folder, entries)
    assert "symbolic link" in reason


@pytest.mark.parametrize("entry", [None, 3, {"bytes": "1"}, {"bytes": True, "sha256": ""}, {"bytes": 0}])
def test_d21_a_malformed_entry_is_a_reason(folder: Path, entry: Any) -> None:
    (reason,) = manifest.verify(folder, {"b.bin": entry})
    assert "b.bin" in reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": NaN}', "not finite"),
        ('{"a": -Infinity}', "not finite"),
        ('{"a": 1e999}', "not finite"),
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ('{"a": ', "not valid JSON"),
        ('"\udcff"', "not valid JSON"),
        ("[" * 40 + "]" * 40, "deeper than 32"),
        ("[" * 2_000_000, "deeper than 32"),
        ('{"a":' * 500_000, "deeper than 32"),
        ("1" * 5000, "not valid JSON"),
        (" " * (4 << 20) + "1", "at most 4,194,304"),
    ],
)
def test_d21_json_is_strict_and_bounded(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "file.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(FormatError, match=said) as refusal:
        manifest.read_json(tmp_path / "file.json")
    assert str(tmp_path / "file.json") in str(refusal.value)


def test_json_of_the_allowed_depth_is_read(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text("[" * 32 + "]" * 32)
    assert json.dumps(manifest.read_json(tmp_path / "file.json")) == "[" * 32 + "]" * 32
    with pytest.raises(HostileFile):
        manifest.read_json(tmp_path / "file.json", max_depth=31)


def test_d22_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="not a regular file"):
        manifest.read_json(tmp_path / "pipe")
