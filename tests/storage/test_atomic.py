"""A folder or a file is written whole or not at all (faults S1, S2, S3, S4, S15 at the level of storage)."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from suture.errors import StorageError
from suture.storage import atomic
from suture.testing.disk import fail_io, record_io

FILES = {"a.bin": b"a" * 5000, "b.bin": b"b" * 10}


def contents(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def test_folder_is_written_by_bytes_and_by_function(tmp_path: Path) -> None:
    atomic.write_folder(tmp_path / "new", {**FILES, "c": lambda file: file.write(b"c") and None}, point="t")
    assert contents(tmp_path / "new") == {**FILES, "c": b"c"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["new"]


def test_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(StorageError, match="exists already"):
        atomic.write_folder(tmp_path / "new", FILES, point="t")


def test_file_is_replaced_and_function_failures_leave_nothing(tmp_path: Path) -> None:
    atomic.write_file(tmp_path / "f", b"one", point="t")
    atomic.write_file(tmp_path / "f", b"two", point="t")
    assert contents(tmp_path) == {"f": b"two"}

    def broken(_: object) -> None:
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        atomic.write_folder(tmp_path / "new", {"a": b"a", "b": broken}, point="t")
    assert contents(tmp_path) == {"f": b"two"}


def test_s2_order_is_file_folder_rename_parent(tmp_path: Path) -> None:
    target = tmp_path / "new"
    with record_io() as record:
        atomic.write_folder(target, FILES, point="t")
    operations = [operation for operation, _ in record if operation != "write"]
    per_file = ["create", "fsync"]
    assert operations == ["create folder", *per_file, *per_file, "fsync folder", "rename", "fsync folder"]
    assert record[-1] == ("fsync folder", tmp_path)
    with record_io() as record:
        atomic.write_file(tmp_path / "f", b"x", point="t")
    assert [operation for operation, _ in record] == ["create", "write", "fsync", "rename", "fsync folder"]


def test_s2_power_loss_keeps_a_name_only_with_its_synced_content(tmp_path: Path) -> None:
    """Replay the log up to every moment, dropping unsynced writes: a renamed folder is always whole."""
    with record_io() as record:
        atomic.write_folder(tmp_path / "new", FILES, point="t")
    for cut in range(len(record) + 1):
        synced = {path.name for operation, path in record[:cut] if operation == "fsync"}
        listed = any(operation == "fsync folder" and path != tmp_path for operation, path in record[:cut])
        if any(operation == "rename" for operation, _ in record[:cut]):
            assert listed
            assert synced == set(FILES)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("once", [True, False])
def test_s3_s4_every_failing_operation_leaves_the_former_state(tmp_path: Path, code: int, once: bool) -> None:
    with record_io() as every:
        atomic.write_folder(tmp_path / "old", FILES, point="t")
    count = len(every)
    assert count == 10
    for n in range(count):
        with fail_io(n, code, once=once) as record, pytest.raises(StorageError) as refusal:
            atomic.write_folder(tmp_path / "new", FILES, point="t")
        assert str(record[n][1]) in str(refusal.value)
        assert os.strerror(code) in str(refusal.value)
        assert [entry.name for entry in tmp_path.iterdir()] == ["old"]
        assert contents(tmp_path / "old") == FILES


def test_s3_s4_a_failing_replacement_keeps_the_file(tmp_path: Path) -> None:
    atomic.write_file(tmp_path / "f", b"old", point="t")
    for n in range(5):
        with fail_io(n, errno.EIO), pytest.raises(StorageError):
            atomic.write_file(tmp_path / "f", b"new", point="t")
        assert contents(tmp_path) == {"f": b"new" if n == 4 else b"old"}


def test_s3_s4_what_a_library_writes_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with record_io() as record:
        atomic.make_file(path, lambda place: place.write_bytes(b"old") and None, point="t")
    assert [operation for operation, _ in record] == ["write", "fsync", "rename", "fsync folder"]
    for n in range(4):
        with fail_io(n, errno.EIO), pytest.raises(StorageError):
            atomic.make_file(path, lambda place: place.write_bytes(b"new") and None, point="t")
        assert contents(tmp_path) == {"f": b"new" if n == 3 else b"old"}


def test_s3_disk_full_names_the_bytes_needed(tmp_path: Path) -> None:
    with fail_io(2, errno.ENOSPC), pytest.raises(StorageError, match=r"needs 5,010 bytes; [\d,]+ are free"):
        atomic.write_folder(tmp_path / "new", FILES, point="t")


CHILD = """
import sys
from pathlib import Path
from suture.storage import atomic
for n in range(int(sys.argv[2]), 100000):
    content = {"a": b"%d" % n * 20000, "b": b"%d" % n}
    atomic.write_folder(Path(sys.argv[1]) / f"step-{n:06d}", content, point="checkpoint")
    print(n, flush=True)
