"""The front of value: when it is said to have come, and what its map shows."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="mujoco is an extra")

import _stitching
import propagation

from suture.data.build import build
from suture.envs.composite.certify import certify
from suture.envs.composite.collect import Recipe, collect


@pytest.mark.parametrize("came", [[None] * 5, [250] * 5, [None, 4, 3, 2, 1], [5, 4, 2, 3, 1]])
def test_fronts_that_are_missing_or_come_at_once_show_no_travel(came: list[int | None]) -> None:
    propagation.require_travel([5, 4, 3, 2, 1])
    with pytest.raises(SystemExit, match="did not travel"):
        propagation.require_travel(came)


def test_on_the_twin_the_fronts_come_in_order_after_as_many_sweeps_as_steps() -> None:
    exact = propagation.with_fronts(propagation.exact())
    assert exact["ordered"] == [True]
    assert exact["fronts"][0] == pytest.approx([44.4, 35.6, 26.7, 17.8, 8.9], abs=1)


def test_the_map_marks_each_front_once(tmp_path: Path) -> None:
    exact = propagation.with_fronts(propagation.exact())
    panel = propagation.panel(exact, "sweeps")
    marked = [row["x2"] for row in panel.rows if row["marked"]]
    assert marked == exact["fronts"][0]
    propagation.draw([exact], exact, tmp_path / "map.svg")
    text = (tmp_path / "map.svg").read_text()
    assert "move the block" in text
    assert "sweeps of value iteration" in text


def test_a_trace_has_the_values_of_every_checkpoint_and_how_its_run_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a log too small to be certified."""
    data = build(collect(Recipe(episodes=60), workers=1)).admit()
    monkeypatch.setattr(propagation, "certified", lambda *_: certify(data))
    small = dataclasses.replace(_stitching.IQL, hidden=(4,), batch_size=8)
    monkeypatch.setitem(propagation.METHODS, "iql", _stitching.Method(small, _stitching.everything))
    settings = propagation.Settings(steps=6, every=2, seeds=2, starts=2)
    found = propagation.result_of("iql", settings, data, keep=False)
    assert found is not None
    assert found["outcome"] == "Outcome.COMPLETED"
    assert found["checkpoints"] == [2, 4, 6]
    values = np.array(found["values"])
    assert values.shape == (2, 3, 5)
    assert (values[0] != values[1]).all(), "each member's values are its own"
    assert (values[:, 0] != values[:, 2]).any(), "and each checkpoint's"


def test_a_control_s_front_is_measured_by_what_the_first_method_ends_at() -> None:
    """Left-overs that pass the limit of 1 are no front where IQL's own value is ten times that."""
    left: dict[str, Any] = {"checkpoints": [0, 1, 2], "values": [[[0.0, 0.0], [1.5, 30.0], [2.0, 40.0]]]}
    assert propagation.with_fronts(left)["fronts"] == [[1, 1]]
    told = propagation.with_fronts(left, np.array([10.0, 20.0]))
    assert told["fronts"] == [[None, 1]]
    assert told["ordered"] == [True]
