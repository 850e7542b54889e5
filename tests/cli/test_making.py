"""`suture make`: what it prints, what it leaves behind, what it refuses."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
from making.composite import one_place

import suture.cli as cli
from suture.data.dataset import Dataset
from suture.data.load import load
from suture.envs.composite import certificate, collect
from suture.envs.composite.certify import Certificate, certify

pytest.importorskip("mujoco", reason="mujoco is an extra")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["suture", "make", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_log_is_made_with_its_certificates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "log"
    with one_place():
        assert run(monkeypatch, "composite", out, "--episodes", 100, "--workers", 1) == 0
    said = capsys.readouterr().out
    assert "100 episodes" in said
    assert "Never shown: holds." in said
    assert "steps that are another set's: none." in said
    assert "Stitch: holds." in said
    assert "Needed: every skill" in said
    proof = json.loads((out / "certificate.json").read_text())
    assert proof["holds"]
    assert f"{proof['stitched']['share']:.1%} of {proof['stitched']['starts']} starts have a path." in said
    stored = json.loads(json.dumps(certify(load(out)).to_json()))
    assert {name: proof[name] for name in stored} == stored
    assert run(monkeypatch, "composite", out, "--episodes", 200) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_a_control_without_a_set_has_no_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = run(
        monkeypatch, "composite", tmp_path / "log", "--episodes", 100, "--without", "C", "--without", "noise",
        "--workers", 1,
    )  # fmt: skip
    assert code == 0
    said = capsys.readouterr().out
    assert "Stitch: there is no path" in said
    assert "C " not in said.split("Scripts")[1].split("\n")[0]


def test_a_log_that_shows_too_much_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(certificate, "TASK", 4)  # the task's own episodes now start too early
    assert run(monkeypatch, "composite", tmp_path / "log", "--episodes", 200, "--workers", 1) == 1
    assert "Never shown: BROKEN." in capsys.readouterr().out


def test_a_log_with_a_path_that_a_set_is_not_needed_for_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As where a recovering script shows the skill of another set."""

    def leaking(data: Dataset) -> Certificate:
        return dataclasses.replace(certify(data), without={"A": 0.0, "B": 0.5, "C": 0.0})

    monkeypatch.setattr(collect, "certify", leaking)
    with one_place():
        assert run(monkeypatch, "composite", tmp_path / "log", "--episodes", 60, "--workers", 1) == 1
    assert "Needed: BROKEN." in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ("--without", "Z"),
        ("--overlap", 2),
        ("--epsilon", 2),
        ("--episodes", 1),
        ("--workers", -1),
        ("--workers", 0),
    ],
)
def test_what_makes_no_log_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: tuple[object, ...]
) -> None:
    assert run(monkeypatch, "composite", tmp_path / "log", *wrong) == 2
    assert not (tmp_path / "log").exists()


def test_grasps_are_made_and_what_does_not_fit_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("array_record", reason="array-record is an extra")
    options = ("--pixels", 16, "--mix", "exact=1,random=1", "--workers", 1, "--seed", 2)
    assert run(monkeypatch, "grasps", tmp_path / "log", "--episodes", 4, *options) == 0
    said = capsys.readouterr().out
    told = json.loads((tmp_path / "log" / "recipe.json").read_text())
    assert told["recipe"] == {
        "mix": {"exact": 1.0, "random": 1.0}, "objects": "train", "camera": "crop", "pixels": 16,
        "depth": False, "seed": 2,
    }  # fmt: skip
    assert "in 4 episodes." in said
    assert f"Succeeded: all {told['success']['all']:.1%}, exact 100.0%, random 0.0%." in said
    for wrong, why in (
        ((*options, "--episodes", 6), "never overwritten"),
        (("--episodes", 6, "--resume"), "another recipe"),
        (("--mix", "exact"), "--mix is NAME=SHARE"),
    ):
        assert run(monkeypatch, "grasps", tmp_path / "log", *wrong) == 2
        assert why in capsys.readouterr().err
    assert run(monkeypatch, "grasps", tmp_path / "log", "--episodes", 6, *options, "--resume") == 0
    assert "in 6 episodes." in capsys.readouterr().out


def test_make_lists_its_tasks_and_knows_no_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    said = capsys.readouterr().out
    assert "suture make composite" in said
    assert "suture make grasps" in said
    assert run(monkeypatch, "grasp") == 2
    assert "Did you mean 'grasps'?" in capsys.readouterr().err
