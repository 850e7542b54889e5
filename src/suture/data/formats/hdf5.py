"""HDF5 files: D4RL's names and their relatives (`formats/names.py` has the table), and the guarded file.

The guard walks hard links only, one component of a path at a time, and looks at a dataset's header before
anything is read: no links, no external or virtual storage, no objects, no sizes that the file cannot hold.
"""

import math
import re
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import h5py
import numpy as np

from suture.data.formats.guard import FLOOR, NUMBERS, RATIO, check_declared, local_file
from suture.data.formats.names import log_of
from suture.data.log import Log
from suture.errors import FormatError, HostileFile
from suture.spaces import Array, Tree

_low = cast(Any, h5py)  # h5py's own low-level modules come without type stubs
h5d, h5g, h5l, h5o, h5z = _low.h5d, _low.h5g, _low.h5l, _low.h5o, _low.h5z
MAX_DEPTH = 8
MAX_NAMES = 1_000_000
FILTERS = {
    h5z.FILTER_DEFLATE: "gzip", h5z.FILTER_SHUFFLE: "shuffle", h5z.FILTER_FLETCHER32: "fletcher32",
    h5z.FILTER_LZF: "lzf", h5z.FILTER_SCALEOFFSET: "scale-offset", h5z.FILTER_NBIT: "n-bit",
}  # fmt: skip
LINKS = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}


def read(path: Path, *, source: str | None = None) -> Log:
    """The log in an HDF5 file; dictionaries of observations are groups. Raises `FormatError`, `HostileFile`.

    source: the path to show to people, by default `path`.
    """
    with Hdf5(path) as file:
        return log_of(source or str(path), file.names(""), file.tree, hdf5=True)


class Hdf5:
    """An HDF5 file behind the guard. Paths inside are plain names joined by "/"; the top is ""."""

    def __init__(self, path: Path):
        self.path, self.size, self._declared = path, local_file(path), 0
        try:
            self._file = h5py.File(path, "r", locking="best-effort")
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            said = re.search(r"stored_eof = (\d+)", str(error))
            expected = f", its header declares {int(said[1]):,}" if said else ""
            raise FormatError(
                f"{path} is cut off or damaged: it has {self.size:,} bytes{expected}. "
                f"Restore it from its source. (HDF5: {error})"
            ) from error

    def __enter__(self) -> "Hdf5":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def names(self, path: str) -> list[str]:
        """The names in a group, each of them checked to be a hard link."""
        group = self._open(path)
        if not isinstance(group, h5g.GroupID):
            raise FormatError(f"{self.path}, {path!r} is an array, expected a group.")
        if self._guarded(group.get_num_objs, path) > MAX_NAMES:
            raise HostileFile(f"{self.path}, {path!r} holds more than {MAX_NAMES:,} names.")
        found: list[bytes] = self._guarded(lambda: list(group), path)
        names = [name.decode("utf-8", "surrogateescape") for name in found]
        for name in names:
            self._check_link(group, name, path)
        return sorted(names)

    def tree(self, path: str) -> Tree:
        """The array at `path`, or the arrays of the group at `path` as nested dictionaries."""
        found = self._open(path)
        if isinstance(found, h5g.GroupID):
            return {name: self.tree(f"{path}/{name}") for name in self.names(path)}
        return self._read(path, found)

    def _open(self, path: str) -> Any:
        found: Any = self._guarded(lambda: h5o.open(self._file.id, b"/"), "/")
        parts = path.split("/") if path else []
        if len(parts) > MAX_DEPTH:
            raise HostileFile(f"{self.path}, {path!r:.200} nests deeper than {MAX_DEPTH} groups.")
        for depth, name in enumerate(parts):
            parent = "/".join(parts[:depth])
            if not isinstance(found, h5g.GroupID):
                raise FormatError(f"{self.path}, {parent!r} is an array, expected a group.")
            self._check_link(found, name, parent)
            found = self._guarded(
                lambda g=found, n=name: h5o.open(g, _encoded(n)), "/".join(parts[: depth + 1])
            )
        return found

    def _check_link(self, group: Any, name: str, parent: str) -> None:
        path = "/".join(part for part in (parent, name) if part)
        where = f"{self.path}, {path!r}"
        if name in ("", ".", "..") or "/" in name:
            raise HostileFile(f"{where} is not a plain name.")
        kind = self._guarded(lambda: group.links.get_info(_encoded(name)).type, path)
        if kind != h5l.TYPE_HARD:
            raise HostileFile(
                f"{where} is {LINKS.get(kind, 'a user-defined link')}, which no log needs. "
                "It was not followed; copy the data itself into the file."
            )

    def _guarded(self, action: Any, path: str) -> Any:
        try:
            return action()
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
            raise FormatError(
                f"{self.path}, {path!r} is damaged or absent ({self.size:,} bytes of file). "
                f"Restore the file from its source. (HDF5: {error})"
            ) from error

    def _read(self, path: str, found: Any) -> Array:
        where = f"{self.path}, {path!r}"
        if not isinstance(found, h5d.DatasetID):
            raise HostileFile(f"{where} is neither a group nor an array.")
        self._guarded(lambda: _check_storage(where, found), path)
        dataset = h5py.Dataset(found)
        if self._guarded(lambda: dataset.shape, path) is None:
            raise FormatError(f"{where} was declared without a shape: it holds no values. Restore them.")
        kind: np.dtype[Any] = self._guarded(lambda: dataset.dtype, path)
        if kind.kind not in NUMBERS:
            raise HostileFile(
                f"{where} holds text, references, objects or records ({kind}), expected numbers. "
                "It was not read."
            )
        self._declared += math.prod(dataset.shape) * kind.itemsize
        check_declared(where, self._declared, self.size)
        if math.prod(dataset.shape):
            self._guarded(lambda: _check_chunks(where, dataset, self.size), path)
        array = self._guarded(lambda: dataset[()], path)
        return np.asarray(array, array.dtype.newbyteorder("="))


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _check_storage(where: str, dataset: Any) -> None:
    """Refuse what reads other files or runs plug-ins, from the header alone."""
    creation = dataset.get_create_plist()
    if creation.get_layout() == h5d.VIRTUAL:
        raise HostileFile(
            f"{where} is a virtual dataset, whose data lie in other files. Copy them into this one."
        )
    if creation.get_external_count():
        raise HostileFile(
            f"{where} keeps its data in another file. It was not opened; copy the data into this one."
        )
    for number in range(creation.get_nfilters()):
        code = creation.get_filter(number)[0]
        if code not in FILTERS:
            raise HostileFile(
                f"{where} needs the filter {code}, which would be loaded as a plug-in. "
                f"Rewrite it with one of {', '.join(FILTERS.values())}, or none."
            )


