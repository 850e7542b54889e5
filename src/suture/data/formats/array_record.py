"""ArrayRecord files: written whole, looked through before a library opens them, and read by Grain.

Each record is a chunk of its own and none is compressed, so that nothing unpacks to more than the file has:
the places that its index names are looked at, one by one, before the library may follow them.
Source: Riegeli's format (github.com/google/riegeli, riegeli_records_file_format.md), of which ArrayRecord
(github.com/google/array_record) is a use: chunks in blocks of 64 KiB, then an index, then where that is.
"""

import dataclasses
import os
import resource
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suture.errors import ConfigError, FormatError, HostileFile
from suture.spaces import Array
from suture.storage.manifest import size_of

OPTIONS = "group_size:1,uncompressed"
BLOCK, BLOCK_HEAD = 1 << 16, 24
CHUNK = struct.Struct("<8xQ8xQQ")
"""Of a chunk's head: the bytes of its data, its kind (one byte) with the number of its records, and the bytes
that these unpack to."""
HEAD = 40
RECORDS, PLAIN = ord("r"), 0
INDEX_TAGS = (0x08, 0x10, 0x18)
"""Before the place of a chunk, the bytes of its records, and their number, in a record of the index."""
END_TAG = 0x08
"""Before the place of the index."""
MOST_INDEX = 256 << 20


def write(path: Path, records: Iterable[bytes]) -> None:
    """Write a new file. Raises OSError where the disk refuses."""
    try:
        from array_record.python.array_record_module import ArrayRecordWriter
    except ImportError as error:
        raise _absent("array_record", "array-record") from error
    try:
        writer: Any = ArrayRecordWriter(str(path), OPTIONS)
        for record in records:
            writer.write(record)
        writer.close()
    except RuntimeError as error:
        raise OSError(None, f"{error}"[:200], str(path)) from error


def check(path: Path, count: int, most: int) -> None:
    """`FormatError` unless a file holds `count` plain records of at most `most` bytes each. It reads none."""
    size = size_of(path)
    if size < BLOCK or size % BLOCK:
        raise _cut_off(path, f"it has {size:,} bytes, which are no whole blocks")
    with path.open("rb") as file:
        read = _Reader(file.fileno(), size)
        try:
            places = _index(read, count)
            for place in places:
                _require_plain(read, place, 1, most)
        except (IndexError, ValueError, struct.error) as error:
            raise _cut_off(path, str(error)) from error


class Source:
    """The records of several files, one after the other, by their number.   counts: records of each file."""

    def __init__(self, paths: Sequence[Path], counts: Sequence[int]):
        try:
            from grain.sources import ArrayRecordDataSource
        except ImportError as error:
            raise _absent("grain", "grain") from error
        _allow_files(len(paths))
        self._paths, self._ends = paths, np.cumsum(counts)
        parts: Any = [_Part(str(path), 0, count, count) for path, count in zip(paths, counts, strict=True)]
        self._source: Any = ArrayRecordDataSource(parts)

    def read(self, numbers: Sequence[int]) -> list[bytes]:
        """The records of some numbers. `FormatError` where one does not match its own checksum."""
        try:
            return self._source.__getitems__(numbers)
        except (RuntimeError, OSError) as error:
            names = ", ".join(sorted({self.path_of(number).name for number in numbers})[:5])
            said = f"records of {names} cannot be read ({error!s:.200})"
            raise FormatError(f"{self._paths[0].parent}: {said}. Restore the file.") from error

    def path_of(self, number: int) -> Path:
        """The file of a record."""
        return self._paths[int(np.searchsorted(self._ends, number, side="right"))]


