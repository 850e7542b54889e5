"""The front of value: when it is said to have come, and what its map shows."""

from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="mujoco is an extra")

import propagation


@pytest.mark.parametrize("came", [[None] * 5, [250] * 5, [None, 4, 3, 2, 1], [5, 4, 2, 3, 1]])
def test_fronts_that_are_missing_or_come_at_once_show_no_travel(came: list[int | None]) -> None:
    propagation.require_travel([5, 4, 3, 2, 1])
    with pytest.raises(SystemExit, match="did not travel"):
        propagation.require_travel(came)


def test_on_the_twin_the_fronts_come_in_order_after_as_many_sweeps_as_steps() -> None:
    exact = propagation.exact()
    assert exact["ordered"] == [True]
    assert exact["fronts"][0] == pytest.approx([44.4, 35.6, 26.7, 17.8, 8.9], abs=1)


def test_the_map_marks_each_front_once(tmp_path: Path) -> None:
    exact = propagation.exact()
    panel = propagation.panel(exact, "sweeps")
    marked = [row["x2"] for row in panel.rows if row["marked"]]
    assert marked == exact["fronts"][0]
    propagation.draw([exact], exact, tmp_path / "map.svg")
    text = (tmp_path / "map.svg").read_text()
    assert "move the block" in text
    assert "sweeps of value iteration" in text
