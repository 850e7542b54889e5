"""What every reader asks before it opens or allocates: no links, no objects, no impossible sizes.

A file may declare at most `FLOOR` bytes of arrays, or `RATIO` times its own size where that is more:
recorded numbers do not compress further, a bomb does. Everything is decided from headers.
"""

import io
import math
import os
import re
import stat
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import numpy as np

from suture.errors import FormatError, HostileFile, OutOfBudget
from suture.spaces import Array
from suture.storage.manifest import size_of

FLOOR = 32 << 20
RATIO = 250
NUMBERS = "biuf"
MAX_MEMBERS = 10_000
MAX_DIRECTORY = 2 << 20
MAX_ARRAY_HEADER = 10_000
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, TypeError, KeyError, OSError, NotImplementedError,
    RecursionError, MemoryError, OverflowError, SyntaxError, tokenize.TokenError,
)  # fmt: skip


def check_declared(where: str, declared: int, stored: int) -> None:
    """Refuse arrays of `declared` bytes that `stored` bytes of file cannot honestly hold."""
    if declared > max(FLOOR, RATIO * stored):
        raise HostileFile(
            f"{where} declares {declared:,} bytes of arrays in {stored:,} bytes of file, more than {RATIO} "
            "to 1: a bomb, or never written. Nothing was read; get the file anew from its source."
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if declared > memory:
        raise OutOfBudget(
            f"{where} needs {declared:,} bytes, this machine has {memory:,} of memory. "
            "Split the file, or use a machine with more."
        )


def local_file(path: Path) -> int:
    """Bytes of a regular local file. `FormatError` for addresses (s3://, http://), pipes and folders."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)) and not path.exists():
        raise FormatError(f"{path} is an address; only local files are read. Download it first.")
    return size_of(path)


class Member(NamedTuple):
    """One array of an NPZ file, as its header declares it."""

    info: zipfile.ZipInfo
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Npz:
    """An NPZ file whose members were all checked by their headers; arrays are read one by one.

    `members`: name -> `Member`.   Raises `FormatError` (cut off, no zip) and `HostileFile` (pickled
    objects, bombs, names that lead elsewhere, links, encryption).
    """

    def __init__(self, path: Path):
        self.path, self.size = path, local_file(path)
        check_directory(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise self._damaged(error) from error
        try:
            self.members = self._check()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> "Npz":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def read(self, name: str) -> Array:
        """The array of a member, in native byte order. The checksum of the zip is verified on the way."""
        member = self.members[name]
        if member.dtype.kind not in NUMBERS:
            raise FormatError(f"{self.path}, array {name!r} holds {member.dtype}, expected numbers.")
        try:
            with self._zip.open(member.info) as file:
                array = np.lib.format.read_array(file, allow_pickle=False, max_header_size=MAX_ARRAY_HEADER)
        except UNREADABLE as error:
            raise self._damaged(error, name) from error
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def _damaged(self, error: Exception, name: str = "") -> FormatError:
        inside = f", array {name!r}," if name else ""
        return FormatError(
            f"{self.path}{inside} is cut off or damaged ({self.size:,} bytes): {error}. "
            "Restore it from its source."
        )

    def _check(self) -> dict[str, Member]:
        infos = self._zip.infolist()
        if len(infos) > MAX_MEMBERS:
            raise HostileFile(f"{self.path} holds {len(infos):,} members; at most {MAX_MEMBERS:,} are read.")
        for info in infos:
            _check_member(self.path, info)
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise HostileFile(f"{self.path} holds the member {twice!r} twice; which one counts is unclear.")
        check_declared(str(self.path), sum(info.file_size for info in infos), self.size)
        return {info.filename.removesuffix(".npy"): self._header(info) for info in infos}

    def _header(self, info: zipfile.ZipInfo) -> Member:
        where = f"{self.path}, member {info.filename!r}"
        try:
            with self._zip.open(info) as file:
                shape, dtype, header = _array_header(file)
        except UNREADABLE as error:
            raise self._damaged(error, info.filename) from error
        if dtype.hasobject:
            raise HostileFile(
                f"{where} holds pickled Python objects, which can run code when read. It was not read. "
                "Save plain arrays of numbers instead."
            )
        needed = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or needed != info.file_size - header:
            raise HostileFile(
                f"{where} declares shape {shape} of {dtype} ({needed:,} bytes) but holds "
                f"{info.file_size - header:,} bytes of data."
            )
        return Member(info, dtype, shape)


def check_directory(path: Path) -> None:
    """Refuse a zip whose list of members is huge, before `zipfile` makes an object of each."""
    size = local_file(path)
    with path.open("rb") as file:
        file.seek(max(0, size - (1 << 16) - 98))
        tail = file.read()
    end = len(tail) - 22
    if end < 0 or tail[end : end + 4] != b"PK\5\6" or tail[-2:] != b"\0\0":
        end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        raise FormatError(
            f"{path} is cut off or no NPZ: it has {size:,} bytes and ends without a zip's list of members. "
            "Restore it from its source."
        )
    length = struct.unpack_from("<L", tail, end + 12)[0]
    if end >= 76 and tail[end - 20 : end - 16] == b"PK\6\7":
        length = struct.unpack_from("<Q", tail, end - 76 + 40)[0]
    if length > MAX_DIRECTORY:
        raise HostileFile(
            f"{path} has a list of members of {length:,} bytes; at most {MAX_DIRECTORY:,} are read."
        )


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.filename
    where = f"{path}, member {name!r}"
    if name.startswith(("/", "\\")) or "\\" in name or ".." in name.split("/") or re.match("[A-Za-z]:", name):
        raise HostileFile(f"{where}: the name leads out of the file.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise HostileFile(f"{where} is a symbolic link, which no log needs.")
    if info.flag_bits & 0x1:
        raise HostileFile(f"{where} is encrypted, which no log needs.")
    if name.endswith(".pkl"):
        raise HostileFile(
            f"{where} is a pickle, which can run code when read. It was not read. Save plain arrays instead."
        )
    if not name.endswith(".npy") or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FormatError(f"{where} is no array as NumPy's savez writes them, so this is no NPZ file.")


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, dtype and length of the header of a .npy stream, of which nothing more is read."""
    major, _ = np.lib.format.read_magic(file)
    if major not in (1, 2, 3):
        raise ValueError(f"version {major} of the array header is not known")
    width = 2 if major == 1 else 4
    length = file.read(width)
    count = int.from_bytes(length, "little")
    if count > MAX_ARRAY_HEADER:
        raise ValueError(f"the array header has {count:,} bytes, at most {MAX_ARRAY_HEADER:,} are read")
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    text = file.read(count)
    shape, _, dtype = read(io.BytesIO(length + text), max_header_size=MAX_ARRAY_HEADER)
    return shape, dtype, 8 + width + count
