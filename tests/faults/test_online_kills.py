"""T1, T2: fine-tuning killed by kill -9, in the midst of what it writes and at random moments, then resumed.

Python and JAX are loaded once, and each life of a run is forked from there. `tests/online/test_finetune.py`
breaks off at more points, without processes.
"""

import multiprocessing
import random
import time
from pathlib import Path

from making.runs import KILLED
from making.tuned import left, live, offline, tuned

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["suture.online.finetune"])
POINTS = ("checkpoint.after_rename", "round.after_sync", "checkpoint.before_rename", "round.after_line")
RANDOM = 2


def test_killed_inside_what_it_writes_and_at_random_moments(tmp_path: Path) -> None:
    start, out, moments = offline(tmp_path / "start"), tmp_path / "run", random.Random(0)
    whole = tuned(start, tmp_path / "whole", steps=240)
    for point in (*POINTS, *[""] * RANDOM):
        child = FORKED.Process(target=live, args=(start.path, out, point))
        child.start()
        if not point:
            before = played(out)
            while child.is_alive() and played(out) in (0, before):
                time.sleep(0.001)
            time.sleep(moments.uniform(0.0, 0.05))
            child.kill()
        child.join(120)
        assert child.exitcode == KILLED, "the run was over before it was killed"
    done = tuned(start, out, steps=240, resume=True)
    assert left(out) == left(whole.path)
    assert done.outcome is whole.outcome


def played(out: Path) -> int:
    """How many rounds a run has journalled."""
    path = out / "online" / "rounds.jsonl"
    return path.read_text().count("\n") if path.exists() else 0
