"""How much memory a run may fill: what the kernel can give, not what happens to lie idle (S13, S14)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from suture.training import device

GIB = 1 << 30


def machine(root: Path, *, meminfo: str | None = None, cgroup: str = "", **files: str) -> Path:
    """A root folder with the kernel's files. files: path in sys/fs/cgroup, "__" for "/", -> content."""
    (root / "proc" / "self").mkdir(parents=True)
    if meminfo is not None:
        (root / "proc" / "meminfo").write_text(meminfo)
    (root / "proc" / "self" / "cgroup").write_text(cgroup)
    for name, content in files.items():
        path = root / "sys" / "fs" / "cgroup" / name.replace("__", "/").replace("memory_", "memory.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


MEMINFO = f"MemTotal: {64 << 20} kB\nMemFree: {1 << 20} kB\nMemAvailable: {40 << 20} kB\nCached: 1 kB\n"
V2 = {"cgroup": "0::/job/run\n", "meminfo": MEMINFO}
V1 = {"cgroup": "5:cpu,cpuacct:/x\n4:memory:/job\n1:name=systemd:/y\n", "meminfo": MEMINFO}


def test_cached_files_count_as_available(tmp_path: Path) -> None:
    """1 GiB lies idle, but the kernel would drop cached files for 40."""
    assert device.available_memory(machine(tmp_path, meminfo=MEMINFO)) == 40 * GIB


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"job__run__memory_max": f"{8 * GIB}\n", "job__run__memory_current": f"{5 * GIB}\n"}, 3),
        ({"job__run__memory_max": f"{8 * GIB}", "job__run__memory_current": f"{5 * GIB}",
          "job__run__memory_stat": f"anon {3 * GIB}\ninactive_file {2 * GIB}\nactive_file 7\n"}, 5),
        ({"job__run__memory_max": "max", "job__run__memory_current": "5",
          "job__memory_max": f"{6 * GIB}", "job__memory_current": f"{2 * GIB}"}, 4),
        ({"memory_max": f"{2 * GIB}", "memory_current": "0"}, 2),
        ({"job__run__memory_max": f"{GIB}", "job__run__memory_current": f"{2 * GIB}"}, 0),
        ({"job__run__memory_max": f"{90 * GIB}", "job__run__memory_current": "0"}, 40),
        ({"job__run__memory_max": "max", "job__run__memory_current": "0"}, 40),
        ({}, 40),
    ],
)  # fmt: skip
def test_limits_of_control_groups_hold(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    """Version 2, of the process's own group and of those above it."""
    assert device.available_memory(machine(tmp_path, **V2, **files)) == expected * GIB


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory__job__memory_limit_in_bytes": f"{8 * GIB}",
          "memory__job__memory_usage_in_bytes": f"{5 * GIB}",
          "memory__job__memory_stat": f"inactive_file 1\ntotal_inactive_file {GIB}\n"}, 4),
        ({"memory__memory_limit_in_bytes": f"{3 * GIB}", "memory__memory_usage_in_bytes": "0"}, 3),
        ({"memory__job__memory_limit_in_bytes": "9223372036854771712",
          "memory__job__memory_usage_in_bytes": "1"}, 40),
    ],
)  # fmt: skip
def test_limits_of_the_older_control_groups_hold(
    files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    assert device.available_memory(machine(tmp_path, **V1, **files)) == expected * GIB


@pytest.mark.parametrize("name", ["SC_AVPHYS_PAGES", "SC_PHYS_PAGES"])
def test_where_the_kernel_says_nothing_the_system_is_asked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS has neither /proc nor a count of free pages."""
    monkeypatch.setattr(os, "sysconf_names", {name: 1, "SC_PHYS_PAGES": 2})
    monkeypatch.setattr(os, "sysconf", lambda asked: {name: 1000, "SC_PAGE_SIZE": 4096}[asked])
    assert device.available_memory(tmp_path) == 4_096_000


def test_the_machine_at_hand_has_some() -> None:
    """Half of it is for data, and it is never more than there is."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < device.memory_for_data() <= total // 2


@pytest.mark.skipif(sys.platform != "linux", reason="an option of glibc")
@pytest.mark.parametrize(("shape", "kept"), [((64, 64, 3), True), ((16,), False)])
def test_what_is_freed_is_kept_where_there_are_pictures_and_given_back_when_asked(
    shape: tuple[int, ...], kept: bool
) -> None:
    """A block of 256 MB, in a process of its own: what stays of it when it is freed, in MB."""
    program = f"""
import numpy as np
from suture.spaces import Box
from suture.training import device
def used():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
device.reuse_memory(Box({shape}, "uint8"))
before = used()
block = np.ones(2**28, np.uint8)
del block
after = used()
device.available_memory()
print(after - before, used() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    after, at_last = (float(number) for number in done.stdout.split())
    assert (after > 200) == kept
    assert at_last < 50
