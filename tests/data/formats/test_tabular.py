"""Tables by a schema: grouped, sorted, gaps reported; refusals with columns and counts."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from suture.data.build import build
from suture.data.formats import cells, tabular
from suture.data.formats.schema import Schema
from suture.data.log import Log
from suture.errors import ConfigError, FormatError
from suture.spaces import Box, Discrete

SCHEMA = Schema(episode="e", order="t", observation=("x", "y"), action=("u",), reward="r")
TABLE = {
    "e": ["b", "b", "b", "a", "a"], "t": [0, 1, 2, 0, 1], "x": [0.0, 1, 2, 10, 11], "y": [1, 2, 3, 4, 5],
    "u": [0.5, -0.5, 0.25, 1.0, -1.0], "r": [1, 2, 3, 4, 5], "who": ["p", "p", "p", "q", "q"],
}  # fmt: skip


def table(path: Path, **changes: Any) -> Path:
    frame = pl.DataFrame({**TABLE, **changes}, strict=False)
    frame = frame.select(name for name in frame.columns if frame[name].dtype != pl.Null)
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path


def read(tmp_path: Path, schema: Schema = SCHEMA, *, suffix: str = "csv", **changes: Any) -> Log:
    return tabular.read(table(tmp_path / f"log.{suffix}", **changes), schema=schema)


def refused(tmp_path: Path, said: str, schema: Schema = SCHEMA, **changes: Any) -> None:
    for suffix in ("csv", "parquet"):
        with pytest.raises(FormatError, match=said):
            read(tmp_path, schema, suffix=suffix, **changes)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_keep_their_values_and_episodes_their_order(tmp_path: Path, suffix: str) -> None:
    log = read(tmp_path, dataclasses.replace(SCHEMA, columns=("who",)), suffix=suffix)
    np.testing.assert_array_equal(log.observation, [[0, 1], [1, 2], [2, 3], [10, 4], [11, 5]])
    assert isinstance(log.observation, np.ndarray)
    assert log.observation.dtype == np.float32
    np.testing.assert_array_equal(log.action[:, 0], np.float32(TABLE["u"]))
    np.testing.assert_array_equal(log.episode, [2, 2, 2, 1, 1])
    assert log.columns["who"].tolist() == TABLE["who"]
    assert (log.layout, log.findings, log.terminal, log.final_state) == ("table", (), None, None)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_names_may_hold_quotes(tmp_path: Path, suffix: str) -> None:
    quoted = {'the "x"': [7.0, 8, 9, 10, 11], '"': [1, 1, 1, 2, 2]}
    log = read(tmp_path, dataclasses.replace(SCHEMA, observation=('the "x"', '"')), suffix=suffix, **quoted)
    np.testing.assert_array_equal(log.observation, list(zip(*quoted.values(), strict=True)))


def test_interleaved_and_unsorted_rows_are_grouped_and_sorted(tmp_path: Path) -> None:
    order = [4, 1, 3, 0, 2]
    shuffled = {name: [values[n] for n in order] for name, values in TABLE.items()}
    log = read(tmp_path, dataclasses.replace(SCHEMA, columns=("who",)), **shuffled)
    np.testing.assert_array_equal(np.asarray(log.observation)[:, 0], [10, 11, 0, 1, 2])
    assert log.columns["who"].tolist() == ["q", "q", "p", "p", "p"]
    assert log.reward is not None
    np.testing.assert_array_equal(log.reward, [4, 5, 1, 2, 3])


def test_gaps_and_repeats_of_steps_are_reported(tmp_path: Path) -> None:
    steps = {"e": ["a"] * 12, "t": [0, 1, 2, 3, 4, 4, 5, 9, 10, 11, 12, 13]}
    rest = {name: [0.5] * 12 for name in ("x", "y", "u", "r", "who")}
    log = read(tmp_path, **steps, **rest)
    found = {finding.id: finding for finding in log.findings}
    assert found["order-gaps"].rows == (7,)
    assert found["order-duplicates"].rows == (5,)
    assert {finding.severity for finding in log.findings} == {"warning"}
    irregular = read(tmp_path, **{**steps, "t": [0, 3, 4, 9, 11, 15, 22, 30, 31, 44, 47, 60]}, **rest)
    assert irregular.findings == ()
    assert irregular.gap is None
    seconds = read(tmp_path, **{**steps, "t": [t / 2 for t in range(11)] + [99.5]}, **rest)
    assert [finding.id for finding in seconds.findings] == ["order-gaps"]
    assert "grows by 0.5 from row to row, but by more in 1 place, first from 5 to 99.5" in (
        seconds.findings[0].message
    )
    assert seconds.gap is not None
    assert np.flatnonzero(seconds.gap).tolist() == [10]


def test_gaps_in_dates_are_said_in_days_and_hours(tmp_path: Path) -> None:
    minutes = [0, 1, 2, 3, 4, 5, 6, 127, 128]
    times = [f"2024-03-01 {6 + m // 60:02d}:{m % 60:02d}:00" for m in minutes]
    rest = {name: [0.5] * 9 for name in ("x", "y", "u", "r", "who")}
    log = read(tmp_path, e=["a"] * 9, t=times, **rest)
    said = log.findings[0].message
    assert "grows by 0:01:00 from row to row" in said
    assert "first from 2024-03-01 06:06:00 to 2024-03-01 08:07:00: steps are missing" in said


def test_an_order_that_is_an_observation_too_shows_its_gaps(tmp_path: Path) -> None:
    steps = {"e": ["a"] * 8, "t": [0, 1, 2, 3, 4, 7, 8, 9]}
    rest = {name: [0.5] * 8 for name in ("x", "y", "u", "r", "who")}
    for suffix in ("csv", "parquet"):
        log = read(
            tmp_path, dataclasses.replace(SCHEMA, observation=("x", "t")), suffix=suffix, **steps, **rest
        )
        assert log.gap is not None
        assert np.flatnonzero(log.gap).tolist() == [4]
        np.testing.assert_array_equal(np.asarray(log.observation)[:, 1], steps["t"])


def test_dates_order_rows_and_travel_as_instants(tmp_path: Path) -> None:
    days = ["2020-01-03", "2020-01-01", "2020-01-02", "2020-02-01", "2020-01-31"]
    log = read(tmp_path, dataclasses.replace(SCHEMA, columns=("t",)), t=days)
    np.testing.assert_array_equal(np.asarray(log.observation)[:, 0], [1, 2, 0, 11, 10])
    assert log.columns["t"].dtype == np.dtype("datetime64[us]")
    assert str(log.columns["t"][0]).startswith("2020-01-01T00")
    refused(tmp_path, "order column 't' holds neither numbers nor dates", t=["one", "two", "x", "y", "z"])


def ids_of(log: Log) -> list[str]:
    return [finding.id for finding in log.findings]


def test_a_row_without_action_is_a_final_state(tmp_path: Path) -> None:
    log = read(tmp_path, u=[0.5, -0.5, None, 1.0, None], r=[1, 2, None, 4, None], t=[0, 1, None, 0, None])
    np.testing.assert_array_equal(log.final_state, [False, False, True, False, True])
    assert ids_of(log) == ["final-states-read"]
    long = {name: [0.5] * 14 for name in ("x", "y", "r", "who")}
    steps = {"e": ["a"] * 10 + ["b"] * 4, "t": [*range(10), 0, 1, 2, None], "u": [0.5] * 13 + [None]}
    assert ids_of(read(tmp_path, **long, **steps)) == ["final-states-read"], "and no gap"
    refused(
        tmp_path,
        r"action is empty in 1 row that are not the last of their episode \((line 3|row 1)\)",
        u=[0.5, None, 0.25, 1.0, -1.0],
    )
    refused(
        tmp_path,
        r"cells are empty: 'r' in 1 row \((line 3|row 1)\)",
        u=[0.5, -0.5, None, 1, 1],
        r=[1, None, None, 4, 5],
    )


def test_missing_cells_are_refused_with_columns_and_counts(tmp_path: Path) -> None:
    lines = r"'x' in 2 rows \((lines 2, 5|rows 0, 3)\), 'r' in 1 row \((line 3|row 1)\)"
    refused(tmp_path, lines, x=[None, 1, 2, None, 5], r=[1, None, 3, 4, 5])
    refused(tmp_path, r"'e' in 1 row \((line 2|row 0)\)", e=[None, "b", "b", "a", "a"])
    refused(tmp_path, r"'t' in 1 row \((line 2|row 0)\)", t=[None, 1, 2, 0, 1])
    bandit = dataclasses.replace(SCHEMA, episode=None)
    refused(tmp_path, "'u' in 1 row ", bandit, u=[None, 1, 1, 1, 1])


def test_nan_in_a_cell_is_left_to_the_gate(tmp_path: Path) -> None:
    assert np.isnan(np.asarray(read(tmp_path, x=[float("nan"), 1, 2, 3, 4]).observation)[0, 0])


def test_text_where_numbers_must_be_is_refused_with_counts(tmp_path: Path) -> None:
    lines = r"'x' in 2 rows \((lines 2, 3|rows 0, 1)\), first 'low'.*one column per category"
    refused(tmp_path, lines, x=["low", "high", "1", "2", "3"])


def test_few_cells_of_text_among_numbers_are_named_to_be_mended(tmp_path: Path) -> None:
    rows = 20
    lines = ["e,t,x,y,u,r", *(f"0,{n},{n / 8},0,0,0" for n in range(rows))]
    lines[4], lines[9] = "0,3,n/a,0,0,0", '0,8,"12,5",0,0,0'
    (tmp_path / "log.csv").write_text("\n".join(lines))
    with pytest.raises(FormatError) as refused:
        tabular.read(tmp_path / "log.csv", schema=dataclasses.replace(SCHEMA, columns=()))
    assert "'x' in 2 rows (lines 5, 10), first 'n/a', '12,5'" in str(refused.value)
    assert "All other cells are numbers, so mend these: write decimals" in str(refused.value)
    assert "category" not in str(refused.value)


def test_absent_numbers_are_mended_by_what_they_are(tmp_path: Path) -> None:
    """A step whose reward is absent cannot be dropped; the gate says the same of NaN as of an empty cell."""
    rewards = "Give these steps their reward (0 where nothing was earned), or remove their episodes"
    refused(tmp_path, re.escape(rewards), r=[1, None, 3, 4, 5])
    refused(tmp_path, re.escape(f"For 'r': {rewards}"), x=[None, 1, 2, 3, 5], r=[1, None, 3, 4, 5])
    refused(tmp_path, "For 'x': Fill in what was not measured", x=[None, 1, 2, 3, 5], r=[1, None, 3, 4, 5])
    data = build(read(tmp_path, r=[1, float("nan"), 3, 4, 5]))
    said = next(finding.message for finding in data.findings if finding.id == "non-finite")
    assert rewards in said


def test_what_is_no_number_in_a_parquet_file_is_named_by_its_type(tmp_path: Path) -> None:
    for values, said in (([[1.0, 2.0]] * 5, r"found List\(Float64\)"), ([b"ab"] * 5, "found Binary")):
        with pytest.raises(FormatError, match=f"column 'x' must hold one number a row, {said}"):
            read(tmp_path, suffix="parquet", x=values)
    for odd, said in (
        (float("nan"), r"cells are empty: '{}' in 1 row \(row 1\)"),
        (-np.inf, "or infinite in"),
    ):
        with pytest.raises(FormatError, match=said.format("t")):
            read(tmp_path, suffix="parquet", t=[0, odd, 1, 2, 3])
    with pytest.raises(FormatError, match="cells are empty: 'e' in 1 row"):
        read(tmp_path, suffix="parquet", e=[0, float("nan"), 1.5, 2, 2])


def test_decimals_label_and_order_rows_and_large_labels_stay_apart(tmp_path: Path) -> None:
    """Databases export whole numbers as decimals; labels of twenty digits are equal in float64."""
    wide = pl.Series(["12345678901234567890", *["12345678901234567891"] * 3, "7"]).cast(pl.Decimal(38, 0))
    times = pl.Series(["0.5", "1.5", "0.5", "1.0", "0"]).cast(pl.Decimal(10, 1))
    schema = dataclasses.replace(SCHEMA, columns=("t",))
    log = read(tmp_path, schema, suffix="parquet", e=wide, t=times)
    assert np.asarray(log.observation)[:, 0].tolist() == [0, 2, 10, 1, 11]
    assert [int((log.episode == label).sum()) for label in dict.fromkeys(log.episode)] == [1, 3, 1]
    assert log.columns["t"].tolist() == [0.5, 0.5, 1.0, 1.5, 0.0]


@pytest.mark.parametrize(("name", "last"), [("e", "a7"), ("t", "1.5"), ("who", "q"), ("e", str(2**70))])
def test_a_label_or_a_time_may_turn_into_another_kind_far_down(tmp_path: Path, name: str, last: str) -> None:
    rows = [f"{row // 10},{row % 10},{row},0.5,1,7" for row in range(10_020)]
    cells = dict(zip(("e", "t", "x", "u", "r", "who"), ["5000", "11", "1", "0.5", "1", "7"], strict=True))
    rows.append(",".join((cells | {name: last}).values()))
    (tmp_path / "log.csv").write_text("\n".join(["e,t,x,u,r,who", *rows]) + "\n")
    schema = dataclasses.replace(SCHEMA, observation=("x",), columns=("who",))
    log = tabular.read(tmp_path / "log.csv", schema=schema)
    assert len(dict.fromkeys(log.episode)) == 1003
    assert np.asarray(log.observation)[:10_020, 0].tolist() == list(range(10_020))


def test_integers_may_turn_to_fractions_late(tmp_path: Path) -> None:
    rows = 12_000
    values = ["1"] * (rows - 1) + ["1.5"]
    lines = ["e,t,x,y,u,r", *(f"0,{n},{value},0,0,0" for n, value in enumerate(values))]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    log = tabular.read(tmp_path / "log.csv", schema=SCHEMA)
    assert np.asarray(log.observation)[-1, 0] == 1.5
    (tmp_path / "log.csv").write_text("\n".join([*lines, f"0,{rows},oops,0,0,0"]))
    with pytest.raises(FormatError, match="column 'x' must hold numbers; line 12,002 holds 'oops'"):
        tabular.read(tmp_path / "log.csv", schema=SCHEMA)


def test_discrete_actions_are_integers_from_zero(tmp_path: Path) -> None:
    discrete = dataclasses.replace(SCHEMA, action_type="discrete")
    log = read(tmp_path, discrete, u=[0, 3, 1, 1, 0])
    assert (log.action_space, log.action.dtype, log.action.shape) == (Discrete(4), np.int32, (5,))
    refused(tmp_path, r"'u' is not in 1 row \((line 3|row 1)\), first -1", discrete, u=[0, -1, 1, 1, 0])
    refused(tmp_path, "'u' is not in 1 row .*, first 16777217", discrete, u=[0, 16_777_217, 1, 1, 0])
    refused(tmp_path, "'u' holds 3 choices numbered up to 1,700: too sparse", discrete, u=[0, 1700, 1, 1, 0])


def test_declared_bounds_become_the_space(tmp_path: Path) -> None:
    log = read(tmp_path, dataclasses.replace(SCHEMA, action_bounds=(-2.0, 2.0)))
    assert log.action_space == Box((1,), "float32", (-2.0,), (2.0,))
    assert read(tmp_path).action_space == Box((1,)), "continuous, by the schema; its bounds are not known"


@pytest.mark.parametrize(
    "lists", [["[0.2,0.8]"] * 5, ["[0.2 0.8]"] * 5, ["0.2;  0.8"] * 5, ["(0.2, 0.8)"] * 4 + [None]]
)
def test_lists_of_probabilities_are_read_from_text(tmp_path: Path, lists: list[str | None]) -> None:
    schema = dataclasses.replace(SCHEMA, action_type="discrete", action_probabilities=("p",))
    actions = [0, 1, 1, 1, 0 if lists[-1] else None]
    log = read(tmp_path, schema, u=actions, p=lists)
    assert log.action_probabilities is not None
    np.testing.assert_allclose(log.action_probabilities[:4], [[0.2, 0.8]] * 4, rtol=1e-6)
    refused(tmp_path, "one list of 2 numbers per row", schema, u=[0] * 5, p=[*["[0.2,0.8]"] * 4, "[1]"])
    refused(tmp_path, "one list of 2 numbers per row", schema, u=[0] * 5, p=[*["[0.2,0.8]"] * 4, "[x,1]"])
    refused(tmp_path, "one list of 2 numbers per row", schema, u=[0] * 5, p=[*["[0.2,0.8]"] * 4, None])


def test_probabilities_may_be_columns_or_lists(tmp_path: Path) -> None:
    schema = dataclasses.replace(SCHEMA, action_type="discrete", action_probabilities=("p", "q"))
    log = read(tmp_path, schema, u=[0] * 5, p=[0.1] * 5, q=[0.9] * 5)
    assert log.action_space == Discrete(2)
    schema = dataclasses.replace(schema, action_probabilities=("p",))
    log = read(tmp_path, schema, suffix="parquet", u=[0] * 5, p=[[0.1, 0.2, 0.7]] * 5)
    assert log.action_space == Discrete(3)


def test_flags_may_be_words_or_numbers(tmp_path: Path) -> None:
    schema = dataclasses.replace(SCHEMA, terminated="f", truncated="g", done="h")
    log = read(tmp_path, schema, f=[False, False, True, False, False], g=[0, 0, 0, 0, 1], h=[0.0, 0, 1, 0, 1])
    for flags, last in ((log.terminal, [2]), (log.timeout, [4]), (log.done, [2, 4])):
        assert flags is not None
        assert np.flatnonzero(flags).tolist() == last


def test_a_bandit_log_is_a_log_of_one_step_episodes(tmp_path: Path) -> None:
    log = read(tmp_path, dataclasses.replace(SCHEMA, episode=None, order=None))
    assert log.terminal is not None
    assert log.episode is not None
    assert log.terminal.all()
    assert len(set(log.episode.tolist())) == 5


def test_a_misspelt_column_or_key_is_named_with_the_nearest(tmp_path: Path) -> None:
    refused(
        tmp_path,
        r"no column 'whom', which the schema names. Did you mean 'who'\? Its columns: e, t, x, y, u, r, who",
        dataclasses.replace(SCHEMA, columns=("whom",)),
    )
    several = dataclasses.replace(SCHEMA, observation=("x", "speed", "height"))
    refused(tmp_path, "no columns 'speed', 'height', which the schema names. Its columns: e, t, x", several)
    (tmp_path / "schema.json").write_text(json.dumps({"observations": ["x"], "action": ["u"]}))
    with pytest.raises(
        ConfigError, match=r"schema\.json: .* no field 'observations'. Did you mean 'observation'"
    ):
        tabular.read(table(tmp_path / "log.csv"), schema=tmp_path / "schema.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"observation": []}, "at least one column"),
        ({"action": "u"}, r'action must be a JSON list .*, such as \["u"\]; found "u"'),
        ({"columns": [1]}, "columns must be a JSON list of names"),
        ({"action_bounds": "0 1"}, r"action_bounds must be a JSON list, \[low, high\]"),
        ({"format": 2}, "<= 1"),
        ({"action_bounds": [1, -1]}, "low < high"), ({"action_type": "text"}, "one of"),
        ({"reward": 3}, 'reward must be the name of one column, such as "reward", or null; found 3'),
        ({"reward": ["r"]}, r'such as "r", or null; found \["r"\]'),
        ({"action_type": "discrete", "action": ["u", "v"]}, "one column"),
        ({"action_type": "discrete", "action_bounds": [0, 1]}, "for continuous actions"),
    ],
)  # fmt: skip
def test_a_wrong_schema_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    values = {"observation": ["x"], "action": ["u"], **change}
    with pytest.raises(ConfigError, match=said):
        Schema.from_json(values)


def test_a_schema_comes_back_from_its_file(tmp_path: Path) -> None:
    schema = dataclasses.replace(SCHEMA, action_bounds=(-1.0, 1.0), columns=("who",))
    schema.save(tmp_path / "schema.json")
    assert Schema.from_json(json.loads((tmp_path / "schema.json").read_text())) == schema
    by_file = tabular.read(table(tmp_path / "log.csv"), schema=tmp_path / "schema.json")
    assert by_file.action_space == Box((1,), "float32", (-1.0,), (1.0,))


def test_batches_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "BATCH", 7)
    rows = 1000
    columns = {
        "e": np.arange(rows) // 10,
        "t": np.arange(rows) % 10,
        "x": np.arange(rows),
        "y": np.arange(rows),
    }
    frame = pl.DataFrame({**columns, "u": np.arange(rows), "r": np.arange(rows)})
    frame.write_csv(tmp_path / "log.csv")
    log = tabular.read(tmp_path / "log.csv", schema=SCHEMA)
    for array in (np.asarray(log.observation)[:, 1], log.action[:, 0], np.asarray(log.reward)):
        np.testing.assert_array_equal(array, np.arange(rows))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_d17_a_cut_parquet_is_named_with_its_size(tmp_path: Path, share: float) -> None:
    path = table(tmp_path / "log.parquet")
    content = path.read_bytes()[: int(share * path.stat().st_size)]
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"log\.parquet .*{len(content):,} bytes"):
        tabular.read(path, schema=SCHEMA)


@pytest.mark.parametrize(
    "name", ["s3://bucket/log.csv", "http://host/log.parquet", "gs://b/*.csv", "file:/x.csv"]
)
def test_d20_addresses_are_not_opened(name: str) -> None:
    for path in (Path(name), Path(name.replace("://", ":/"))):
        with pytest.raises(FormatError, match="is an address; only local files are read"):
            tabular.read(path, schema=SCHEMA)


def test_d20_patterns_and_partitions_in_a_path_mean_nothing(tmp_path: Path) -> None:
    table(tmp_path / "a.csv")
    with pytest.raises(FormatError, match="No such file"):
        tabular.read(tmp_path / "*.csv", schema=SCHEMA)
    folder = tmp_path / "e=hive"
    folder.mkdir()
    for suffix in ("csv", "parquet"):
        path = table(folder / f"[log].{suffix}")
        np.testing.assert_array_equal(tabular.read(path, schema=SCHEMA).episode, [2, 2, 2, 1, 1])


def test_an_empty_table_says_so(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("e,t,x,y,u,r\n")
    with pytest.raises(FormatError, match="header but no rows"):
        tabular.read(tmp_path / "log.csv", schema=SCHEMA)
