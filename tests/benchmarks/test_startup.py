"""The rows of benchmarks/startup.py: medians, and the goals beside them."""

import json
from pathlib import Path

import startup


def test_rows_hold_medians_and_goals() -> None:
    row = startup.Row.of("x", [(1.0, 0.5), (3.0, 0.7), (2.0, 0.6)], 5.0)
    assert vars(row) == {"method": "x", "seconds": 2.0, "processor_seconds": 0.6, "goal": 5.0}


def test_importing_and_inspecting_are_within_their_goals(tmp_path: Path) -> None:
    """By processor time, which other work on the machine changes little."""
    assert startup.importing(3).processor_seconds < startup.IMPORT
    log = startup.made_log(tmp_path / "small.npz")
    row = startup.inspecting(log, 1, "small", tmp_path)
    assert 0.05 < row.processor_seconds < startup.INSPECT
    assert json.dumps(vars(row))
