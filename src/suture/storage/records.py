"""An append log of records: each is on the disk before it counts, and a torn end is recognised.

A record is its mark, length and CRC-32, the CRC-32 of these three, and its content. What a killed writer left
at the end is no record; what is damaged between records is told from that, and named.
"""

import mmap
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from suture.spaces import Array
from suture.storage import atomic
from suture.storage.manifest import size_of

MARK = b"SUTUREL1"
HEAD, CHECK = struct.Struct("<8sQI"), struct.Struct("<I")
BEFORE = HEAD.size + CHECK.size
"""Bytes of a record before its content."""


class Found(NamedTuple):
    """What a log holds.

    records: the contents, as views of the mapped file.   end: bytes up to the end of the last whole record.
    torn: bytes after it.   damaged: one sentence for each damage between records.
    """

    records: list[Array]
    end: int
    torn: int
    damaged: list[str]


def append(path: Path, contents: list[bytes]) -> None:
    """Append records to a log; they are on the disk when this returns. Raises `StorageError`."""
    atomic.append(path, b"".join(_head(content) + content for content in contents), sync=True)


def read(path: Path) -> Found:
    """The records of a log."""
    size = size_of(path)
    if not size:
        return Found([], 0, 0, [])
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    content, records, damaged = np.frombuffer(mapped, np.uint8), list[Array](), list[str]()
    at = end = 0
    while at < size:
        stop, intact = _record(content, at)
        if intact:
            records.append(content[at + BEFORE : stop])
            at = end = stop
            continue
        stop = _next(mapped, at + 1) if stop == at else stop
        if stop >= size:
            break
        damaged.append(f"{path.name} is corrupted from byte {at:,} to {stop:,}.")
        at = stop
    return Found(records, end, size - end, damaged)


def _head(content: bytes) -> bytes:
    head = HEAD.pack(MARK, len(content), zlib.crc32(content))
    return head + CHECK.pack(zlib.crc32(head))


def _length(head: bytes) -> int | None:
    """The length of a record's content, or None where this is no head of a record."""
    plain, check = head[: HEAD.size], head[HEAD.size :]
    if len(check) < CHECK.size or not plain.startswith(MARK) or zlib.crc32(plain) != CHECK.unpack(check)[0]:
        return None
    return HEAD.unpack(plain)[1]


def _record(content: Array, at: int) -> tuple[int, bool]:
    """Where the record at a place ends (the place itself where none begins), and whether it is whole."""
    head = content[at : at + BEFORE].tobytes()
    length = _length(head)
    if length is None:
        return at, False
    body = content[at + BEFORE : at + BEFORE + length]
    intact = len(body) == length and zlib.crc32(body.data) == HEAD.unpack(head[: HEAD.size])[2]
    return at + BEFORE + length, intact


def _next(mapped: mmap.mmap, at: int) -> int:
    """Where the next head of a record stands, or the end of the log."""
    place = mapped.find(MARK, at)
    while place >= 0 and _length(mapped[place : place + BEFORE]) is None:
        place = mapped.find(MARK, place + 1)
    return place if place >= 0 else len(mapped)
