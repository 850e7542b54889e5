"""What the gate says about a table: in the names of its columns and the lines of its file."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from suture.data.dataset import Dataset
from suture.data.findings import Finding
from suture.data.formats.schema import Schema
from suture.data.load import load
from suture.data.log import Reading
from suture.data.summary import summarise
from suture.errors import DataRefused, FormatError

SCHEMA = Schema(
    episode="batch", order="minute", observation=("temperature", "pressure"), action=("steam", "coolant"),
    reward="profit",
)  # fmt: skip
ROWS, LENGTH = 400, 40
RNG = np.random.default_rng(0)
PLANT: dict[str, Any] = {
    "batch": np.repeat([f"B{n}" for n in range(ROWS // LENGTH)], LENGTH),
    "minute": np.tile(np.arange(LENGTH), ROWS // LENGTH),
    "temperature": RNG.normal(80, 5, ROWS), "pressure": RNG.normal(2, 0.3, ROWS),
    "steam": RNG.uniform(-1, 1, ROWS), "coolant": RNG.uniform(-1, 1, ROWS), "profit": RNG.normal(size=ROWS),
}  # fmt: skip


def put(column: str, row: int | list[int], value: Any) -> dict[str, Any]:
    """The column of the plant with some values replaced."""
    changed = np.array(PLANT[column])
    changed[row] = value
    return {column: changed}


def plant(
    tmp_path: Path, schema: Schema = SCHEMA, *, shuffle: bool = False, suffix: str = "csv",
    reading: Reading | None = None, **changes: Any,
) -> Dataset:  # fmt: skip
    frame = pl.DataFrame({**PLANT, **changes})
    frame = frame.reverse() if shuffle else frame
    path = tmp_path / f"plant.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    return load(path, schema=schema, admit=False, reading=reading or Reading())


def found(data: Dataset, id: str) -> Finding:
    return next(finding for finding in data.findings if finding.id == id)


def test_what_is_not_finite_is_named_by_column_and_line(tmp_path: Path) -> None:
    finding = found(plant(tmp_path, **put("pressure", [7, 50], np.nan)), "non-finite")
    assert finding.rows == (7, 50)
    assert "rows of observation ('pressure') hold NaN" in finding.message
    assert finding.message.endswith("In the file: lines 9, 52.")
    finding = found(plant(tmp_path, **put("coolant", 7, np.inf)), "non-finite")
    assert "rows of action ('coolant') hold" in finding.message
    finding = found(plant(tmp_path, **put("profit", 7, np.nan)), "non-finite")
    assert "rows of reward ('profit') hold" in finding.message


def test_rows_stay_those_of_the_dataset_where_the_file_is_in_another_order(tmp_path: Path) -> None:
    """Reversed, so that the batches come the other way round: row 0 of B0 is the last line."""
    data = plant(tmp_path, shuffle=True, **put("pressure", 7, np.nan))
    finding = found(data, "non-finite")
    row = ROWS - LENGTH + 7
    assert np.flatnonzero(np.isnan(np.asarray(data.observation)[:, 1])).tolist() == [row]
    assert finding.rows == (row,)
    assert finding.message.endswith(f"In the file: line {ROWS - 7 + 1}.")
    assert data.places is not None
    assert int(data.places.numbers[row]) == ROWS - 7 + 1
    summary = summarise(data)["findings"]
    assert all(set(f) == {"id", "severity", "count", "rows", "message"} for f in summary)
    assert [f["rows"] for f in summary if f["id"] == "non-finite"] == [[row], [row - 1]]
    assert "next_observation ('pressure')" in [f["message"] for f in summary if f["id"] == "non-finite"][1]


def test_rows_of_a_file_without_lines_are_counted_from_0(tmp_path: Path) -> None:
    data = plant(tmp_path, shuffle=True, suffix="parquet", **put("pressure", 7, np.nan))
    assert found(data, "non-finite").message.endswith(f"In the file: row {ROWS - 7 - 1}.")


def test_more_places_than_are_listed_are_hinted_at(tmp_path: Path) -> None:
    message = found(plant(tmp_path, **put("pressure", list(range(100)), np.nan)), "non-finite").message
    assert message.endswith("In the file: lines 2, 3, 4, 5, 6, …")


def test_final_states_are_named_and_shift_lines_and_no_rows(tmp_path: Path) -> None:
    """Row 5 of the file is no transition: the gap is before row 8 of the dataset, line 12 of the file."""
    rows = {"batch": ["a"] * 6 + ["b"] * 7, "minute": [*range(6), 0, 1, 2, 3, 7, 8, 9]}
    rest = {name: np.full(13, 0.5) for name in ("temperature", "pressure", "steam", "coolant", "profit")}
    rest["steam"][5] = rest["coolant"][5] = np.nan
    frame = pl.DataFrame({**rows, **rest}).with_columns(pl.col("steam", "coolant").fill_nan(None))
    frame.write_csv(tmp_path / "log.csv")
    data = load(tmp_path / "log.csv", schema=SCHEMA, admit=False)
    finding = found(data, "order-gaps")
    assert finding.rows == (9,)
    assert finding.message.endswith("In the file: line 12.")
    assert np.flatnonzero(~data.has_next).tolist() == [8, 11]
    final = found(data, "final-states-read")
    assert (final.severity, final.count, final.rows) == ("info", 1, (4,))
    assert "in 1 row of 13: such a row" in final.message
    assert "leaves 12 transitions" in final.message
    assert final.message.endswith("In the file: line 6.")


def test_columns_are_named_where_they_are_constant_drift_or_differ_in_scale(tmp_path: Path) -> None:
    data = plant(tmp_path, temperature=np.full(ROWS, 80.0), pressure=1e-4 * PLANT["pressure"])
    assert "One column never changes: 'temperature'. It is" in found(data, "constant-columns").message
    data = plant(tmp_path, pressure=PLANT["minute"] + 0.01 * PLANT["pressure"])
    assert "One column grows or falls with the step throughout episodes: 'pressure' (" in (
        found(data, "drifting-columns").message
    )
    data = plant(tmp_path, pressure=1e-4 * PLANT["pressure"])
    assert "'pressure' has deviation 3" in found(data, "column-scales").message
    assert ", 'temperature' 5" in found(data, "column-scales").message


def test_actions_are_named_where_they_leave_bounds_or_lie_apart(tmp_path: Path) -> None:
    bounded = dataclasses.replace(SCHEMA, action_bounds=(-1.0, 1.0))
    finding = found(plant(tmp_path, bounded, **put("coolant", 45, 7.5)), "actions-out-of-bounds")
    assert "('coolant': 7.5)" in finding.message
    assert finding.message.endswith("In the file: line 47.")
    assert (
        "'coolant' stays within"
        in found(plant(tmp_path, **put("coolant", 45, 70)), "action-outliers").message
    )
    assert (
        "Action 'coolant' reaches"
        in found(plant(tmp_path, coolant=9 * PLANT["coolant"]), "action-scale").message
    )
    single = dataclasses.replace(SCHEMA, action=("steam",), action_type="discrete")
    data = plant(tmp_path, single, steam=np.arange(ROWS) % 2 * 2)
    assert "1 of 3 choices of 'steam' were never taken" in found(data, "choices-never-taken").message


def test_amounts_in_whole_numbers_stay_amounts_where_the_schema_says_so(tmp_path: Path) -> None:
    single = dataclasses.replace(SCHEMA, action=("steam",))
    data = plant(tmp_path, single, steam=np.arange(ROWS) % 4)
    assert (data.action.dtype, data.action.shape) == (np.float32, (ROWS, 1))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_integers_that_float32_rounds_are_named(tmp_path: Path, suffix: str, kind: Any) -> None:
    stamps = (1_700_000_000 + np.arange(ROWS)).astype(kind)
    data = plant(tmp_path, suffix=suffix, temperature=stamps)
    finding = found(data, "rounded-integers")
    lost = np.flatnonzero(stamps.astype(np.float32).astype(np.float64) != stamps)
    assert (finding.count, finding.severity) == (len(lost), "warning")
    assert finding.rows == tuple(lost[:5])
    assert "values of 'temperature' are whole numbers that lose digits in float32 (1700000001 becomes" in (
        finding.message
    )
    assert f"In the file: {'lines 3, 4' if suffix == 'csv' else 'rows 1, 2'}" in finding.message
    measured = 2e7 + np.round(1e5 * PLANT["pressure"], 1)
    assert (measured[measured == np.trunc(measured)] > 1 << 24).sum() > 10
    exactly = (
        np.arange(ROWS) % 7 + 16_777_000,
        measured,
        6.02e23 + 1e20 * PLANT["pressure"],
        2.0**30 + 0 * stamps,
    )
    for exact in exactly:
        ids = {f.id for f in plant(tmp_path, suffix=suffix, temperature=exact).findings}
        assert "rounded-integers" not in ids


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_integers_that_float64_rounds_are_named_too(tmp_path: Path, suffix: str) -> None:
    """Time stamps in nanoseconds, and one that float32 would hold if float64 had not rounded it before."""
    for stamps in (1_700_000_000_000_000_001 + np.arange(ROWS), np.full(ROWS, (1 << 62) + 1)):
        assert found(plant(tmp_path, suffix=suffix, temperature=stamps), "rounded-integers").count == ROWS


def test_integers_that_float32_rounds_are_named_in_rewards_and_after_sorting(tmp_path: Path) -> None:
    finding = found(plant(tmp_path, shuffle=True, **put("profit", 3, 16_777_217)), "rounded-integers")
    assert "'profit'" in finding.message
    assert (finding.rows, finding.count) == ((ROWS - LENGTH + 3,), 1)
    assert finding.message.endswith(f"In the file: line {ROWS - 3 + 1}.")


def test_numbers_that_float32_cannot_hold_are_an_error(tmp_path: Path) -> None:
    data = plant(tmp_path, **put("pressure", 3, -1e39))
    finding = found(data, "overflow")
    assert (finding.severity, finding.rows) == ("error", (3,))
    assert "'pressure' are too large for float32" in finding.message


def test_a_cost_is_a_reward_with_the_sign_turned(tmp_path: Path) -> None:
    cost = dataclasses.replace(SCHEMA, reward=None, cost="profit")
    data = plant(tmp_path, cost, profit=np.arange(ROWS))
    assert data.reward is not None
    np.testing.assert_array_equal(data.reward, -np.arange(ROWS))
    assert not np.signbit(data.reward[0]), "0, and not -0"
    assert "The reward is minus 'profit', a cost" in found(data, "reward-is-minus-cost").message
    assert not {f.id for f in data.findings} & {"cost-never-positive"}
    data = plant(tmp_path, cost, profit=-np.arange(ROWS))
    assert found(data, "cost-never-positive").severity == "warning"
    assert data.names["reward"] == ("profit",)


GAPPED = np.delete(np.arange(ROWS), [5, 6, 100, 199, 250])


@pytest.mark.parametrize("shuffle", [False, True])
def test_nothing_is_bootstrapped_across_a_gap(tmp_path: Path, shuffle: bool) -> None:
    """Missing are two minutes in a row, two single ones, and the last of a batch, which leaves no gap."""
    frame = {name: np.asarray(values)[GAPPED] for name, values in PLANT.items()}
    table = pl.DataFrame(frame)
    (table.sample(fraction=1, shuffle=True, seed=3) if shuffle else table).write_csv(tmp_path / "log.csv")
    data = load(tmp_path / "log.csv", schema=SCHEMA)
    minute, batch = frame["minute"], frame["batch"]
    follows = np.append((minute[1:] == minute[:-1] + 1) & (batch[1:] == batch[:-1]), False)
    if shuffle:  # batches come in the order in which they first appear
        where = {label: np.flatnonzero(batch == label) for label in batch}
        assert data.places is not None
        by_line = pl.read_csv(tmp_path / "log.csv")["batch"].to_numpy()[data.places.numbers - 2]
        follows = np.concatenate([follows[where[label]] for label in dict.fromkeys(by_line.tolist())])
    np.testing.assert_array_equal(data.has_next, follows)
    following, observation = np.asarray(data.next_observation), np.asarray(data.observation)
    rows = np.flatnonzero(follows)
    np.testing.assert_array_equal(following[rows], observation[rows + 1])
    np.testing.assert_array_equal(following[~follows], observation[~follows])
    assert not data.bootstrappable[~follows].any()
    assert data.episodes == ROWS // LENGTH
    assert found(data, "order-gaps").count == 3
    assert found(data, "missing-next-observations").count == int((~follows).sum())


def test_a_gap_before_the_final_state_hides_it(tmp_path: Path) -> None:
    rows = {"batch": ["a"] * 8, "minute": [0, 1, 2, 3, 4, 5, 6, 9]}
    rest = {name: [float(n) for n in range(8)] for name in ("temperature", "pressure", "profit")}
    actions = {name: [0.5] * 7 + [None] for name in ("steam", "coolant")}
    for last, known in ((9, False), (7, True)):
        rows["minute"][-1] = last
        pl.DataFrame({**rows, **rest, **actions}).write_csv(tmp_path / "log.csv")
        data = load(tmp_path / "log.csv", schema=SCHEMA)
        assert len(data) == 7
        assert bool(data.has_next[-1]) is known
        assert np.asarray(data.next_observation)[-1, 0] == (7 if known else 6)


@pytest.mark.parametrize(
    ("role", "value"), [("terminated", 2), ("truncated", 0.5), ("done", -1), ("done", "nan")]
)
def test_what_is_no_flag_is_refused_with_lines(tmp_path: Path, role: str, value: Any) -> None:
    schema = dataclasses.replace(SCHEMA, **{role: "alarm"})
    flags = np.zeros(ROWS)
    flags[[3, 70]] = value
    said = (
        rf"'alarm' is named as {role} and must hold flags, 0 or 1 .*; 2 rows \(lines 5, 72\) hold something"
    )
    with pytest.raises(FormatError, match=said):
        plant(tmp_path, schema, alarm=flags)
    for fine in (PLANT["minute"] == LENGTH - 1, (PLANT["minute"] == LENGTH - 1) * 1.0):
        data = plant(tmp_path, schema, alarm=fine, reading=Reading(ends="termination"))
        assert data.terminated.sum() == (0 if role == "truncated" else ROWS // LENGTH)


def test_flags_divide_a_table_without_labels(tmp_path: Path) -> None:
    schema = dataclasses.replace(SCHEMA, episode=None, terminated="end")
    end = (PLANT["minute"] == LENGTH - 1) * 1
    data = plant(tmp_path, schema, end=end)
    assert data.lengths.tolist() == [LENGTH] * (ROWS // LENGTH)
    np.testing.assert_array_equal(np.asarray(data.observation)[:, 0], np.float32(PLANT["temperature"]))
    with pytest.raises(
        FormatError, match="no column labels the episodes, and rows are not in the order of 'minute'"
    ):
        plant(tmp_path, schema, shuffle=True, end=end)
    clock = dataclasses.replace(schema, order="clock")
    back = plant(tmp_path, clock, shuffle=True, end=end, clock=np.arange(ROWS))
    np.testing.assert_array_equal(np.asarray(back.observation), np.asarray(data.observation))
    assert back.lengths.tolist() == data.lengths.tolist()
    pauses = np.arange(ROWS) + 100 * (np.arange(ROWS) // LENGTH) + (np.arange(ROWS) > 10)
    for shuffle in (False, True):
        paused = plant(tmp_path, clock, shuffle=shuffle, end=end, clock=pauses)
        finding = found(paused, "order-gaps")
        assert (finding.count, finding.rows) == (1, (11,)), "a pause between episodes is no gap"


def test_a_recording_that_is_read_as_decisions_is_named(tmp_path: Path) -> None:
    schema = dataclasses.replace(SCHEMA, episode=None, order="clock")
    data = plant(tmp_path, schema, clock=60 * np.arange(ROWS))
    finding = found(data, "steps-read-as-episodes")
    assert finding.severity == "warning"
    assert "'clock' grows by 60 from row to row, as in a recording" in finding.message
    apart = plant(tmp_path, schema, clock=np.cumsum(RNG.integers(1, 1000, ROWS)))
    assert "steps-read-as-episodes" not in {f.id for f in apart.findings}


def test_names_and_schema_travel_with_the_data(tmp_path: Path) -> None:
    data = plant(tmp_path)
    assert data.names == {
        "observation": ("temperature", "pressure"), "action": ("steam", "coolant"), "reward": ("profit",),
    }  # fmt: skip
    assert data.schema == SCHEMA.to_json()
    part = data.take_episodes(np.array([3, 1]))
    assert part.names == data.names
    assert part.places is not None
    assert part.places.numbers[[0, LENGTH]].tolist() == [3 * LENGTH + 2, LENGTH + 2]


def test_lines_are_right_where_repeated_episodes_were_dropped(tmp_path: Path) -> None:
    """The rare reward stands after a dropped copy: its row is counted without it, its line with it."""
    frame = pl.DataFrame({**PLANT, "profit": np.where(np.arange(ROWS) == ROWS - 1, 1.0, 0.0)})
    copy = frame.head(LENGTH).with_columns(batch=pl.lit("copy"))
    pl.concat([frame.head(LENGTH), copy, frame.tail(-LENGTH)]).write_csv(tmp_path / "log.csv")
    data = load(tmp_path / "log.csv", schema=SCHEMA, reading=Reading(drop_duplicates=True))
    assert len(data) == ROWS
    finding = found(data, "rare-rewards")
    assert finding.rows == (ROWS - 1,)
    assert finding.message.endswith(f"In the file: line {ROWS + LENGTH + 1}.")
    assert found(data, "duplicates-dropped").message.endswith(f"In the file: line {LENGTH + 2}.")


@pytest.mark.parametrize("role", ["terminated", "truncated", "done"])
def test_an_end_inside_a_labelled_episode_is_an_error_that_names_the_alarm(tmp_path: Path, role: str) -> None:
    """A pressure alarm that passes is no end of the batch; divided there, values would be cut off."""
    schema = dataclasses.replace(SCHEMA, **{role: "alarm"})
    alarm = np.zeros(ROWS, int)
    alarm[LENGTH - 1 :: LENGTH] = 1
    assert not plant(tmp_path, schema, alarm=alarm).errors, "ends on last rows are ends"
    alarm[[7, 8, 50]] = 1
    data = plant(tmp_path, schema, alarm=alarm, shuffle=True)
    assert [finding.id for finding in data.errors] == ["end-within-episode"]
    message = data.errors[0].message
    assert message.startswith("'alarm' marks 3 rows as ends inside episodes whose label goes on, in 2 of 10")
    assert "leave its column out of the schema" in message
    assert message.endswith("In the file: lines 351, 394, 393.")
    with pytest.raises(DataRefused, match="end-within-episode"):
        data.admit()
    meant = plant(tmp_path, schema, alarm=alarm, reading=Reading(ends="termination"))
    assert not meant.errors
    assert found(meant, "end-within-episode").severity == "warning"
    assert meant.episodes == 13