def _check_chunks(where: str, dataset: h5py.Dataset, size: int) -> None:
    """Refuse chunks that were never written, for they would read as zeros, and chunks that are bombs."""
    stored = dataset.id.get_storage_size()
    creation = dataset.id.get_create_plist()
    if creation.get_layout() != h5d.CHUNKED:
        if not stored:
            raise FormatError(
                f"{where} was declared but never written: its {dataset.shape} values do not exist."
            )
        return
    chunk = creation.get_chunk()
    expected = math.prod(-(-length // step) for length, step in zip(dataset.shape, chunk, strict=True))
    found = dataset.id.get_num_chunks()
    if found < expected:
        raise FormatError(
            f"{where} lacks {expected - found:,} of its {expected:,} chunks: the recorder was interrupted, "
            "or the file is damaged. They would read as zeros. Restore the file from its source."
        )
    bytes_per_chunk = math.prod(chunk) * dataset.dtype.itemsize
    if bytes_per_chunk > max(FLOOR, RATIO * size):
        raise HostileFile(f"{where} has chunks of {bytes_per_chunk:,} bytes in a file of {size:,} bytes.")
    filters = [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]
    if h5z.FILTER_DEFLATE in filters:
        infos: list[Any] = []
        dataset.id.chunk_iter(infos.append)
        for info in infos:
            _check_inflation(where, dataset, info, bytes_per_chunk)


def _check_inflation(where: str, dataset: h5py.Dataset, info: Any, expected: int) -> None:
    """Refuse a chunk that inflates to more than it declares: HDF5 itself would inflate it all."""
    if info.size * 1032 <= FLOOR:
        return
    _, raw = dataset.id.read_direct_chunk(info.chunk_offset)
    inflater, slack = zlib.decompressobj(), 1 << 16
    inflated = inflater.decompress(raw, expected + slack)
    if len(inflated) >= expected + slack:
        raise HostileFile(
            f"{where} has a chunk at {info.chunk_offset} that inflates beyond its {expected:,} bytes."
        )
