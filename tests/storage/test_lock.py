"""One writer per folder (fault S9)."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from suture.errors import RunLocked, StorageError
from suture.storage.lock import Lock

HOLDER = """
import sys, time
from pathlib import Path
from suture.storage.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_s9_second_writer_is_refused_and_a_dead_owner_is_no_owner(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(RunLocked, match=f"process {child.pid} on host {socket.gethostname()}"):
            Lock(path).__enter__()
        child.kill()
        child.wait()
        assert str(child.pid) in path.read_text()
    with Lock(path):
        assert str(os.getpid()) in path.read_text()


def fail_holding(path: Path) -> None:
    with Lock(path):
        raise KeyError


def test_s9_the_lock_is_free_after_its_block_and_after_an_error(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock"), pytest.raises(RunLocked, match=f"process {os.getpid()}"):
        Lock(tmp_path / "lock").__enter__()
    with pytest.raises(KeyError):
        fail_holding(tmp_path / "lock")
    with Lock(tmp_path / "lock"):
        pass


def test_s3_a_full_disk_that_cannot_note_the_owner_locks_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with Lock(tmp_path / "lock"), pytest.raises(RunLocked, match="another process"):
        Lock(tmp_path / "lock").__enter__()


def test_d22_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError, match="Could not open the lock"):
        Lock(tmp_path / "lock").__enter__()
    assert (tmp_path / "precious").read_text() == "kept"
