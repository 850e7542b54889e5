"""The text of a CSV: what separates its fields, on which lines its rows stand, and whether they are whole.

Polars reads the values. What it lets pass without a word (rows with too few or too many fields, names that
occur twice, a file in which nothing but semicolons separates) is found here, in one pass over the bytes.
"""

import csv
import dataclasses
import io
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from suture.data.findings import many
from suture.errors import FormatError
from suture.spaces import Array

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
HEAD = 1 << 20
CHUNK = 1 << 20
SAMPLE = 200
MAX_COLUMNS = 10_000
QUOTE, NEWLINE, RETURN = 34, 10, 13
EMPTY = ("NA", "N/A", "null", "NULL", "None")
COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
POINT = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, eq=False)
class Text:
    """How a CSV is written.

    names: of its columns.   decimal_comma: numbers are written 1,5.   rows: how many follow the header.
    first: the record of the first row, counted from 0; a record is a line, unless quoted line breaks widen
    it: `breaks` holds the record of each.   padded: blank lines follow the last row.
    """

    path: Path
    names: tuple[str, ...]
    separator: str
    decimal_comma: bool
    rows: int
    first: int
    breaks: Array
    padded: bool

    def lines(self) -> Array:
        """The line on which each row begins, (rows,); the first line of the file is line 1."""
        last = self.first + self.rows
        records = np.arange(
            self.first, last, dtype=np.int32 if last + len(self.breaks) < 1 << 31 else np.int64
        )
        return _line(records, self.breaks)

    def fault(self, columns: Iterable[str]) -> str | None:
        """The first cell that is no text, or in the given columns no number, for a person; None without."""
        wanted = {self.names.index(name): name for name in columns if name in self.names}
        for line, cells in itertools.islice(_records(self.path, self.separator), 1, None):
            if odd := next((cell for cell in cells if _is_undecodable(cell)), None):
                shown = odd.encode("utf-8", "replace").decode()
                return f"line {line:,} is not UTF-8 text ({shown!r:.60}). Save the file as UTF-8."
            for number, name in wanted.items():
                if not _is_number(cells[number], self.decimal_comma):
                    return (
                        f"column {name!r} must hold numbers; line {line:,} holds {cells[number]!r:.60}. Mend "
                        "it, encode text as numbers, or take the column out of the schema."
                    )
        return None


