"""The text of a CSV: separators, lines and widths, compared with Python's own careful reader."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.data.formats import tabular, text
from suture.data.formats.schema import Schema
from suture.errors import FormatError

SCHEMA = Schema(episode="e", order="t", observation=("x",), action=("u",), reward="r")
cells = st.sampled_from(["1", "", "x", "a,b", "l\nm", 'q"q', "z\r\nz"])


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "log.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(folder: Path, content: str | bytes, said: str) -> None:
    """In one line, with and without a schema."""
    path = write(folder, content)
    for schema in (SCHEMA, None):
        with pytest.raises(FormatError, match=said) as refusal:
            tabular.read(path, schema=schema)
        assert "\n" not in str(refusal.value)


@given(
    rows=st.lists(st.lists(cells, min_size=3, max_size=3).filter(any), max_size=7),
    chunk=st.sampled_from([1, 2, 3, 7, 50, 1 << 20]), ending=st.sampled_from(["\n", "\r\n"]),
    before=st.integers(0, 2), after=st.integers(-1, 2),
)  # fmt: skip
def test_lines_are_those_of_the_careful_reader(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    chunk: int,
    ending: str,
    before: int,
    after: int,
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=ending).writerows([["a", "b", "c"], *rows])
    content = "\n" * before + (
        file.getvalue().rstrip("\r\n") if after < 0 else file.getvalue() + ending * after
    )
    path = write(tmp_path_factory.mktemp("text"), content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "CHUNK", chunk)
        found = text.survey(path)
    lines, reader = list[int](), csv.reader(io.StringIO(content, newline=""))
    begins = 1
    for record in reader:
        if record:
            lines.append(begins)
        begins = reader.line_num + 1
    assert found.lines().tolist() == lines[1:]
    assert (found.rows, found.padded) == (len(rows), after > 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"), ("\n \n", "is empty"),
        ("e,t,x,u,r\n", "log.csv"),
        ("e,t,x,u,r\n1,0,1,1,1\n1,1,2\n", "line 3 has 3 fields, the header on line 1 has 5"),
        ("e,t,x,u,r\n1,0,1,1,1\n1,1,2,1,1,7\n", "line 3 has 6 fields, the header on line 1 has 5"),
        ("e,t,x,u,r\n1,0\n1,1,2,1,1,7\n1,2\n", r"line 2 has 2 fields.*\(3 such lines in all\)"),
        ("e,t,x,u,r\n1,0,1,1,1\n1,1,2,1", "line 3 has 4 fields"),
        ("# plant 3\ne,t,x,u,r\n1,0,1,1,1\n", "line 1 names one column only, '# plant 3'"),
        ("e,t,x,u,x\n1,0,1,1,1\n", r"line 1 names the column 'x' 2 times \(columns 3, 5\)"),
        ("e,t,x,u,r\n1,0,1,1,1\n\n1,1,2,1,1\n", r"line 3 is blank, with rows on both sides \(1 such line"),
        ("0.5,0,1,1,1\n0.5,1,2,1,1\n", "line 1 holds numbers"),
        ("e,t,x,u,r\r1,0,1,1,1\r", "carriage returns"),
        ('e,t,x,u,r\n1,0,"1,1,1\n1,1,2,1,1\n', "line 2 has 3 fields"),
        ('e,t,x,u,r,n\n1,0,1,1,1,5" pipe\n1,1,2,1,1,a\n1,2,2,1,1,6" pipe\n', "within fields, as on line 2"),
        ("e;t;x;u;r\n1;0;1,5;1;1\n1;1;2.5;1;1\n", r"comma \(1,5 on line 2\) and .* point \(2.5 on line 3\)"),
        (b"e\xb0,t,x,u,r\n1,0,1,1,1\n", "line 1: the header is not UTF-8 text"),
        (b"e,t,x,u,r\n1,0,1,1,1\n1,1,\xb0,1,1\n", "line 3 is not UTF-8 text"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    refused(tmp_path, content, said)


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "bar")])
@pytest.mark.parametrize("decimal", [".", ","])
def test_other_separators_and_decimal_commas_are_read(
    tmp_path: Path, separator: str, name: str, decimal: str
) -> None:
    rows = [["e", "t", "x", "u", "r"], ["1", "1", "1.5", "-0.25", "1"], ["1", "0.5", "2", "1e-2", "1.125"]]
    lines = [separator.join(cell.replace(".", decimal) for cell in row) for row in rows]
    log = tabular.read(write(tmp_path, "\n".join(lines)), schema=SCHEMA)
    np.testing.assert_array_equal(log.observation, [[2], [1.5]])
    np.testing.assert_array_equal(log.action, np.float32([[0.01], [-0.25]]))
    np.testing.assert_array_equal(log.reward, [1.125, 1])
    assert [finding.id for finding in log.findings] == ["rows-sorted", "separator-read"]
    assert f"separated by {name}s" in log.findings[1].message
    assert ("decimals written with a comma" in log.findings[1].message) == (decimal == ",")


def test_a_comma_in_the_names_of_a_file_with_semicolons(tmp_path: Path) -> None:
    path = write(tmp_path, "e;t;x (m,s);u\n1;0;1;1\n")
    assert text.survey(path).names == ("e", "t", "x (m,s)", "u")


@pytest.mark.parametrize(
    "content",
    [
        "e,t,x,u,r\n1,0,1,2,3\n1,1,4,5,6\n\n\n",
        "\n\ne,t,x,u,r\r\n1,0,1,2,3\r\n1,1,4,5,6\r\n\r\n",
        "\ufeffe, t, x, u, r\n1, 0, 1, 2, 3\n1, 1, 4, +5, 6",
    ],
)
def test_blank_lines_at_both_ends_marks_and_spaces_are_read_over(tmp_path: Path, content: str) -> None:
    spaced = " " in content
    named = Schema(episode="e", order=" t", observation=(" x",), action=(" u",), reward=" r")
    log = tabular.read(write(tmp_path, content), schema=named if spaced else SCHEMA)
    np.testing.assert_array_equal(log.observation, [[1], [4]])
    np.testing.assert_array_equal(log.action, [[2], [5]])
    np.testing.assert_array_equal(log.reward, [3, 6])


def test_booleans_of_other_programs_are_flags(tmp_path: Path) -> None:
    content = "e,x,u,r,f\n1,0,1,1,False\n1,1,2,1,True\n"
    schema = Schema(episode="e", observation=("x",), action=("u",), terminated="f")
    log = tabular.read(write(tmp_path, content), schema=schema)
    assert log.terminal is not None
    assert log.terminal.tolist() == [0, 1]


def test_columns_that_are_not_read_may_hold_what_they_like(tmp_path: Path) -> None:
    content = 'e,t,x,u,r,note\n1,0,1,1,1,hot\n1,1,2,1,1,"a\nb, c"\n1,2,3,1,1,\n'
    log = tabular.read(write(tmp_path, content), schema=SCHEMA)
    np.testing.assert_array_equal(log.observation, [[1], [2], [3]])
    assert log.places is not None
    assert log.places.numbers.tolist() == [2, 3, 5]