"""


def check_whole(folder: Path, acknowledged: int) -> None:
    swept = atomic.sweep_temporary(folder)
    steps = sorted(entry.name for entry in folder.iterdir())
    assert len(swept) <= 1
    assert len(steps) >= acknowledged
    for n, name in enumerate(steps):
        assert name == f"step-{n:06d}"
        assert contents(folder / name) == {"a": b"%d" % n * 20000, "b": b"%d" % n}


@pytest.mark.parametrize("stage", atomic.CRASH_STAGES)
def test_s1_killed_at_every_crash_point(tmp_path: Path, stage: str) -> None:
    atomic.write_folder(tmp_path / "step-000000", {"a": b"0" * 20000, "b": b"0"}, point="t")
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), "1"],
        env={**os.environ, "SUTURE_CRASH_AT": f"checkpoint.{stage}"}, stdout=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL
    renamed = stage in ("after_rename", "after_sync")
    check_whole(tmp_path, 2 if renamed else 1)
    assert (tmp_path / "step-000001").exists() == renamed


def test_s1_killed_at_random(tmp_path: Path) -> None:
    moments, written = random.Random(0), 0
    for _ in range(5):
        arguments = [sys.executable, "-c", CHILD, str(tmp_path), str(written)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            acknowledged = int(child.stdout.readline()) + 1
            time.sleep(moments.uniform(0, 0.1))
            child.kill()
            acknowledged += child.stdout.read().count(b"\n")
        check_whole(tmp_path, acknowledged)
        written = len(list(tmp_path.iterdir()))


def test_s15_a_removal_that_is_killed_leaves_no_half_folder(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from suture.storage import atomic\n"
    code += "atomic.remove_folder(Path(sys.argv[1]) / 'old', point='retention')"
    for stage in atomic.REMOVE_STAGES:
        atomic.write_folder(tmp_path / "old", FILES, point="t")
        environment = {**os.environ, "SUTURE_CRASH_AT": f"retention.{stage}"}
        child = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
        assert child.returncode == -signal.SIGKILL
        if stage == "before_remove":
            assert contents(tmp_path / "old") == FILES
            atomic.remove_folder(tmp_path / "old")
        assert not (tmp_path / "old").exists()
        atomic.sweep_temporary(tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed_when_the_same_is_written_again(tmp_path: Path) -> None:
    """And nothing else: not what a living process writes, nor what is another file's."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead, alive = child.pid, os.getppid()
    (tmp_path / f".tmp-[x].html-0123-{dead}").write_bytes(b"half")
    (tmp_path / f".tmp-store-0123-{dead}").mkdir()
    (tmp_path / f".tmp-store-0123-{dead}" / "half").touch()
    kept = {f".tmp-[x].html-0123-{alive}", f".tmp-x.html-0123-{dead}", ".tmp-store-mine-now"}
    for name in kept:
        (tmp_path / name).touch()
    atomic.write_file(tmp_path / "[x].html", b"page", point="t")
    atomic.write_folder(tmp_path / "store", FILES, point="t")
    assert {entry.name for entry in tmp_path.iterdir()} == {*kept, "[x].html", "store"}


def test_sweep_does_not_follow_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".tmp-link").symlink_to(outside)
    assert atomic.sweep_temporary(tmp_path / "run") == [".tmp-link"]
    assert (outside / "precious").exists()


def test_s11_lines_are_appended_whole_and_a_torn_one_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    atomic.append_line(path, "one", sync=True)
    with fail_io(1, errno.ENOSPC), pytest.raises(StorageError, match="write"):
        atomic.append_line(path, "lost")
    atomic.append_line(path, "two")
    assert atomic.whole_lines(path) == (["one", "two"], "")
    path.write_text("one\ntwo\nthr")
    assert atomic.whole_lines(path) == (["one", "two"], "thr")
    with pytest.raises(ValueError, match="line break"):
        atomic.append_line(path, "a\nb")


def test_s3_a_line_written_in_part_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    atomic.append_line(path, "one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    try:
        with pytest.raises(StorageError, match="File too large"):
            atomic.append_line(path, "a line that does not fit")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "one\n"


def test_make_folder_syncs_every_new_level(tmp_path: Path) -> None:
    with record_io() as record:
        atomic.make_folder(tmp_path / "a" / "b")
    a, b = tmp_path / "a", tmp_path / "a" / "b"
    assert record == [
        ("create folder", a), ("fsync folder", tmp_path), ("create folder", b), ("fsync folder", a),
    ]  # fmt: skip


def test_a_line_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("kept\n")
    (tmp_path / "metrics.jsonl").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError):
        atomic.append_line(tmp_path / "metrics.jsonl", "{}")
    assert (tmp_path / "outside").read_text() == "kept\n"
