"""A table on the command line: what training says of it, and the names that a policy keeps."""

import json
import shutil
from pathlib import Path

import pytest
from making.runs import walk

import suture.cli as cli
from suture.algorithms.bc import BC
from suture.errors import SchemaNeeded
from suture.training.run import Run
from suture.training.train import train

ROWS = [
    f"{e},{t},{0.1 * t + e:.2f},{(t * 7 + e) % 5},{(t * 0.37 + e) % 1 - 0.5:.3f},{t % 3}"
    for e in range(4) for t in range(10)
]  # fmt: skip
SCHEMA = {"episode": "episode", "order": "t", "observation": ["x", "y"], "action": ["action"], "cost": "cost"}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Four episodes in which line 16 is missing: step 4 of the second."""
    rows = ROWS[:14] + ROWS[15:]
    (tmp_path / "log.csv").write_text("\n".join(["episode,t,x,y,action,cost", *rows]))
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    return tmp_path / "log.csv"


def test_training_says_what_it_learns_from_and_keeps_the_names(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ["--schema", tmp_path / "schema.json", "--steps", 20, "--hidden", 8, "--out", out]
    assert cli.run(["train", "bc", str(table), *map(str, arguments)]) == 0
    printed, err = capsys.readouterr()
    said = err.splitlines()
    assert printed.strip() == str(out)
    assert said[0] == f"{table}: 39 transitions in 4 episodes (0 terminated, 0 truncated, 4 unfinished)."
    assert said[1].startswith("warning order-gaps: 't' grows by 1 from row to row, but by more in 1 place")
    assert said[1].endswith("In the file: line 16.")
    assert [line for line in said if "warning" in line] == said[1:2], "warnings only, one line each"
    described = json.loads((out / "dataset.json").read_text())
    assert {name: described["schema"][name] for name in SCHEMA} == SCHEMA
    assert described["names"] == {"observation": ["x", "y"], "action": ["action"], "reward": ["cost"]}
    policy = Run(out).policy
    assert (policy.observation_names, policy.action_names) == (("x", "y"), ("action",))


def test_a_run_of_a_log_without_names_has_none_and_older_runs_open(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(BC(hidden=(8,)), walk(), out=run, steps=10)
    assert (Run(run).policy.observation_names, Run(run).policy.action_names) == (None, None)
    described = json.loads((run / "dataset.json").read_text())
    assert (described.pop("names"), described.pop("schema")) == ({}, None)
    (run / "dataset.json").write_text(json.dumps(described))
    older = Path(shutil.copytree(run, tmp_path / "older"))
    assert Run(older).policy.observation_names is None


def test_the_advice_does_not_repeat_the_proposal_and_its_commands_work(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SchemaNeeded) as refusal:
        cli.run(["inspect", "log.csv"])
    advice = refusal.value.advice
    assert "suture inspect log.csv > log.schema.json" in advice
    assert "{" not in advice
    assert json.dumps(refusal.value.proposal, indent=2) in str(refusal.value)
    monkeypatch.setattr("sys.argv", ["suture", "inspect", "log.csv"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert json.loads(out) == refusal.value.proposal
    assert err == f"suture: {advice}\n"
    (tmp_path / "log.schema.json").write_text(out)
    assert cli.run(["inspect", "log.csv", "--schema", "log.schema.json"]) == 0
    assert "Fit for training." in capsys.readouterr().out
