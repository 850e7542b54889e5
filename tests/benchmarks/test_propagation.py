"""The front of value: when it is said to have come, and what its map shows."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="mujoco is an extra")

import propagation
from propagation import fronts, in_order

from suture.envs.composite.env import STATE

STEPS = np.array([250, 500, 750])


def test_a_front_is_there_once_the_value_exceeds_half_of_its_end() -> None:
    values = np.array([[0.4, 10.0, 20.0], [0.6, 20.0, 41.0], [0.9, 40.0, 40.0]])
    assert fronts(values, STEPS) == [None, 750, 500], "one that ends below 1 has none; half is not more"


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ([5, 4, 3, 2, 1], True),
        ([3, 3, 2, 1, 1], True),
        ([None, None, 3, 2, 1], True),
        ([5, 4, 2, 3, 1], False),
        ([1, None, 3, 2, 1], False),
    ],
)
def test_the_order_is_that_of_the_stages_backwards(came: list[int | None], expected: bool) -> None:
    assert in_order(came) is expected


@pytest.mark.parametrize("came", [[None] * 5, [250] * 5, [None, 4, 3, 2, 1], [5, 4, 2, 3, 1]])
def test_fronts_that_are_missing_or_come_at_once_show_no_travel(came: list[int | None]) -> None:
    propagation.require_travel([5, 4, 3, 2, 1])
    with pytest.raises(SystemExit, match="did not travel"):
        propagation.require_travel(came)


def test_on_the_twin_the_fronts_come_in_order_after_as_many_sweeps_as_steps() -> None:
    exact = propagation.exact()
    assert exact["ordered"] == [True]
    assert exact["fronts"][0] == pytest.approx([44.4, 35.6, 26.7, 17.8, 8.9], abs=1)


def test_starts_are_the_same_each_time_and_of_their_stages() -> None:
    starts = propagation.starts_of(2)
    np.testing.assert_array_equal(starts, propagation.starts_of(2))
    np.testing.assert_array_equal(starts[:, STATE.index("unlocked")], np.repeat([0, 0, 0, 0, 1], 2))
    drawer = starts[:, STATE.index("drawer")]
    assert drawer[:4].max() < 0.5 * drawer[4:].min(), "it is open from the third stage on"


def test_the_map_marks_each_front_once(tmp_path: Path) -> None:
    exact = propagation.exact()
    panel = propagation.panel(exact, "sweeps")
    marked = [row["x2"] for row in panel.rows if row["marked"]]
    assert marked == exact["fronts"][0]
    propagation.draw([exact], exact, tmp_path / "map.svg")
    text = (tmp_path / "map.svg").read_text()
    assert "move the block" in text
    assert "sweeps of value iteration" in text
