"""Columns of text that say why an episode ended, or which choice was taken."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from suture.data.dataset import Dataset
from suture.data.findings import Finding
from suture.data.formats.schema import Schema
from suture.data.load import load
from suture.errors import ConfigError, FormatError

FELL, LIMIT = {"column": "why", "is": ["fell", "lost"]}, {"column": "why", "is": ["time_limit"]}
SCHEMA = Schema(
    episode="run", order="t", observation=("x",), action=("move",), action_type="discrete",
    action_values=("stay", "left", "right"), terminated=FELL, truncated=LIMIT,
)  # fmt: skip
RUNS, LENGTH = 4, 5
ROWS = RUNS * LENGTH
WHY = [None] * ROWS
WHY[4::5] = ["fell", "time_limit", " lost ", "left the lab"]
TABLE: dict[str, Any] = {
    "run": np.repeat(np.arange(RUNS), LENGTH), "t": np.tile(np.arange(LENGTH), RUNS),
    "x": np.sin(np.arange(ROWS)), "move": np.array(["left", "right ", "stay", "left"])[np.arange(ROWS) % 4],
    "why": WHY,
}  # fmt: skip


@pytest.fixture(params=["csv", "parquet", "categories"])
def folder(request: Any, tmp_path: Path) -> Any:
    """Loads the table with some columns changed, from a file of the kind."""

    def loaded(schema: Schema = SCHEMA, **changes: Any) -> Dataset:
        frame = pl.DataFrame({**TABLE, **changes}, strict=False)
        path = tmp_path / ("log.csv" if request.param == "csv" else "log.parquet")
        if request.param == "categories":
            texts = [name for name in frame.columns if frame[name].dtype == pl.String]
            frame = frame.with_columns(pl.col(texts).cast(pl.Categorical))
        frame.write_csv(path) if request.param == "csv" else frame.write_parquet(path)
        (tmp_path / "schema.json").write_text(json.dumps(schema.to_json()))
        return load(path, schema=tmp_path / "schema.json", admit=False)

    return loaded


def found(data: Dataset, id: str) -> Finding:
    return next(finding for finding in data.findings if finding.id == id)


def test_texts_become_flags_and_choices(folder: Any) -> None:
    data = folder()
    assert np.flatnonzero(data.terminated).tolist() == [4, 14]
    assert np.flatnonzero(data.truncated).tolist() == [9]
    assert data.action.tolist() == [[1, 2, 0, 1][n % 4] for n in range(ROWS)]
    assert (data.action_space.n, data.action.dtype) == (3, np.int32)
    assert Schema.from_json(data.schema) == SCHEMA
    assert data.names["action"] == ("move",)
    said = found(data, "ends-by-values")
    assert (said.severity, said.count) == ("info", 3)
    assert said.message.startswith(
        "'why' says why episodes end: terminated where it is 'fell' (1 row), 'lost' (1 row); truncated where "
        "it is 'time_limit' (1 row). Other values end nothing: 'left the lab' (1 row)."
    )


def test_choices_are_those_that_are_listed_taken_or_not(folder: Any) -> None:
    data = folder(dataclasses.replace(SCHEMA, action_values=("up", "left", "stay", "right", "down")))
    assert data.action_space.n == 5
    assert data.action.tolist() == [[1, 3, 2, 1][n % 4] for n in range(ROWS)]
    last = [None if n % LENGTH == LENGTH - 1 else "left" for n in range(ROWS)]
    assert len(folder(move=last)) == ROWS - RUNS, "an empty action holds a final state"


def test_an_action_that_is_not_listed_is_refused_by_name_and_line(folder: Any) -> None:
    moves = np.where(np.arange(ROWS) % 7 == 3, "lfet", TABLE["move"])
    where = r"in 3 rows \((lines 5, 12, 19|rows 3, 10, 17)\), first 'lfet'\. Did you mean 'left'\?"
    with pytest.raises(FormatError, match="'move' holds what action_values does not list, " + where):
        folder(move=moves)


def test_a_value_that_never_ends_anything_is_a_warning(folder: Any) -> None:
    schema = dataclasses.replace(SCHEMA, truncated={"column": "why", "is": ["Time limit"]})
    said = found(folder(schema), "ends-by-values")
    assert said.severity == "warning"
    assert "'time_limit' (1 row)" in said.message.partition("Other values end nothing: ")[2]
    assert "It never holds 'Time limit': see whether it is spelt so." in said.message


def test_numbers_may_stand_for_ends_and_choices_too(folder: Any) -> None:
    code: list[int | None] = [None] * ROWS
    code[4::5] = [2, 1, 2, 7]
    schema = dataclasses.replace(
        SCHEMA,
        action_values=(1, 2),
        terminated={"column": "why", "is": [2]},
        truncated={"column": "why", "is": [1]},
    )
    data = folder(schema, why=code, move=1 + np.arange(ROWS) % 2)
    assert np.flatnonzero(data.terminated).tolist() == [4, 14]
    assert np.flatnonzero(data.truncated).tolist() == [9]
    assert data.action.tolist() == [n % 2 for n in range(ROWS)]
    with pytest.raises(FormatError, match="'why' holds numbers, but the schema lists 'fell', 'lost'"):
        folder(why=code)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"terminated": {"column": "why"}}, "terminated must be the name of one column"),
        ({"done": {"column": "why", "is": []}}, "done must be the name of one column"),
        ({"truncated": {"column": "why", "is": "fell"}}, "truncated must be the name of one column"),
        ({"truncated": {"column": "why", "is": ["lost"]}}, "'why' cannot be terminated and truncated"),
        ({"truncated": {"column": "x", "is": [1]}}, "column 'x' as observation and as truncated"),
        ({"truncated": "why"}, "column 'why' as terminated and as truncated"),
        ({"action_values": "left right"}, r"action_values must be a JSON list .*\[\"left\", \"right\"\]"),
        ({"action_values": ["left", "left"]}, "different texts or numbers"),
        ({"action_type": "continuous"}, "different texts or numbers, with action_type \"discrete\""),
    ],
)  # fmt: skip
def test_what_says_nothing_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Schema.from_json({**SCHEMA.to_json(), **change})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"terminated": None, "truncated": "why"},
         '"truncated": {"column": "why", "is": ["fell", "time_limit", " lost ", "left the lab"]}'),
        ({"action_values": ()}, '"action_values": ["left", "right ", "stay"]'),
        ({"action_values": (), "action_type": "continuous"}, "Encode the text as numbers"),
    ],
)  # fmt: skip
def test_advice_on_text_goes_by_what_it_was_to_be(folder: Any, change: dict[str, Any], said: str) -> None:
    with pytest.raises(FormatError, match=re.escape(said)) as refusal:
        folder(dataclasses.replace(SCHEMA, **change))
    assert "12,5" not in str(refusal.value)


def test_a_missing_column_of_values_is_named(folder: Any) -> None:
    with pytest.raises(FormatError, match=r"no column 'whi', which the schema names\. Did you mean 'why'"):
        folder(dataclasses.replace(SCHEMA, terminated={"column": "whi", "is": ["fell"]}))
