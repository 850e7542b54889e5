"""One writer per folder. The lock is the kernel's, so that it dies with its owner."""

import contextlib
import errno
import fcntl
import json
import os
import socket
from pathlib import Path
from types import TracebackType

from suture.errors import FormatError, RunLocked, StorageError
from suture.storage.manifest import parse_json


class Lock:
    """Hold the lock file at `path` for the length of a `with` block.

    The file names the owner's host and pid for people; the lock itself is `flock`, which is free as soon
    as its owner is dead, whatever the file says. Raises `RunLocked` where another process holds it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._descriptor = -1

    def __enter__(self) -> "Lock":
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, flags, 0o666)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise StorageError(f"Could not open the lock {self.path}: {reason}.") from error
        try:
            self._take(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                reason = os.strerror(error.errno or 0)
                raise StorageError(f"Could not lock {self.path}: {reason}. Use another disk.") from error
            raise RunLocked(
                f"{self.path.parent} is being written to by {self._owner(descriptor)}. "
                "Wait for it, stop it, or write to another folder."
            ) from error
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same, without a name
            os.write(descriptor, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())

    def _owner(self, descriptor: int) -> str:
        try:
            owner = parse_json(os.pread(descriptor, 4096, 0), str(self.path))
            return f"process {owner['pid']} on host {owner['host']}"
        except (FormatError, KeyError, TypeError):
            return "another process"