def survey(path: Path) -> Text:
    """Look through a CSV once.

    Raises `FormatError`, with the line, for what cannot be read as one table: an empty file, a header that
    is none or that names a column twice, rows that are not as wide as the header, blank lines between rows.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    text = head.decode("utf-8-sig", "surrogateescape")
    if not text.strip():
        raise FormatError(f"{path} is empty: {len(head):,} bytes and no table. Restore it from its source.")
    if "\n" not in text and "\r" in text:
        raise FormatError(f"{path} ends its lines by carriage returns alone. Save it with line feeds.")
    separator = max(SEPARATORS, key=lambda separator: len(_header(path, text, separator)[1]))
    line, names = _header(path, text, separator)
    _check_names(path, line, names)
    counted = _count(path, separator, len(names))
    if counted.ragged or len(counted.breaks):
        _check_carefully(path, separator, (line, len(names)), counted)
    rows = counted.records - counted.lead - 1
    decimal_comma = separator != "," and _has_decimal_comma(path, text, separator)
    return Text(path, names, separator, decimal_comma, rows, counted.lead + 1, counted.breaks, counted.padded)


def _line(records: Array, breaks: Array) -> Array:
    """The line on which each record begins, from 1 on."""
    lines = records + 1
    if len(breaks):
        lines += np.searchsorted(breaks, records).astype(lines.dtype)
    return lines


def _header(path: Path, text: str, separator: str) -> tuple[int, tuple[str, ...]]:
    """The line of the first record that is not blank, and its fields."""
    return next(
        ((line, tuple(cells)) for line, cells in _parsed(path, io.StringIO(text), separator)), (1, ())
    )


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line and fields of every record that is not blank, by the slow and careful reader."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield from _parsed(path, file, separator)


def _parsed(path: Path, file: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    reader, line = csv.reader(file, delimiter=separator), 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise FormatError(
            f"{path}, line {line:,} cannot be divided into fields ({error}). Is a quote opened and not "
            "closed?"
        ) from error


def _check_names(path: Path, line: int, names: tuple[str, ...]) -> None:
    where = f"{path}, line {line:,}"
    if len(names) > MAX_COLUMNS:
        raise FormatError(f"{where} names {len(names):,} columns; at most {MAX_COLUMNS:,} are read.")
    if any(_is_undecodable(name) for name in names):
        raise FormatError(f"{where}: the header is not UTF-8 text. Save the file as UTF-8.")
    if any(re.fullmatch(r"-\d+|[+-]?\d*\.\d+([eE][+-]?\d+)?", name.strip()) for name in names):
        raise FormatError(
            f"{where} holds numbers ({', '.join(names[:3])!r:.60}), expected the names of the columns. Put a "
            "header in front: without one the first row would be lost."
        )
    if len(names) < 2:
        known = ", ".join(f"{name}s" for name in SEPARATORS.values())
        raise FormatError(
            f"{where} names one column only, {', '.join(names)!r:.60}; a log needs observations and actions. "
            f"Fields may be separated by {known}; the header must be the first line."
        )
    seen: set[str] = set()
    for name in names:
        if name.strip() and name in seen:
            places = [number for number, other in enumerate(names, 1) if other == name]
            raise FormatError(
                f"{where} names the column {name!r} {len(places)} times (columns "
                f"{', '.join(map(str, places[:5]))}). Rename all but one, so that a schema can tell them "
                "apart."
            )
        seen.add(name)


@dataclasses.dataclass
class _Counted:
    """Records up to the last that is not blank, blank ones in front, and those of another width."""

    records: int
    lead: int
    ragged: int
    breaks: Array
    padded: bool


def _count(path: Path, separator: str, width: int) -> _Counted:
    records, ragged, last = 0, 0, -1
    blanks, breaks = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for separators, blank, broken in _chunks(path, separator):
        ragged += int(((separators != width - 1) & ~blank).sum())
        blanks.append(records + np.flatnonzero(blank))
        breaks.append(records + broken)
        if not blank.all():
            last = records + int(np.flatnonzero(~blank)[-1])
        records += len(blank)
    blank = np.concatenate(blanks)
    lead = int((blank == np.arange(len(blank))).sum())
    between, broken = blank[(blank >= lead) & (blank < last)], np.concatenate(breaks)
    if len(between):
        raise FormatError(
            f"{path}, line {int(_line(between[:1], broken)[0]):,} is blank, with rows on both sides "
            f"({many(len(between), 'such line')} in all). Remove them, or fill in the rows."
        )
    return _Counted(last + 1, lead, ragged, broken, records > last + 1)


def _chunks(path: Path, separator: str) -> Iterator[tuple[Array, Array, Array]]:
    """Of each chunk's records: separators outside quotes, whether it is blank; and where one is broken."""
    quoted, separators, length, before = 0, 0, 0, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            values, broken = np.frombuffer(chunk, np.uint8), np.zeros(0, np.int64)
            ends, between = values == NEWLINE, values == ord(separator)
            if quoted or b'"' in chunk:
                inside = (np.cumsum(values == QUOTE, dtype=np.uint8) + np.uint8(quoted)) & 1
                quoted, outside = int(inside[-1]), inside == 0
                broken = np.flatnonzero(ends & ~outside)
                ends, between = ends & outside, between & outside
            at, places = np.flatnonzero(ends), np.flatnonzero(between)
            seen = np.searchsorted(places, at)
            previous = np.where(at > 0, values[at - 1], before)
            lengths = np.diff(at, prepend=-1 - length) - 1 - (previous == RETURN)
            counts = np.diff(seen, prepend=-separators)
            yield counts, (counts == 0) & (lengths == 0), np.searchsorted(at, broken)
            separators = len(places) - (int(seen[-1]) if len(at) else -separators)
            length = len(values) - 1 - int(at[-1]) if len(at) else length + len(values)
            before = int(values[-1])
    if length:
        blank = separators == 0 and length == 1 and before == RETURN
        yield np.array([separators]), np.array([blank]), np.zeros(0, np.int64)


def _check_carefully(path: Path, separator: str, header: tuple[int, int], counted: _Counted) -> None:
    """Refuse the first record that is not as wide as the header, or a quote that opens nothing.

    header: its line and width. A quote in the midst of a field is text to one reader and hides line breaks
    from another, so that rows are lost: such a file is refused.
    """
    (top, width), records, odd = header, 0, ""
    for line, cells in _records(path, separator):
        if len(cells) != width:
            total = f" ({counted.ragged:,} such lines in all)" if counted.ragged > 1 else ""
            raise FormatError(
                f"{path}, line {line:,} has {len(cells):,} fields, the header on line {top:,} has {width:,}"
                f"{total}. Leave a field empty where a value is absent, and quote a field that holds a "
                f"{SEPARATORS[separator]}."
            )
        records += 1
        odd = odd or next((f"line {line:,} ({cell!r:.60})" for cell in cells if '"' in cell), "")
    if counted.ragged or records != counted.records - counted.lead:
        raise FormatError(
            f"{path} has quotes within fields, as on {odd or 'a later line'}, by which rows cannot be told "
            "apart. Remove them, or quote the whole field and double the quotes in it."
        )


def _has_decimal_comma(path: Path, text: str, separator: str) -> bool:
    """Whether the first rows write 1,5 for 1.5; refused where they write both."""
    found: dict[str, str] = {}
    rows = itertools.islice(_parsed(path, io.StringIO(text), separator), 1, SAMPLE)
    for line, cells in rows:
        for cell in cells:
            for kind, pattern in (("comma", COMMA), ("point", POINT)):
                if pattern.fullmatch(cell.strip()):
                    found.setdefault(kind, f"{cell.strip()} on line {line:,}")
    if len(found) == 2:
        raise FormatError(
            f"{path} writes decimals with a comma ({found['comma']}) and with a point ({found['point']}). "
            "Write all of them in one way."
        )
    return "comma" in found


def _is_undecodable(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def _is_number(cell: str, decimal_comma: bool) -> bool:
    cell = cell.strip()
    try:
        float(cell.replace(",", ".") if decimal_comma else cell)
    except ValueError:
        return not cell or cell in EMPTY or cell.lower() in ("true", "false")
    return True
