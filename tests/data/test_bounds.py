"""Bounds of actions, of all dimensions or of each: as they are stated, typed, guessed, used and printed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making.logs import built, changed, ids, walk_log

import suture.cli as cli
from suture import spaces
from suture.cli.options import prepared
from suture.data import bounds
from suture.data.load import load
from suture.data.log import Reading
from suture.errors import ConfigError

LENGTHS = (30,) * 4


def valve_log() -> Any:
    """A valve in percent beside a heater that is on or off; nothing states their bounds."""
    rng, rows = np.random.default_rng(0), sum(LENGTHS)
    action = np.stack([rng.uniform(0, 100, rows), rng.integers(0, 2, rows)], axis=1)
    names = {"action": ("valve", "heater")}
    return changed(walk_log(LENGTHS), action=action, action_space=None, names=names)


def message(data: Any, id: str) -> str:
    return next(finding.message for finding in data.findings if finding.id == id)


def test_a_percent_beside_a_switch_is_told_to_state_each_dimension_and_then_fits() -> None:
    data = built(valve_log())
    assert ids(data, "error") == {"action-scale"}
    said = message(data, "action-scale")
    assert "--action-bounds 0:100 0:1 (in Python: Reading(action_bounds=((0, 100), (0, 1))))" in said
    assert said.index("0:100 0:1") < said.index("observed") < said.index("rescale")
    assert "LOW HIGH" not in said, "which would apply 0 to 100 to both"
    assert "LOW HIGH" not in message(data, "action-bounds-read")
    data = built(valve_log(), action_bounds=((0, 100), (0, 1)))
    assert not {"action-scale", "action-range-unused"} & ids(data)
    assert data.action_space == spaces.Box((2,), low=(0.0, 0.0), high=(100.0, 1.0))
    assert str(data.action_space) == "box[2] float32 in [0, 100] x [0, 1]"


def test_a_dimension_that_uses_little_of_its_range_is_warned_of() -> None:
    data = built(valve_log(), action_bounds=(0, 100))
    assert "action-range-unused" in ids(data, "warning")
    assert "'heater' (0 to 1 of [0, 100])" in message(data, "action-range-unused")
    assert "--action-bounds 0:100 0:1" in message(data, "action-range-unused")
    assert "action-range-unused" not in ids(built(valve_log(), action_bounds=((0, 100), (0, 19.9)))), "5 %"
    assert "action-range-unused" in ids(built(valve_log(), action_bounds=((0, 100), (0, 20.1))))


def test_bounds_of_another_number_of_dimensions_are_refused() -> None:
    with pytest.raises(ConfigError, match="bounds of 3 dimensions; an action has 2"):
        built(valve_log(), action_bounds=((0, 100), (0, 1), (0, 1)))


@pytest.mark.parametrize("wrong", [(1,), ((0, 1), (1, 1)), ((0, 1), 2), (0, float("nan")), ("0", "1"), ()])
def test_what_are_no_bounds_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="low < high"):
        Reading(action_bounds=wrong)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("-1 1", (-1.0, 1.0)), ("0:100 0:1", ((0.0, 100.0), (0.0, 1.0))), ("-1:1", ((-1.0, 1.0),)),
        ("0 100 0 1", ((0.0, 100.0), (0.0, 1.0))), ("0:100,-1:1e3", ((0.0, 100.0), (-1.0, 1000.0))),
        ("observed", "observed"),
    ],
)  # fmt: skip
def test_bounds_are_typed_in_any_of_these_forms_before_or_after_the_log(
    typed: str, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Any]()
    monkeypatch.setattr("suture.data.load.load", lambda path, **more: seen.append((path, more)) or 1 / 0)
    for arguments in (
        ["--action-bounds", *typed.split(), "log.csv"],
        ["log.csv", "--action-bounds", *typed.split()],
    ):
        with pytest.raises(ZeroDivisionError):
            cli.run(["inspect", *arguments])
    assert [(str(path), more["reading"].action_bounds) for path, more in seen] == [("log.csv", expected)] * 2


@pytest.mark.parametrize("typed", ["1", "1 2 3", "0:1 2", "wide"])
def test_bounds_that_cannot_be_read_are_refused_with_the_forms(typed: str) -> None:
    with pytest.raises(ConfigError, match="LOW:HIGH for each of them"):
        cli.run(["inspect", "log.csv", "--action-bounds=" + ",".join(typed.split())])


def test_other_arguments_are_left_as_they_are() -> None:
    assert prepared(["x.npz", "--steps", "5", "--seed", "-1"]) == ["x.npz", "--steps", "5", "--seed", "-1"]


NUMBERS = st.integers(-(10**7), 10**7).map(lambda value: value / 1000)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4))
def test_guessed_bounds_hold_what_was_observed(pairs: list[tuple[float, float]]) -> None:
    low, high = np.array([sorted(pair) for pair in pairs]).T
    guess = bounds.guessed(low, high)
    bounds.check(guess, "guess")
    least, most = bounds.arrays(guess, len(low), "guess")
    slack = 1e-3 * np.maximum(np.abs(low), np.abs(high))
    assert (least <= low + slack).all()
    assert (most >= high - slack).all()


@pytest.mark.parametrize("large", [1e39, 10**400], ids=["float", "whole"])
def test_bounds_beyond_float32_are_refused(large: float) -> None:
    with pytest.raises(ConfigError, match="at most 1e\\+38 in size"):
        Reading(action_bounds=(-1, large))


def test_a_schema_states_each_dimension_too(tmp_path: Path) -> None:
    log = valve_log()
    rows = [
        f"{i // 30},{x:.4f},{v:.3f},{h:.0f}"
        for i, ((x, *_), (v, h)) in enumerate(zip(log.observation, log.action, strict=True))
    ]
    (tmp_path / "log.csv").write_text("\n".join(["run,x,valve,heater", *rows]))
    schema = {"episode": "run", "observation": ["x"], "action": ["valve", "heater"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema | {"action_bounds": [[0, 100], [0, 1]]}))
    data = load(tmp_path / "log.csv", schema=tmp_path / "schema.json")
    assert str(data.action_space) == "box[2] float32 in [0, 100] x [0, 1]"
    assert data.schema is not None
    assert data.schema["action_bounds"] == [[0, 100], [0, 1]]
    for wrong in ([[0, 100]], [[0, 100], [1, 0]], [0, [0, 1]]):
        (tmp_path / "schema.json").write_text(json.dumps(schema | {"action_bounds": wrong}))
        with pytest.raises(ConfigError, match=r"Schema\.action_bounds"):
            load(tmp_path / "log.csv", schema=tmp_path / "schema.json")


def test_the_identity_of_stored_state_does_not_follow_how_spaces_are_printed() -> None:
    space = spaces.Dict.of(
        {"arm": spaces.Box((2,), low=(0.0, 0.0), high=(100.0, 1.0)), "mode": spaces.Discrete(3)}
    )
    assert spaces.signature(space) == "{arm: box[2] float32 in [0, 100], mode: discrete(3)}"
