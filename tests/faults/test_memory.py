"""S13 in earnest: a process whose address space is limited, and a batch that does not fit into it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from making.runs import checkpoints, saved_walk

import suture

CHILD = """
import resource, sys
import jax, suture
from suture.errors import OutOfBudget
from suture.training import train

log, began, fresh = sys.argv[1:]
data, used = suture.load(log), jax.devices() and int(open("/proc/self/statm").read().split()[0])
limit = used * resource.getpagesize() + (16 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for out, check in (fresh, train.require_room), (began, lambda *_: None):
    train.require_room = check
    try:
        suture.train(suture.BC(hidden=(8,), batch_size=1 << 30), data, out=out, resume=True, steps=40)
    except OutOfBudget as error:
        print(error)
"""


def test_s13_a_batch_beyond_the_memory_is_refused_with_the_bytes_and_checkpoints_stay(tmp_path: Path) -> None:
    """By the estimate, before anything is allocated or begun; without it, by what the allocator says."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("how much address space is used is known from /proc alone")
    log, out, fresh = saved_walk(tmp_path / "walk.npz"), tmp_path / "run", tmp_path / "fresh"
    suture.train(suture.BC(hidden=(8,)), suture.load(log), out=out, steps=20)
    before = checkpoints(out)
    config = json.loads((out / "config.json").read_text())
    config["fields"]["batch_size"] = 1 << 30  # as on a larger machine
    (out / "config.json").write_text(json.dumps(config))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(log), str(out), str(fresh)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-2000:]
    estimated, allocated = child.stdout.splitlines()
    numbers = re.match(r"One update needs ([\d,]+) bytes beside .*; ([\d,]+) are left\.", estimated)
    assert numbers
    needed, left = (int(number.replace(",", "")) for number in numbers.groups())
    assert needed > 5 * 4 << 30, "the batch alone is larger"
    assert left <= 16 << 30
    assert not (fresh / "config.json").exists()
    assert re.search(r"Out of memory allocating \d{11,} bytes\. ", allocated)
    assert checkpoints(out) == before