@dataclasses.dataclass(frozen=True)
class _Part:
    """What Grain asks of a file, which it then need not open to count."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int


class _Reader:
    """Bytes of a file of blocks, without the heads of the blocks."""

    def __init__(self, descriptor: int, size: int):
        self._descriptor, self.size = descriptor, size

    def __call__(self, at: int, length: int) -> bytes:
        if not 0 <= at < self.size or length > self.size:
            raise ValueError("a chunk lies outside of the file")
        parts = list[bytes]()
        while length > 0:
            at += BLOCK_HEAD if at % BLOCK == 0 else 0
            part = os.pread(self._descriptor, min(length, BLOCK - at % BLOCK), at)
            if not part:
                raise ValueError("the file ends within a chunk")
            parts.append(part)
            at, length = at + len(part), length - len(part)
        return b"".join(parts)


def _require_plain(read: _Reader, at: int, records: int | None, most: int) -> bytes:
    """The head of a chunk of plain records of at most `most` bytes together, and the first byte after it."""
    head = read(at, HEAD + 1)
    data, kind, unpacked = CHUNK.unpack(head[:HEAD])
    if kind & 255 != RECORDS or head[HEAD] != PLAIN or unpacked > data:
        raise ValueError(f"the chunk at byte {at:,} is compressed or holds no records")
    if data > most + HEAD or (records is not None and kind >> 8 != records):
        raise ValueError(f"the chunk at byte {at:,} holds {kind >> 8:,} records in {data:,} bytes")
    return head


def _records(read: _Reader, at: int, count: int | None, most: int) -> list[bytes]:
    """The records of a plain chunk of several."""
    head = _require_plain(read, at, count, most)
    data, kind, _ = CHUNK.unpack(head[:HEAD])
    content = np.frombuffer(read(at, HEAD + data)[HEAD + 1 :], np.uint8)
    first, used = _numbers(content[:10])[0][0], 1 + int((content[:10] > 127).argmin())
    sizes, content = _numbers(content[used : used + first])[0], content[used + first :]
    ends = np.cumsum(sizes)
    if len(sizes) != kind >> 8 or ends[-1] != len(content):
        raise ValueError(f"the sizes of the records of the chunk at byte {at:,} do not fit")
    return [part.tobytes() for part in np.split(content, ends[:-1])]


def _index(read: _Reader, count: int) -> list[int]:
    """Where the chunk of each record begins."""
    told = set(_records(read, read.size - BLOCK, None, BLOCK))
    first, *_ = told
    if len(told) != 1 or first[0] != END_TAG:
        raise ValueError("its end does not say where the index is")
    place = int(_numbers(np.frombuffer(first[1:11], np.uint8))[0][0])
    _, *entries = _records(read, place, count + 1, min(MOST_INDEX, read.size))
    numbers, lengths = _numbers(np.frombuffer(b"".join(entries), np.uint8))
    table, sizes = numbers.reshape(count, 6), lengths.reshape(count, 6).sum(1)
    if not (table[:, ::2] == INDEX_TAGS).all() or sizes.tolist() != [len(entry) for entry in entries]:
        raise ValueError("its index is of another form")
    return table[:, 1].tolist()


def _numbers(content: Array) -> tuple[Array, Array]:
    """All numbers of seven bits a byte that stand in some bytes, and how many bytes each takes."""
    last = np.flatnonzero(content < 128)
    first = np.append(0, last[:-1] + 1)
    lengths = last + 1 - first
    if not len(last) or lengths.max() > 9:
        raise ValueError("a number of too many bytes")
    content = content[: last[-1] + 1]
    place = np.arange(len(content)) - np.repeat(first, lengths)
    return np.add.reduceat((content & 127).astype(np.int64) << (7 * place), first), lengths


def _cut_off(path: Path, why: str) -> HostileFile:
    return HostileFile(
        f"{path} is cut off, damaged, or not as Suture writes it: {why}. Restore the file from its source."
    )


def _absent(module: str, package: str) -> ConfigError:
    return ConfigError(
        f"Stored images need the module {module}, which is not installed. Try: pip install {package}"
    )


def _allow_files(count: int) -> None:
    """Let this process open so many files at once, if the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 < soft < 2 * count + 256:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
