"""`suture make composite`: what it prints, what it leaves behind, what it refuses."""

import json
import sys
from pathlib import Path

import pytest
from making.composite import one_place

import suture.cli as cli
from suture.data.load import load
from suture.envs.composite import certificate
from suture.envs.composite.certify import certify

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


@pytest.mark.parametrize(
    "wrong", [("--without", "Z"), ("--overlap", 2), ("--episodes", 1), ("--workers", -1), ("--workers", 0)]
)
def test_what_makes_no_log_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: tuple[object, ...]
) -> None:
    assert run(monkeypatch, "composite", tmp_path / "log", *wrong) == 2
    assert not (tmp_path / "log").exists()
