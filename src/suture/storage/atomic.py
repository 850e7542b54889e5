"""Files and folders that are written whole or not at all, and lines that are never glued together.

The order that survives a power loss: write to a temporary neighbour, fsync each file, fsync the folder,
rename, fsync the parent. A temporary's name begins with `.tmp-`, so that a restart can sweep it, and ends
with its writer's process number: what a killed one left is removed when the same thing is written again.

Every operation passes through `_operate`, where tests watch it, fail it or kill the process:
`suture.testing.disk` records and fails operations; the environment variable SUTURE_CRASH_AT names a
crash point, `POINT.STAGE` with a STAGE of `CRASH_STAGES` (or `REMOVE_STAGES`), at which the process kills
itself.
"""

import contextlib
import errno
import glob
import io
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from suture.errors import StorageError

Result = TypeVar("Result")
Content = bytes | Callable[[BinaryIO], None]
TEMPORARY = ".tmp-"
CRASH_STAGES = (
    "before_write", "before_file_sync", "before_folder_sync", "before_rename", "after_rename", "after_sync",
)  # fmt: skip
REMOVE_STAGES = ("before_remove", "before_unlink")

Watcher = Callable[[str, Path], None]
watcher: Watcher | None = None


def crash_point(name: str) -> None:
    """Kill this process, as a power cut would, where SUTURE_CRASH_AT equals `name`. For tests."""
    if os.environ.get("SUTURE_CRASH_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)


def write_folder(target: Path, files: Mapping[str, Content], *, point: str) -> None:
    """Write a folder of files, or nothing.

    target: must not exist; its parent must.   files: name -> bytes, or a function that writes them.
    point: prefix of the crash points.
    Raises `StorageError`; then `target` does not exist and nothing else has changed.
    """
    if os.path.lexists(target):
        raise StorageError(f"{target} exists already and is never overwritten. Remove it or name another.")
    temporary = _temporary(target)
    known = sum(len(content) for content in files.values() if isinstance(content, bytes))
    placed = False
    try:
        crash_point(f"{point}.before_write")
        _operate("create folder", temporary, lambda: os.mkdir(temporary), known)
        for name, content in files.items():
            _write(temporary / name, content, point=point, needed=known)
        crash_point(f"{point}.before_folder_sync")
        _sync_folder(temporary)
        crash_point(f"{point}.before_rename")
        _operate("rename", target, lambda: os.rename(temporary, target))
        placed = True
        crash_point(f"{point}.after_rename")
        _sync_folder(target.parent)
    except BaseException:
        if placed:
            os.rename(target, temporary)
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    crash_point(f"{point}.after_sync")


def write_file(path: Path, data: bytes, *, point: str) -> None:
    """Replace one file as a whole. Raises `StorageError`; then the former content stands.

    Only where the very last step fails (the fsync of the parent, after the rename) may the new content
    stand instead: whole, but not yet known to survive a power loss.
    """
    _place(path, lambda temporary: _write(temporary, data, point=point, needed=len(data)), point)


def make_file(path: Path, make: Callable[[Path], None], *, point: str) -> None:
    """`write_file` for a library that writes files itself.   make: writes the file at the path given."""

    def made(temporary: Path) -> None:
        _operate("write", temporary, lambda: make(temporary))
        crash_point(f"{point}.before_file_sync")
        with temporary.open("rb") as file:
            _operate("fsync", temporary, lambda: os.fsync(file.fileno()))

    _place(path, made, point)


def _place(path: Path, write: Callable[[Path], None], point: str) -> None:
    temporary = _temporary(path)
    try:
        crash_point(f"{point}.before_write")
        write(temporary)
        crash_point(f"{point}.before_rename")
        _operate("rename", path, lambda: os.replace(temporary, path))
        crash_point(f"{point}.after_rename")
        _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    crash_point(f"{point}.after_sync")


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, and make each of them last. An existing one is fine."""
    if path.is_dir():
        return
    make_folder(path.parent)
    _operate("create folder", path, lambda: path.mkdir(exist_ok=True))
    _sync_folder(path.parent)


def remove_folder(path: Path, *, point: str = "remove") -> None:
    """Remove a folder: renamed away first, so that what is left under its name is always whole."""
    crash_point(f"{point}.before_remove")
    doomed = _temporary(path.with_name(f"remove-{path.name}"))
    _operate("rename", path, lambda: os.rename(path, doomed))
    _sync_folder(path.parent)
    crash_point(f"{point}.before_unlink")
    _operate("remove", doomed, lambda: shutil.rmtree(doomed))


def sweep_temporary(parent: Path) -> list[str]:
    """Remove what interrupted writes left in `parent`. Returns the names. Call it holding the lock."""
    found = sorted(entry for entry in parent.glob(f"{TEMPORARY}*")) if parent.is_dir() else []
    for entry in found:
        whole_folder = entry.is_dir() and not entry.is_symlink()
        _operate("remove", entry, lambda e=entry, f=whole_folder: shutil.rmtree(e) if f else e.unlink())
    return [entry.name for entry in found]


def append_line(path: Path, text: str, *, sync: bool = False) -> None:
    """Append one line to a file, which is created where absent. `sync`: wait until it is on the disk.

    Raises `StorageError`; a line that was written in part is taken back.
    """
    if "\n" in text:
        raise ValueError(f"A line must not hold a line break: {text!r:.80}")
    append(path, f"{text}\n".encode(), sync=sync)


def append(path: Path, data: bytes, *, sync: bool = False) -> None:
    """`append_line` for any bytes. A link is not followed: it could lead out of the run."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    descriptor = _operate("open", path, lambda: os.open(path, flags, 0o666))
    try:
        before = os.fstat(descriptor).st_size
        try:
            with io.BufferedWriter(_Watched(descriptor, path, len(data))) as file:
                file.write(data)
        except StorageError:
            os.ftruncate(descriptor, before)
            raise
        if sync:
            _operate("fsync", path, lambda: os.fsync(descriptor))
    finally:
        os.close(descriptor)


def whole_lines(path: Path) -> tuple[list[str], str]:
    """The lines of a file that were written whole, and the torn rest ("" where there is none)."""
    lines = _operate("read", path, path.read_bytes).decode(errors="replace").split("\n")
    return lines[:-1], lines[-1]


class _Watched(io.FileIO):
    """A raw file on an open descriptor (which stays open) whose writes pass through `_operate`."""

    def __init__(self, descriptor: int, path: Path, needed: int):
        super().__init__(descriptor, "wb", closefd=False)
        self._path, self._needed = path, needed

    def write(self, data: Any, /) -> int:
        needed = max(self._needed, memoryview(data).nbytes)
        return _operate("write", self._path, lambda: io.FileIO.write(self, data), needed)


def _write(path: Path, content: Content, *, point: str, needed: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    descriptor = _operate("create", path, lambda: os.open(path, flags, 0o666), needed)
    try:
        with io.BufferedWriter(_Watched(descriptor, path, needed), 1 << 20) as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(cast(BinaryIO, file))
        crash_point(f"{point}.before_file_sync")
        _operate("fsync", path, lambda: os.fsync(descriptor), needed)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    def sync() -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    _operate("fsync folder", path, sync)


def _temporary(path: Path) -> Path:
    """A new name beside a path. What writers of this path that are dead have left there is removed."""
    for entry in path.parent.glob(f"{TEMPORARY}{glob.escape(path.name)}-*-*"):
        number = entry.name.rpartition("-")[2]
        if number.isdecimal() and _is_dead(int(number)):
            with contextlib.suppress(OSError):
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return path.with_name(f"{TEMPORARY}{path.name}-{uuid.uuid4().hex[:12]}-{os.getpid()}")


def _is_dead(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return False
    except (ProcessLookupError, OverflowError):
        return True
    return False


def _operate(operation: str, path: Path, function: Callable[[], Result], needed: int = 0) -> Result:
    """Do one file operation; a refusal of the disk becomes a `StorageError` that names it."""
    try:
        if watcher is not None:
            watcher(operation, path)
        return function()
    except OSError as error:
        raise StorageError(_explain(operation, path, error, needed)) from error


def _explain(operation: str, path: Path, error: OSError, needed: int) -> str:
    said = f"Could not {operation} {path}: {os.strerror(error.errno or 0)}."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{said} It needs {needed:,} bytes{_free(path)}. Free some space or write elsewhere."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{said} Check the permissions, or write elsewhere."
    return f"{said} What was stored before is intact."


def _free(path: Path) -> str:
    try:
        return f"; {shutil.disk_usage(path.parent).free:,} are free"
    except OSError:
        return ""
