"""How much a Parquet file unpacks to, by its footer and page headers, before anything is unpacked.

Both are Thrift structures in the compact protocol. A footer's own sums are not believed: what a reader sets
aside is what each page's header says. Source: the Apache Parquet format, parquet.thrift.
"""

import mmap
from pathlib import Path
from typing import Any

from suture.errors import FormatError
from suture.storage.manifest import size_of

TAIL = 8
"""The footer's length and the mark PAR1."""
BOOLEANS, BYTE, DOUBLE, BINARY, LISTS, STRUCT = (1, 2), 3, 7, 8, (9, 10), 12
INTEGERS = (4, 5, 6)
DEEPEST, MOST_PAGES = 16, 100_000
"""How deep structures go, and how many pages a column has in one row group, at most."""
ROW_GROUPS, COLUMNS, COLUMN = 4, 1, 3
COMPRESSED, DATA_PAGE, DICTIONARY_PAGE = 7, 9, 11
"""Of a column in a row group: bytes in the file, and where its first pages begin."""
PAGE_UNPACKED, PAGE_STORED = 2, 3


def unpacked_bytes(path: Path) -> int:
    """Bytes of all pages once they are unpacked.   Raises FormatError for a file that contradicts itself."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            length = int.from_bytes(content[-TAIL : -TAIL + 4], "little")
            footer = _Thrift(content, len(content) - TAIL - length).struct()
            chunks = [column[COLUMN] for group in footer[ROW_GROUPS] for column in group[COLUMNS]]
            return sum(_pages(content, chunk) for chunk in chunks)
    except (IndexError, KeyError, ValueError, TypeError) as error:
        raise FormatError(
            f"{path} is cut off or damaged: it has {size_of(path):,} bytes, and its footer does not fit its "
            "pages. Restore it from its source."
        ) from error


def _pages(content: mmap.mmap, column: dict[int, Any]) -> int:
    pages = 0
    at = min(column[DATA_PAGE], column.get(DICTIONARY_PAGE) or column[DATA_PAGE])
    end, total = at + column[COMPRESSED], 0
    while at < end:
        reader = _Thrift(content, at)
        page = reader.struct()
        if page[PAGE_UNPACKED] < 0 or page[PAGE_STORED] < 0:
            raise ValueError("a page of negative size")
        total, pages = total + page[PAGE_UNPACKED], pages + 1
        if pages > MOST_PAGES:
            raise ValueError("too many pages")
        at = reader.at + page[PAGE_STORED]
    return total


class _Thrift:
    """Reads one structure: field number -> value.   at: where it goes on in the content."""

    def __init__(self, content: mmap.mmap, at: int):
        if not 0 <= at < len(content):
            raise ValueError("a structure outside of the file")
        self.content, self.at = content, at

    def struct(self, depth: int = 0) -> dict[int, Any]:
        found, field = dict[int, Any](), 0
        while (head := self._byte()) != 0:
            field = field + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            found[field] = kind == BOOLEANS[0] if kind in BOOLEANS else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if depth > DEEPEST:
            raise ValueError("structures too deep")
        if kind in INTEGERS:
            return self._signed()
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in LISTS:
            head = self._byte()
            count = self._number() if head >> 4 == 15 else head >> 4
            if count > len(self.content):
                raise ValueError("more elements than bytes")
            return [self._value(head & 15, depth + 1) for _ in range(count)]
        if kind in (BYTE, *BOOLEANS):
            return self._byte()
        if kind not in (DOUBLE, BINARY):
            raise ValueError(f"no type {kind}")
        length = 8 if kind == DOUBLE else self._number()
        self.at += length
        return None

    def _byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]

    def _number(self) -> int:
        total = shift = 0
        while True:
            byte = self._byte()
            total |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return total
            if shift > 63:
                raise ValueError("a number of too many bytes")

    def _signed(self) -> int:
        number = self._number()
        return (number >> 1) ^ -(number & 1)
