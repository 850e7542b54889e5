"""A disk that can be watched and made to fail: for tests of everything that writes through `storage`."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from suture.storage import atomic


@contextlib.contextmanager
def record_io() -> Generator[list[tuple[str, Path]]]:
    """Collect every file operation (its name, its path) in order."""
    record: list[tuple[str, Path]] = []

    def watch(operation: str, path: Path) -> None:
        record.append((operation, path))

    with _watching(watch):
        yield record


@contextlib.contextmanager
def fail_io(n: int, errno: int, *, once: bool = True) -> Generator[list[tuple[str, Path]]]:
    """Fail the n-th file operation (from 0) with `errno`; with `once=False` all those after it as well.

    Yields the operations as they are attempted: fewer than n + 1 at the end means that none failed.
    """
    record: list[tuple[str, Path]] = []

    def watch(operation: str, path: Path) -> None:
        record.append((operation, path))
        if len(record) == n + 1 or (len(record) > n and not once):
            raise OSError(errno, os.strerror(errno))

    with _watching(watch):
        yield record


@contextlib.contextmanager
def _watching(watch: atomic.Watcher) -> Generator[None]:
    before, atomic.watcher = atomic.watcher, watch
    try:
        yield
    finally:
        atomic.watcher = before
