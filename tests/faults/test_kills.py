"""Runs killed from outside and from within, then resumed: S1, S12 and S15, with real processes.

The default tests start few children and train bc, or a toy, which compile fast. `SUTURE_SLOW=1` trains iql
instead, and adds every crash point and SUTURE_KILLS random kills.
"""

import multiprocessing
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from faults import random_kills
from making.runs import KILLED, Toy, checkpoints, live, logged, newest, saved_walk, start, suture, walk

from suture.algorithms.table import algorithm_named
from suture.data.load import load
from suture.storage.atomic import CRASH_STAGES, REMOVE_STAGES
from suture.training.outcome import Outcome
from suture.training.run import Run
from suture.training.train import Watch, train

NAME = "iql" if os.environ.get("SUTURE_SLOW") else "bc"
STEPS, EVERY = 400, 50
FIELDS = ("--steps", STEPS, "--checkpoint-every", EVERY, "--log-every", 25, "--hidden", 8, 8)
LINES = [(step, 0) for step in range(25, STEPS + 1, 25)]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_walk(tmp_path_factory.mktemp("log") / "walk.npz")


@pytest.fixture(scope="module")
def whole(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run; it also fills the compilation cache for the others."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done = suture("train", NAME, log, *FIELDS, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out)
    return out


def check_equal(out: Path, whole: Path) -> None:
    """The last checkpoint byte for byte, every line of metrics once and in order, nothing half-written."""
    assert newest(out) == newest(whole)
    assert logged(out) == LINES
    assert not [path.name for path in out.rglob(".tmp-*")]
    assert Run(out).outcome is Outcome.COMPLETED


def finish(log: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    done = suture("train", NAME, log, *FIELDS, "--out", out, "--resume")
    assert done.returncode == 0, done.stderr
    return done


def when_logged(out: Path, step: int, child: "subprocess.Popen[str]") -> None:
    """Wait until a run has logged a step."""
    path = out / "metrics.jsonl"
    while child.poll() is None and not (path.exists() and f'"step": {step},' in path.read_text()):
        time.sleep(0.002)
    assert child.poll() is None, "the run was over before the signal"


def test_kill_9_at_a_random_time(log: Path, whole: Path, tmp_path: Path) -> None:
    """S1: in the middle of training, whenever that is."""
    out = tmp_path / "run"
    child = start("train", NAME, log, *FIELDS, "--out", out)
    when_logged(out, 75, child)
    child.kill()
    assert child.wait() == KILLED
    child.communicate()
    done = finish(log, out)
    assert "Continuing from step" in done.stderr
    check_equal(out, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_in_a_checkpoint_and_75(
    number: signal.Signals, log: Path, whole: Path, tmp_path: Path
) -> None:
    """S12: the step reached is saved, whatever it is; a second SIGTERM changes nothing."""
    out = tmp_path / "run"
    child = start("train", NAME, log, *FIELDS, "--out", out, "--steps", 100_000)
    when_logged(out, 75, child)
    child.send_signal(number)
    if number == signal.SIGTERM:
        child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 75, said
    assert "--resume" in said
    run = Run(out)
    assert run.outcome is Outcome.PREEMPTED
    assert run.newest.step >= 75


def test_a_preempted_run_continues_exactly(log: Path, whole: Path, tmp_path: Path) -> None:
    """S12: stopped at a step that is no multiple of anything, then continued in this process."""
    out, options = tmp_path / "run", {"steps": STEPS, "checkpoint_every": EVERY, "log_every": 25}

    def interrupt(step: int) -> None:
        if step >= 75 and not (out / "outcome.json").exists():
            os.kill(os.getpid(), signal.SIGTERM)

    algorithm: Any = algorithm_named(NAME)(**{"hidden": (8, 8)})
    run = train(algorithm, load(log), out=out, watch=Watch(progress=interrupt), **options)
    assert run.outcome is Outcome.PREEMPTED
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    train(algorithm, load(log), out=out, resume=True, **options)
    check_equal(out, whole)


@pytest.mark.parametrize("stage", ["before_file_sync", "after_rename"])
def test_killed_inside_a_checkpoint(stage: str, log: Path, whole: Path, tmp_path: Path) -> None:
    """S1: at two of the crash points; the slow form has them all."""
    crash(f"checkpoint.{stage}", log, tmp_path / "run")
    finish(log, tmp_path / "run")
    check_equal(tmp_path / "run", whole)


def crash(point: str, log: Path, out: Path) -> None:
    """Let a run kill itself at a crash point of its first write there; what stands is whole."""
    done = suture("train", NAME, log, *FIELDS, "--out", out, "--resume", SUTURE_CRASH_AT=point)
    assert done.returncode == KILLED, done.stderr
    for folder in (out / "checkpoints").glob("step-*"):
        assert {path.name for path in folder.iterdir()} == {"state.safetensors", "manifest.json"}


FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["suture.training.train"])


def test_killed_five_times_at_random_moments(tmp_path: Path) -> None:
    """S1, the short form: Python and JAX are loaded once, and each life of one run is forked from there."""
    often: dict[str, Any] = {"steps": 600, "checkpoint_every": 10, "log_every": 5}
    out, whole, moments = tmp_path / "run", tmp_path / "whole", random.Random(0)
    train(Toy(), walk(), out=whole, **often)
    tally = random_kills.Tally()
    for _ in range(5):
        child = FORKED.Process(target=live, args=(out, often))
        child.start()
        random_kills.await_growth(out, child.is_alive, times=moments.randrange(1, 6))
        time.sleep(moments.uniform(0, 0.003))
        child.kill()
        child.join()
        assert child.exitcode == KILLED, "the run was over before it was killed"
        random_kills.examine(out, tally)
    assert 0 < tally.furthest < often["steps"]
    live(out, often)
    random_kills.compare(out, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [*(f"checkpoint.{stage}" for stage in CRASH_STAGES), *(f"remove.{stage}" for stage in REMOVE_STAGES),
     *(f"json.{stage}" for stage in CRASH_STAGES if "folder" not in stage)],
)  # fmt: skip
def test_killed_at_every_crash_point(point: str, log: Path, whole: Path, tmp_path: Path) -> None:
    """S1, S15: three times in a row where the run gets so far, then resumed to the end."""
    out = tmp_path / "run"
    for _ in range(3):
        done = suture("train", NAME, log, *FIELDS, "--out", out, "--resume", SUTURE_CRASH_AT=point)
        assert done.returncode in (KILLED, 0), done.stderr
    finish(log, out)
    check_equal(out, whole)


@pytest.mark.slow
def test_killed_again_and_again_at_random_times(tmp_path: Path) -> None:
    """S1: random kills, most of them while checkpoints are written; each run is resumed until it is done."""
    settings = random_kills.Settings(kills=int(os.environ.get("SUTURE_KILLS", "50")), algorithm=NAME)
    tally = random_kills.strike(settings, tmp_path)
    assert tally.kills == settings.kills
    assert tally.in_a_checkpoint > 0


def test_whole_checkpoints_are_kept(whole: Path) -> None:
    """S15: five by default, the newest ones."""
    assert list(checkpoints(whole)) == [f"step-{step:012d}" for step in range(200, 401, 50)]
