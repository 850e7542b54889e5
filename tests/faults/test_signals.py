"""S12 before the first step: SIGTERM and Ctrl-C while a command imports, loads, stages, begins or compiles.

Each ends in exit code 75, and in a run that resumes exactly or in none at all.
"""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from making.runs import newest, saved_walk, start, suture

import suture.cli as cli
from suture import signals
from suture.training.outcome import Outcome
from suture.training.run import Run

FIELDS = ("--steps", "40", "--checkpoint-every", "20", "--log-every", "20", "--hidden", "8")
BEFORE = {
    "load": "suture.data.load.load",
    "split": "suture.training.train.split",
    "stage": "suture.data.stage.Stage.everything",
}
BEGUN = {
    "begin": "suture.training.device.describe",
    "init": "suture.training.program.Program.init",
    "first chunk": "suture.training.program.Program.run",
}
AFTER = {"outcome": "suture.training.train.Trainer._finish", "return": "suture.training.run.read_recipe"}

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_walk(tmp_path_factory.mktemp("log") / "walk.npz")


@pytest.fixture(scope="module")
def whole(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    assert suture("train", "bc", log, *FIELDS, "--out", out).returncode == 0
    return out


class Struck:
    """The command line in this process, struck by signals when a function is called for the first time."""

    def __init__(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
        self.capfd, self.monkeypatch = capfd, monkeypatch

    def __call__(self, *arguments: object, at: str = "", numbers: tuple[int, ...] = ()) -> tuple[int, str]:
        """Exit code and errors.   at: name of the function; `numbers` arrive before it does its work."""
        with self.monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["suture", *map(str, arguments)])
            patched.setattr(os, "_exit", sys.exit)  # a handler may raise here, where no JAX is on the stack
            if at:
                strike(patched, at, numbers)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        return int(ended.value.code or 0), self.capfd.readouterr().err


def strike(patched: pytest.MonkeyPatch, at: str, numbers: tuple[int, ...]) -> None:
    home: Any = found(at.rpartition(".")[0])
    original, left = getattr(home, at.rpartition(".")[2]), list(numbers)

    def struck(*arguments: Any, **options: Any) -> Any:
        while left:
            os.kill(os.getpid(), left.pop(0))
        return original(*arguments, **options)

    patched.setattr(home, at.rpartition(".")[2], struck)


def found(name: str) -> Any:
    """A module, or a class in one, by its dotted name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return getattr(found(name.rpartition(".")[0]), name.rpartition(".")[2])


@pytest.fixture
def struck(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Struck:
    return Struck(capfd, monkeypatch)


@pytest.mark.parametrize("number", signals.NUMBERS, ids=str)
@pytest.mark.parametrize("moment", BEFORE)
def test_a_signal_before_there_is_a_run_leaves_none(
    moment: str, number: signal.Signals, log: Path, whole: Path, tmp_path: Path, struck: Struck
) -> None:
    out = tmp_path / "run"
    arguments = ("train", "bc", log, *FIELDS, "--out", out)
    code, said = struck(*arguments, at=BEFORE[moment], numbers=(number,))
    assert code == 75
    last = said.splitlines()[-1]
    assert last.startswith(f"suture: {number.name} came before the first step: nothing was begun or changed.")
    assert "Traceback" not in said
    assert not (out / "config.json").exists()
    assert struck(*arguments)[0] == 0
    assert newest(out) == newest(whole)


@pytest.mark.parametrize("number", signals.NUMBERS, ids=str)
@pytest.mark.parametrize("moment", BEGUN)
def test_a_signal_before_the_first_step_ends_in_a_checkpoint(
    moment: str, number: signal.Signals, log: Path, whole: Path, tmp_path: Path, struck: Struck
) -> None:
    """While the run's files are written, or a program is compiled: no chunk is begun after it."""
    out = tmp_path / "run"
    arguments = ("train", "bc", log, *FIELDS, "--out", out)
    code, said = struck(*arguments, at=BEGUN[moment], numbers=(number,))
    assert code == 75
    assert "Continue with --resume" in said
    assert Run(out).outcome is Outcome.PREEMPTED
    assert Run(out).newest.step == (8 if moment == "first chunk" else 0)
    assert struck(*arguments, "--resume")[0] == 0
    assert newest(out) == newest(whole)


@pytest.mark.parametrize("moment", BEGUN | AFTER)
def test_two_sigterms_are_as_one(moment: str, log: Path, tmp_path: Path, struck: Struck) -> None:
    at, numbers = (BEGUN | AFTER)[moment], (signal.SIGTERM, signal.SIGTERM)
    code, said = struck("train", "bc", log, *FIELDS, "--out", tmp_path / "run", at=at, numbers=numbers)
    assert code == (0 if moment in AFTER else 75)
    assert "Traceback" not in said
    os.kill(os.getpid(), signal.SIGTERM)  # nor does one do harm while the interpreter is taken down


def test_a_resumed_run_that_is_struck_early_is_as_it_was(
    log: Path, whole: Path, tmp_path: Path, struck: Struck
) -> None:
    """From step 20, with a signal while staging and one in the first chunk."""
    out = tmp_path / "run"
    arguments = ("train", "bc", log, *FIELDS, "--out", out, "--resume")
    assert struck(*arguments, "--steps", "20")[0] == 0
    assert struck(*arguments, at=BEFORE["stage"], numbers=(signal.SIGTERM,))[0] == 75
    assert Run(out).newest.step == 20
    assert struck(*arguments, at=BEGUN["first chunk"], numbers=(signal.SIGTERM,))[0] == 75
    assert Run(out).newest.step == 28
    assert struck(*arguments)[0] == 0
    assert newest(out) == newest(whole)


def test_a_refusal_lets_go_of_the_signals(tmp_path: Path, struck: Struck) -> None:
    """What comes after the message must not say another."""
    assert struck("train", "bc", tmp_path / "absent.npz")[0] == 2
    os.kill(os.getpid(), signal.SIGTERM)


def test_other_commands_keep_the_ways_of_python(log: Path, struck: Struck) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts ignoring it
    code, said = struck("inspect", log, at=BEFORE["load"], numbers=(signal.SIGINT,))
    assert (code, said) == (130, "suture: interrupted.\n")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_signals_are_restored_around_a_run_in_python() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals.noted() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked == [signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
    with signals.noted() as asked:
        pass
    assert asked == []


def test_signals_are_heeded_before_anything_slow_is_imported() -> None:
    script = (
        "import os, runpy, signal, sys\n"
        "class Strike:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'suture.cli': os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Strike())\n"
        "sys.argv = ['suture', 'train', 'bc']\n"
        "runpy.run_module('suture', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (75, 1)
    assert done.stderr.startswith("suture: SIGTERM came before the first step")


@pytest.mark.parametrize("seconds", [0, 0.4, 1.2])
def test_a_child_struck_at_an_early_moment_ends_in_75(seconds: float, log: Path, tmp_path: Path) -> None:
    """From the moment at which it heeds signals: importing, loading, staging or compiling, as it happens."""
    out = tmp_path / "run"
    child = start("train", "bc", log, *FIELDS, "--steps", 1_000_000, "--out", out)
    while not heeds(child.pid, signal.SIGTERM):
        assert child.poll() is None
        time.sleep(0.001)
    time.sleep(seconds)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 75, said
    assert "Traceback" not in said
    if (out / "config.json").exists():
        assert Run(out).outcome is Outcome.PREEMPTED
        assert Run(out).newest.step >= 0
    else:
        assert "came before the first step" in said


def heeds(process: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        pytest.skip("which signals a process heeds is known from /proc alone")
    caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
