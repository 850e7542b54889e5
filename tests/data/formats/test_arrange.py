"""What was done to the order of a file leaves a trace, and times are said in full."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from suture.data.dataset import Dataset
from suture.data.findings import Finding
from suture.data.formats.schema import Schema
from suture.data.load import load

SCHEMA = Schema(episode="run", order="t", observation=("x",), action=("u",))


def loaded(path: Path, labels: Any, times: Any, **changes: Any) -> Dataset:
    x = np.arange(len(times)) * 1.5
    frame = pl.DataFrame({"run": labels, "t": times, "x": x, "u": np.cos(x)}, strict=False)
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return load(path, schema=Schema(**{**vars(SCHEMA), **changes}), admit=False)


def found(data: Dataset, id: str) -> list[Finding]:
    return [finding for finding in data.findings if finding.id == id]


def test_rows_that_come_too_late_are_named_by_their_lines(tmp_path: Path) -> None:
    """Step 2 of run a is on line 6, after step 4; step 0 of b comes last. Each is one row that was moved."""
    labels, order = ["a"] * 5 + ["b"] * 3, [0, 1, 3, 4, 2, 1, 2, 0]
    data = loaded(tmp_path / "log.csv", labels, order)
    (moved,) = found(data, "rows-sorted")
    assert (moved.severity, moved.count, moved.rows) == ("info", 2, (2, 5))
    assert moved.message.startswith("2 rows came after a row whose 't' is later: the rows were sorted by it.")
    assert moved.message.endswith("In the file: lines 6, 9.")
    assert not found(data, "episodes-regrouped")
    assert not found(loaded(tmp_path / "log.csv", labels, [*range(5), *range(3)]), "rows-sorted")


def test_episodes_that_lie_apart_are_told_from_rows_out_of_order(tmp_path: Path) -> None:
    for order in ("t", None):
        data = loaded(tmp_path / "log.csv", list("ababbaa"), [0, 0, 1, 1, 2, 2, 3], order=order)
        (moved,) = found(data, "episodes-regrouped")
        assert (moved.severity, moved.count) == ("info", 3)
        assert "apart in 3 places" in moved.message
        assert moved.message.endswith("In the file: lines 4, 5, 7.")
        assert not found(data, "rows-sorted")


def test_a_table_without_labels_that_was_sorted_says_so(tmp_path: Path) -> None:
    """As a whole: by flags alone, and where every row is a decision of its own."""
    order = [0, 1, 2, 5, 4, 3]
    data = loaded(tmp_path / "log.csv", [0, 0, 0, 1, 0, 0], order, episode=None, done="run")
    (moved,) = found(data, "rows-sorted")
    assert moved.message.endswith("In the file: lines 6, 7.")
    (moved,) = found(loaded(tmp_path / "log.csv", [0] * 6, order, episode=None), "rows-sorted")
    assert moved.count == 2


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (str, "first from 2024-05-01 10:00:02.25 to 2024-05-01 10:00:03:"),
        (datetime.datetime.time, "first from 10:00:02.25 to 10:00:03:"),
    ],
)  # fmt: skip
def test_a_gap_between_instants_is_said_with_fractions(kind: Any, said: str, tmp_path: Path) -> None:
    begin = datetime.datetime(2024, 5, 1, 10)
    order = [kind(begin + datetime.timedelta(seconds=n / 4)) for n in (*range(10), 12, 13)]
    (gap,) = found(loaded(tmp_path / "log.parquet", ["a"] * 12, order), "order-gaps")
    assert said in gap.message
