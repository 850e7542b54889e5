"""S1, at length: kill -9 at random moments, resume, and compare with the run that nobody disturbed.

    python tests/faults/random_kills.py [--kills 200] [--algorithm bc] [--seed 0]

Four kills in five fall on a run that is under way, which writes a checkpoint every few milliseconds; the
fifth falls anywhere from the start of Python on. After each kill every checkpoint that stands must be
whole; at the end of each run the last one must equal the undisturbed one's, byte for byte. On two idle cores
a kill takes about four seconds. The slow form of test_kills.py (SUTURE_SLOW=1, SUTURE_KILLS=50) calls this.
"""

import dataclasses
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from making.runs import checkpoints, logged, newest, saved_walk, start, suture

from suture.storage import manifest

STEPS, EVERY, LOG = 1_000, 10, 5
LIVES = 12
"""After so many kills a run is let go to its end."""


@dataclasses.dataclass(kw_only=True)
class Settings:
    """Kill runs at random moments, resume them, and compare their ends byte for byte."""

    kills: int = 200
    """How many kills."""
    algorithm: str = "bc"
    """What is trained, with hidden layers of 8 units; bc compiles fastest."""
    seed: int = 0
    """Of the moments."""


@dataclasses.dataclass(kw_only=True)
class Tally:
    """What the kills met: runs that were brought to their end, and what lay about after a kill."""

    kills: int = 0
    runs: int = 0
    before_the_run: int = 0
    in_a_checkpoint: int = 0
    in_a_removal: int = 0
    in_a_line: int = 0
    furthest: int = 0


class Victim:
    """One run folder, whose writer is killed again and again."""

    def __init__(self, log: Path, out: Path, settings: Settings, moments: random.Random):
        self.out, self.moments = out, moments
        self.arguments = (
            "train", settings.algorithm, log, "--steps", STEPS, "--checkpoint-every", EVERY,
            "--log-every", LOG, "--hidden", 8, 8, "--out", out, "--resume",
        )  # fmt: skip

    def live(self) -> int | None:
        """Start or resume the run, and kill it at some moment. Returns its exit code, None where killed."""
        child = start(*self.arguments)
        if self.moments.random() < 0.8:
            await_growth(self.out, lambda: child.poll() is None)
            time.sleep(self.moments.uniform(0, 1.0))
        else:
            time.sleep(self.moments.uniform(0, 4))
        killed = child.poll() is None
        child.kill()
        _, said = child.communicate()
        if killed:
            return None
        if child.returncode != 0:
            raise SystemExit(f"The run ended with {child.returncode} by itself:\n{said}")
        return 0

    def finish(self) -> None:
        """Let the run come to its end."""
        done = suture(*self.arguments, timeout=1200)
        if done.returncode != 0:
            raise SystemExit(f"The run could not be resumed ({done.returncode}):\n{done.stderr}")


def await_growth(out: Path, alive: Callable[[], bool], *, times: int = 1) -> None:
    """Wait until the metrics of a run were seen to grow so often, or it is dead.

    A writer that takes the run up replaces the file, then appends to it.
    """

    def found() -> tuple[int, int]:
        path = out / "metrics.jsonl"
        file = path.stat() if path.exists() else None
        return (file.st_ino, file.st_size) if file else (0, 0)

    before = found()
    while times and alive():
        time.sleep(0.001)
        now = found()
        times -= now[0] == before[0] and now[1] > before[1]
        before = now


def examine(out: Path, tally: Tally) -> None:
    """After a kill: what bears a checkpoint's name must be whole, whatever lies beside it."""
    tally.kills += 1
    folder = out / "checkpoints"
    if not folder.is_dir():
        tally.before_the_run += 1
        return
    beside = [path.name for path in folder.iterdir() if path.name.startswith(".tmp-")]
    tally.in_a_checkpoint += any("remove-" not in name for name in beside)
    tally.in_a_removal += any("remove-" in name for name in beside)
    metrics = out / "metrics.jsonl"
    tally.in_a_line += metrics.exists() and metrics.read_bytes()[-1:] not in (b"\n", b"")
    for checkpoint in folder.glob("step-*"):
        header: dict[str, Any] = manifest.read_json(checkpoint / "manifest.json")
        if reasons := manifest.verify(checkpoint, header["files"]):
            raise SystemExit(f"{checkpoint} is not whole: {reasons}")
        tally.furthest = max(tally.furthest, header["step"])


def compare(out: Path, whole: Path) -> None:
    """The last checkpoint byte for byte, every line of metrics once and in order, nothing half-written."""
    name, content = newest(out)
    if (name, content) != newest(whole):
        raise SystemExit(f"{out}: {name} differs from the undisturbed run's.")
    if checkpoints(out) != checkpoints(whole):
        raise SystemExit(f"{out} keeps {list(checkpoints(out))}, the undisturbed run others.")
    if logged(out) != logged(whole):
        raise SystemExit(f"{out}: the lines of metrics differ from the undisturbed run's.")
    if left := [path.name for path in out.rglob(".tmp-*")]:
        raise SystemExit(f"{out}: {left} were left behind.")


def strike(settings: Settings, folder: Path) -> Tally:
    """Kill runs in `folder` until there were enough kills. Raises SystemExit where one does not recover."""
    os.environ.update(JAX_PLATFORMS="cpu", JAX_COMPILATION_CACHE_DIR=str(folder / "cache"))
    moments, tally = random.Random(settings.seed), Tally()
    log = saved_walk(folder / "walk.npz")
    whole = Victim(log, folder / "whole", settings, moments)
    whole.finish()
    while tally.kills < settings.kills:
        victim = Victim(log, folder / f"run-{tally.runs}", settings, moments)
        for _ in range(LIVES):
            if victim.live() is not None or tally.kills == settings.kills:
                break
            examine(victim.out, tally)
        victim.finish()
        compare(victim.out, whole.out)
        tally.runs += 1
        print(f"{tally.kills} kills, {tally.runs} runs", flush=True)
    return tally


def main(settings: Settings) -> None:
    """Strike, in a folder that is removed at the end."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="suture-kills-") as folder:
        tally = strike(settings, Path(folder))
    print(
        f"{tally.kills} kills of {tally.runs} runs in {time.monotonic() - began:.0f} s: every run ended in "
        f"the undisturbed one's checkpoint, byte for byte.\nKills before the run was begun: "
        f"{tally.before_the_run}; inside the writing of a checkpoint: {tally.in_a_checkpoint}; inside a "
        f"removal: {tally.in_a_removal}; inside a line of metrics: {tally.in_a_line}."
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
