"""What a proposal takes from values and from parts of names: clocks, actuators, reasons, texts of choices."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from suture.data.formats import tabular
from suture.data.formats.schema import Schema
from suture.data.load import load
from suture.errors import SchemaNeeded

RUNS, LENGTH = 20, 15
RUN, STEP = np.repeat(np.arange(RUNS), LENGTH), np.tile(np.arange(LENGTH), RUNS)
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(4, RUNS * LENGTH))
WHY = np.array([""] * (RUNS * LENGTH), dtype="U10")
WHY[STEP == LENGTH - 1] = ["fell", "time_limit"] * (RUNS // 2)
CLOCK = 0.02 * STEP + RNG.uniform(0, 1e-3, len(STEP))


def proposed(folder: Path, **columns: Any) -> tuple[dict[str, Any], str]:
    """The proposal for a table with a speed and a reward, and what is said."""
    frame = pl.DataFrame({"speed": NOISE[0], "reward": NOISE[1], **columns}, strict=False)
    frame.with_columns(pl.col(pl.String).replace("", None)).write_csv(folder / "log.csv")
    with pytest.raises(SchemaNeeded) as refusal:
        tabular.read(folder / "log.csv")
    return refusal.value.proposal, refusal.value.advice


@pytest.mark.parametrize(
    "name", ["t_s", "time_s", "elapsed_s", "seconds", "clock", "Time [s]", "sim_time", "t_ms"]
)
def test_a_time_is_the_order_whatever_its_unit(name: str, tmp_path: Path) -> None:
    proposal, _ = proposed(tmp_path, run=RUN, **{name: CLOCK}, action=NOISE[2])
    assert (proposal["order"], proposal["observation"]) == (name, ["speed"])


def test_a_clock_is_known_by_its_pace_under_any_name(tmp_path: Path) -> None:
    proposal, said = proposed(tmp_path, run=RUN, tau=CLOCK, action=NOISE[2])
    assert proposal["order"] == "tau"
    assert "'tau' was guessed to be the order" in said
    distance = np.cumsum(np.abs(NOISE[3]).reshape(RUNS, LENGTH), axis=1).reshape(-1)
    proposal, _ = proposed(tmp_path, run=RUN, distance=distance, action=NOISE[2])
    assert (proposal["order"], proposal["observation"]) == (None, ["speed", "distance"]), "of no even pace"
    proposal, _ = proposed(tmp_path, tau=CLOCK, action=NOISE[2], done=STEP == LENGTH - 1)
    assert (proposal["episode"], proposal["order"]) == (None, "tau"), "between flags"


def test_a_clock_whose_rows_are_out_of_order_is_known_by_name_or_named(tmp_path: Path) -> None:
    mixed = np.random.default_rng(1).permutation(len(RUN))
    fixed = {"run": RUN[mixed], "action": NOISE[2]}
    assert proposed(tmp_path, **fixed, t_s=CLOCK[mixed])[0]["order"] == "t_s"
    proposal, said = proposed(tmp_path, **fixed, tau=CLOCK[mixed])
    assert proposal["order"] is None
    assert "Perhaps 'tau', which grows evenly if sorted?" in said


def test_a_temperature_is_no_time(tmp_path: Path) -> None:
    proposal, _ = proposed(tmp_path, run=RUN, T_s=20 + NOISE[3], action=NOISE[2])
    assert (proposal["order"], proposal["observation"]) == (None, ["speed", "T_s"])


@pytest.mark.parametrize("name", ["motor_torque", "valve_setpoint", "motor voltage", "joint_cmd"])
def test_words_for_what_is_set_propose_an_action(name: str, tmp_path: Path) -> None:
    proposal, said = proposed(tmp_path, run=RUN, step=STEP, **{name: NOISE[2]}, battery_voltage=NOISE[3])
    assert proposal["action"] == [name]
    assert f"Taken as actions by their names: '{name}'" in said
    assert proposal["observation"] == ["speed", "battery_voltage"], "which is measured"


@pytest.mark.parametrize("labelled", [True, False])
def test_reasons_and_texts_of_choices_are_read_as_they_are_proposed(labelled: bool, tmp_path: Path) -> None:
    moves = np.array(["stay", "left", "right"])[STEP % 3]
    labels = {"run": RUN, "step": STEP} if labelled else {"seconds": CLOCK}
    proposal, said = proposed(tmp_path, **labels, move=moves, why_ended=WHY)
    assert proposal["terminated"] == {"column": "why_ended", "is": ["fell"]}
    assert proposal["truncated"] == {"column": "why_ended", "is": ["time_limit"]}
    assert (proposal["action"], proposal["action_type"]) == (["move"], "discrete")
    assert proposal["action_values"] == ["left", "right", "stay"]
    assert "terminated where it is 'fell'; truncated where it is 'time_limit'. Mend the lists." in said
    assert "'move' holds texts and was taken as the action by its name" in said
    data = load(tmp_path / "log.csv", schema=Schema.from_json(json.loads(json.dumps(proposal))))
    assert (data.episodes, data.terminated.sum(), data.truncated.sum()) == (RUNS, RUNS // 2, RUNS // 2)
    np.testing.assert_array_equal(data.action, (STEP + 2) % 3)


def test_what_may_be_no_reason_is_left_to_a_person(tmp_path: Path) -> None:
    fixed = {"run": RUN, "step": STEP, "action": NOISE[2]}
    other = np.where(WHY == "fell", "left the lab", WHY)
    proposal, said = proposed(tmp_path, **fixed, end_reason=other)
    assert (proposal["terminated"], proposal["truncated"]["is"]) == (None, ["time_limit"])
    assert "Add those of 'left the lab' that end episodes." in said
    for elsewhere in (np.repeat(WHY[STEP == LENGTH - 1], LENGTH), np.roll(WHY, -1)):
        proposal, said = proposed(tmp_path, **fixed, end_reason=elsewhere)
        assert proposal["terminated"] is None
        assert "'end_reason' (it says why episodes ended on other rows than their last; clear those)" in said
    proposal, _ = proposed(tmp_path, **fixed, comment=WHY)
    assert proposal["terminated"] is None, "by no name"
    proposal, _ = proposed(tmp_path, **fixed, end_reason=WHY, terminated=WHY == "fell")
    assert proposal["terminated"] == "terminated"
    assert proposal["truncated"] == {"column": "end_reason", "is": ["time_limit"]}
