"""`make bench` prints what it names: benchmarks that exist, and have a quick form."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent.parent / "benchmarks"
OURS = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("peer_"))


@pytest.mark.parametrize("name", OURS)
def test_every_benchmark_finds_what_it_imports(name: str) -> None:
    """One that takes a helper from another would else break unseen when that one changes."""
    if name == "_keydoor":
        pytest.importorskip("minigrid", reason="needs pip install -e .[minigrid]")
    assert importlib.import_module(name).__doc__


def test_what_make_prints_is_there_and_has_a_quick_form(root: Path) -> None:
    text = (root / "Makefile").read_text()
    line = next(line for line in text.splitlines() if line.startswith("BENCHMARKS :="))
    named = line.partition(":=")[2].split()
    assert {"updates", "scores", "generalisation_gap", "stitching", "propagation", "overlap"} <= set(named)
    options = importlib.import_module("_bench").Options
    for name in named:
        found = vars(importlib.import_module(name)).values()
        assert any(isinstance(one, type) and issubclass(one, options) for one in found), (
            f"{name} has no --quick"
        )
