"""`make bench` prints what it names: benchmarks that exist, and have a quick form."""

from pathlib import Path


def test_what_make_prints_is_there_and_has_a_quick_form(root: Path) -> None:
    text = (root / "Makefile").read_text()
    line = next(line for line in text.splitlines() if line.startswith("BENCHMARKS :="))
    named = line.partition(":=")[2].split()
    assert {"updates", "scores", "generalisation_gap"} <= set(named)
    for name in named:
        assert "Options" in (root / "benchmarks" / f"{name}.py").read_text(), f"{name} has no --quick"
