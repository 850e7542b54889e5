"""`suture finetune` and `suture loop`: what they take, what they print, and how they end."""

import json
from pathlib import Path

import pytest
from making.command import Command
from making.point import POINT, saved_point

from suture.algorithms.bc import BC
from suture.data.load import load
from suture.storage import manifest
from suture.training.run import Run
from suture.training.train import train

pytestmark = pytest.mark.usefixtures("compiled_once")
ENV = ("--env", f"making.point:{POINT}")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_point(tmp_path_factory.mktemp("log") / "point.npz")


@pytest.fixture(scope="module")
def trained(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    return train(BC(hidden=(4,), batch_size=8), load(log), out=out, steps=20, keep=3, log_every=20).path


def test_a_run_is_fine_tuned_evaluated_and_reported(trained: Path, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    fields = ("--steps", "40", "--window", "3", "--learning-rate", "0.001", "--log-every", "20")
    code, said, told = command("finetune", trained, *ENV, *fields, "--out", out)
    assert (code, said.strip()) == (0, str(out))
    assert "Return before" in told
    run = Run(out)
    assert run.algorithm == BC(hidden=(4,), batch_size=8, learning_rate=0.001)
    assert run.recipe.settings.keep == 3, "what is not said is as it was"
    assert run.recipe.settings.log_every == 20
    code, said, _ = command("evaluate", out, *ENV, "--episodes", "3", "--json")
    assert (code, json.loads(said)["episodes"]) == (0, 3)
    code, _, _ = command("report", out, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert f"Fine-tuning in making.point:{POINT}" in page
    summary = manifest.read_json(out / "online" / "summary.json")
    assert f"{summary['regret']:.4g}" in page
    code, said, _ = command("inspect", out / "online", "--json")
    assert (code, json.loads(said)["transitions"]) == (0, summary["steps"])


def test_a_return_below_the_bound_ends_with_4(trained: Path, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, said, told = command(
        "finetune", trained, *ENV, "--steps", "40", "--window", "2", "--least-return", "0", "--out", out
    )
    assert (code, said.strip()) == (4, str(out))
    assert "fell below its bound" in told


def test_help_and_refusals(trained: Path, command: Command, tmp_path: Path) -> None:
    code, said, _ = command("finetune", trained, "--help")
    assert code == 0
    for option in ("--env", "--share-first", "--learning-rate", "--least-return", "--checkpoint-every"):
        assert option in said
    assert "--normalise" not in said, "scales are those of the run"
    code, _, told = command("finetune", *ENV)
    assert (code, "begins with a run folder" in told) == (2, True)
    code, _, told = command("finetune", tmp_path, *ENV)
    assert (code, "is not a run folder" in told) == (2, True)
    code, _, told = command("finetune", trained, *ENV, "--member", "second")
    assert (code, "second" in told) == (2, True)
    code, _, told = command("loop", "--env", POINT)
    assert (code, "begins with a method" in told) == (2, True)


def test_a_loop_of_two_rounds(log: Path, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "loop"
    fields = ("--steps", "20", "--hidden", "4", "--rounds", "2", "--episodes", "4", "--at-once", "2")
    code, said, told = command("loop", "bc", log, *ENV, *fields, "--out", out)
    assert code == 0
    assert "320 transitions" in said
    assert "352 transitions" in said
    assert "Round 2: trained on 352 transitions" in told
    code, _, told = command("loop", "bc", log, *ENV, *fields, "--out", out)
    assert (code, "--resume" in told) == (2, True)
