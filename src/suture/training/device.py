"""The machine that a run is on: compilation cache, memory and versions."""

import importlib.metadata
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from suture.errors import OutOfBudget

PACKAGES = ("suture", "jax", "jaxlib", "equinox", "optax", "numpy", "safetensors")


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, unless JAX was told of another place."""
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(Path(base) / "suture" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


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


def memory_for_data() -> int:
    """Half of the free memory of the device (of the host, on a CPU), in bytes."""
    stats: dict[str, int] | None = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return (stats["bytes_limit"] - stats.get("bytes_in_use", 0)) // 2
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


@contextmanager
def memory_to_budget(data_bytes: int) -> Generator[None]:
    """Where the machine runs out of memory, say what was needed and what helps, as `OutOfBudget`."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        said = str(error).partition("\n")[0] or "the host refused an allocation"
        raise OutOfBudget(
            f"Out of memory: {said:.200}. All rows together take {data_bytes:,} bytes; stream them with a "
            f"--memory-limit below that, or lower --batch-size, --hidden or --seeds. Checkpoints are intact."
        ) from error
