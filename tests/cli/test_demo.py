"""`suture demo`, shortened: cloning does not reach the goal, IQL does, and the page says so."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from suture.evaluation.kept import kept

demo = importlib.import_module("suture.cli.demo")  # of the package, the name is the command


def test_the_demonstration_shows_what_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in (("SEEDS", 1), ("STEPS", 3_000), ("EPISODES", 40)):
        monkeypatch.setattr(demo, name, value)
    assert demo.run_demo(tmp_path / "demo") == 0
    reached = {name: float(np.mean(kept(tmp_path / "demo" / name)[-1]["mean"])) for name in ("bc", "iql")}
    assert reached["bc"] < 0.1, json.dumps(reached)
    assert reached["iql"] > 0.7, json.dumps(reached)
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "no single" in page.lower() or "No episode" in page
    assert str(tmp_path / "demo" / "report.html") in capsys.readouterr().out.replace("\n", "")
