"""`suture inspect --deep` and `--against`: exact keys, what is printed, what is refused."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.gridworld import make_log
from making.logs import built, walk_log
from rich.console import Console

from suture import cli
from suture.data.formats import native
from suture.diagnosis.diagnose import diagnose
from suture.diagnosis.drift import drift
from suture.errors import RefusedInput
from suture.report.diagnosis import render, render_drift

INSPECT = {
    "transitions", "episodes", "terminated", "truncated", "unfinished", "missing_next_observations",
    "observation_space", "action_space", "returns", "findings",
}  # fmt: skip
REGIMES = {"imitation", "mixed", "heterogeneous", "random", "insufficient"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "grid"
    native.write(make_log("heterogeneous"), path)
    return path


def inspected(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert cli.run(["inspect", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_deep_adds_its_keys(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = inspected(capsys, store, "--deep")
    assert found.keys() == INSPECT | {"regime", "recommendation", "diagnosis"}
    assert found["regime"].keys() == {"label", "probabilities", "reasons"}
    assert found["regime"]["probabilities"].keys() == REGIMES
    assert found["regime"]["label"] == "heterogeneous"
    assert all(one.keys() == {"method", "preset", "evidence"} for one in found["recommendation"])
    assert found["diagnosis"]["sample"]["transitions"] == found["transitions"]
    assert inspected(capsys, store).keys() == INSPECT


def test_against_says_what_changed(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    native.write(make_log("imitation"), tmp_path / "other")
    found = inspected(capsys, store, "--against", tmp_path / "other")
    assert found.keys() == INSPECT | {"drift"}
    assert found["drift"]["changed"]
    assert found["drift"]["columns"][0].keys() == {
        "column", "before", "after", "mean_shift", "measure", "distance", "p_value",
    }  # fmt: skip
    same = inspected(capsys, store, "--against", store, "--deep")
    assert same.keys() == INSPECT | {"regime", "recommendation", "diagnosis", "drift"}
    assert not same["drift"]["changed"]


def test_the_answer_comes_first(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", str(store), "--deep"]) == 0
    said = capsys.readouterr().out
    order = [
        said.index(text) for text in ("Regime: heterogeneous", "Begin with", "Statistics", "transitions")
    ]
    assert order == sorted(order)
    assert "suture train iql DATA" in said


def test_a_log_with_errors_is_not_diagnosed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = walk_log((20,) * 5)
    reward = np.array(log.reward)
    reward[3] = np.nan
    np.savez(
        tmp_path / "log.npz", observations=log.observation, actions=log.action, rewards=reward,
        next_observations=log.next_observation, terminals=log.terminal, timeouts=np.zeros(100),
    )  # fmt: skip
    assert cli.run(["inspect", str(tmp_path / "log.npz"), "--deep", "--json"]) == 2
    assert json.loads(capsys.readouterr().out).keys() == INSPECT


def test_logs_of_two_tasks_are_refused(store: Path, tmp_path: Path) -> None:
    native.write(built(walk_log()), tmp_path / "walk")
    with pytest.raises(RefusedInput, match="cannot be compared"):
        cli.run(["inspect", str(store), "--against", str(tmp_path / "walk")])


@pytest.mark.parametrize("what", ["diagnosis", "drift"])
def test_everything_fits_eighty_columns(what: str) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    if what == "diagnosis":
        console.print(render(diagnose(make_log("heterogeneous")).to_json()))
    else:
        found = drift(make_log("mixed"), make_log("random")).to_json()
        found["columns"] = [{**one, "column": "[b]" + "long" * 30} for one in found["columns"]] * 6
        console.print(render_drift(found, "a" * 40 + ".npz", "b.npz"))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "[b]" in text or what == "diagnosis"


def test_a_diagnosis_needs_no_jax(store: Path) -> None:
    code = (
        "import sys, suture.cli; suture.cli.run(['inspect', sys.argv[1], '--deep', '--json']); "
        "sys.exit('jax' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(store)], check=False, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
