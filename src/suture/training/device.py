"""The machine that a run is on: compilation cache, memory and versions."""

import ctypes
import importlib.metadata
import os
import platform
import re
import resource
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from suture.errors import OutOfBudget
from suture.spaces import Space
from suture.training.crop import smallest_side

GROUP_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""Version of control groups -> files of the limit and the usage, and what memory.stat calls droppable."""
KEEP = {"M_MMAP_THRESHOLD": (-3, 1 << 30), "M_TRIM_THRESHOLD": (-1, (1 << 31) - 1), "M_ARENA_MAX": (-8, 1)}
"""Options of glibc's mallopt, with their numbers there, under which freed memory stays in the process."""
PACKAGES = ("suture", "jax", "jaxlib", "equinox", "optax", "numpy", "safetensors")


def prepare(observation: Space) -> None:
    """What training on such observations asks of the process, before JAX has started."""
    use_compilation_cache()
    reuse_memory(observation)


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, unless JAX was told of another place."""
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(Path(base) / "suture" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def reuse_memory(observation: Space) -> None:
    """Have the C library keep what is freed, in one heap, where observations hold pictures.

    Their programs are called for each update alone (`Program.stepwise`), and every call asks anew for
    tens of megabytes. glibc takes such blocks from the kernel and gives them back, and each update pays for
    the faults of all their pages: an eighth to a quarter of it (benchmarks/RESULTS.md). One heap takes
    effect before JAX has started threads. `available_memory` gives back what is kept. Without glibc nothing
    happens.
    """
    if smallest_side(observation) is None:
        return
    for option, value in KEEP.values():
        _of_glibc("mallopt", option, value)


def _of_glibc(name: str, *values: int) -> None:
    if sys.platform == "linux":
        getattr(ctypes.CDLL(None), name, lambda *_: 0)(*values)


def describe() -> dict[str, Any]:
    """Versions and device, for `versions.json`."""
    device = jax.devices()[0]
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "packages": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": f"{device.platform}: {device.device_kind}",
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def memory_left() -> int:
    """Bytes that the device (on a CPU: the host) can still give."""
    stats: dict[str, int] | None = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return available_memory()


def memory_for_data() -> int:
    """Half of the memory that is left, in bytes."""
    return memory_left() // 2


def available_memory(root: Path = Path("/")) -> int:
    """Bytes of the host's memory that this process can have.

    On Linux: what the kernel calls available (free, and cached files that it can drop), or what the control
    groups of the process or its address space (`ulimit -v`) leave, whichever is least. Elsewhere: free
    memory, or all, as the system tells.
    root: where /proc and /sys lie.
    """
    _of_glibc("malloc_trim", 0)
    said = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    known = [*_left_by_groups(root), *_left_by_limit(root), *((int(said[1]) << 10,) if said else ())]
    return min(known) if known else _pages() * os.sysconf("SC_PAGE_SIZE")


def _left_by_groups(root: Path) -> Iterator[int]:
    """What each control group above this process (version 2 or 1) leaves of its limit."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        names = GROUP_FILES[1 if controllers else 2]
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            place = root.joinpath("sys/fs/cgroup", *(("memory",) if controllers else ()), *parts[:depth])
            limit, used = (_text(place / name).strip() for name in names[:2])
            cached = re.search(rf"^{names[2]} (\d+)", _text(place / "memory.stat"), re.MULTILINE)
            if limit.isdecimal() and used.isdecimal():
                yield max(0, int(limit) - int(used) + (int(cached[1]) if cached else 0))


def _left_by_limit(root: Path) -> Iterator[int]:
    """What the limit of the address space leaves, where there is one."""
    limit, pages = resource.getrlimit(resource.RLIMIT_AS)[0], _text(root / "proc/self/statm").split()
    if limit != resource.RLIM_INFINITY and pages:
        yield max(0, limit - int(pages[0]) * resource.getpagesize())


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _pages() -> int:
    name = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(name)


@contextmanager
def memory_to_budget(data_bytes: int) -> Generator[None]:
    """Where the machine runs out of memory, say what was needed and what helps, as `OutOfBudget`."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        said = str(error).partition("\n")[0].rstrip(".") or "the host refused an allocation"
        raise OutOfBudget(
            f"Out of memory: {said:.200}. All rows together take {data_bytes:,} bytes; stream them with a "
            f"--memory-limit below that, or lower --batch-size, --hidden or --seeds. Checkpoints are intact."
        ) from error
