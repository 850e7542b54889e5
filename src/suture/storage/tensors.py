"""Named arrays in one file (safetensors), mapped into memory after the header was checked.

Format: https://github.com/huggingface/safetensors#format. The header is validated here, against the size
of the file and before anything is allocated, because files come from elsewhere.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.numpy

from suture.errors import FormatError, HostileFile
from suture.spaces import Array
from suture.storage.manifest import object_of, parse_json, size_of

MAX_HEADER = 4 << 20
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 16
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
Span = tuple[str, np.dtype[Any], tuple[int, ...], int, int]


def save(arrays: Mapping[str, Array]) -> bytes:
    """The file of these arrays: equal arrays give equal bytes, in whatever order they come."""
    plain: dict[str, Array] = {}
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        little = array.dtype.newbyteorder("<") if array.dtype.byteorder == ">" else array.dtype
        if little.str not in DTYPES.values():
            raise FormatError(f"Array {name!r} has dtype {array.dtype}, which cannot be stored.")
        plain[name] = array.astype(little, copy=False)
    return safetensors.numpy.save(plain)


def open_tensors(path: Path) -> dict[str, Array]:
    """Name -> read-only array, mapped and not read. Raises `FormatError` or `HostileFile`."""
    return parse(np.memmap(path, np.uint8, "r") if size_of(path) else np.empty(0, np.uint8), str(path))


def require_header(path: Path) -> None:
    """`FormatError` where the header alone shows that a file is not read: nothing else of it need be."""
    size = size_of(path)
    with path.open("rb") as file:
        _length(file.read(8), size, str(path))


def parse(content: Array, where: str) -> dict[str, Array]:
    """`open_tensors` of the bytes of such a file, as views of them.   where: named in the errors."""
    spans, start = _header(content, where)
    arrays: dict[str, Array] = {}
    for name, dtype, shape, begin, end in spans:
        array = content[start + begin : start + end].view(np.ndarray).view(dtype).reshape(shape)
        array.flags.writeable = False
        arrays[name] = array
    return arrays


def _length(head: bytes, size: int, where: str) -> int:
    """The length of the header of a file of so many bytes, from its first 8."""
    length = int.from_bytes(head, "little")
    if size < 8 or length > size - 8:
        raise FormatError(
            f"{where} is cut off or not a safetensors file: its header of {length:,} bytes does not fit "
            f"into its {size:,} bytes. Restore the file from its source."
        )
    if length > MAX_HEADER:
        raise HostileFile(f"{where} declares a header of {length:,} bytes; at most {MAX_HEADER:,} are read.")
    return length


def _header(content: Array, where: str) -> tuple[list[Span], int]:
    size, length = len(content), _length(content[:8].tobytes(), len(content), where)
    header = object_of(
        parse_json(content[8 : 8 + length].tobytes(), f"The header of {where}"), f"The header of {where}"
    )
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise HostileFile(f"{where} declares {len(header):,} arrays; at most {MAX_TENSORS:,} are read.")
    spans = [_span(f"{where}, array {name!r}", name, entry) for name, entry in header.items()]
    end = 0
    for name, _, _, begin, stop in sorted(spans, key=lambda span: span[3:]):
        if begin != end:
            raise HostileFile(
                f"{where}, array {name!r}: begins at byte {begin:,}, expected {end:,} (overlap)."
            )
        end = stop
    if end != size - 8 - length:
        raise FormatError(
            f"{where} is cut off or has a tail: its header declares {end:,} bytes of arrays, "
            f"the file holds {size - 8 - length:,}. Restore the file from its source."
        )
    return spans, 8 + length


def _span(where: str, name: str, entry: Any) -> Span:
    values = object_of(entry, where)
    shape, offsets, dtype = values.get("shape"), values.get("data_offsets"), values.get("dtype")
    if not _naturals(shape) or not _naturals(offsets) or len(cast("list[int]", offsets)) != 2:
        raise HostileFile(f"{where}: the shape or the offsets are not natural numbers: {entry!r:.100}")
    if len(cast("list[int]", shape)) > MAX_DIMENSIONS:
        raise HostileFile(
            f"{where}: has {len(cast('list[int]', shape))} dimensions, more than {MAX_DIMENSIONS}."
        )
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FormatError(f"{where}: dtype {dtype!r} is not one of {', '.join(DTYPES)}.")
    kind, (begin, end) = np.dtype(DTYPES[dtype]), cast("list[int]", offsets)
    needed = math.prod(cast("list[int]", shape)) * kind.itemsize
    if end - begin != needed:
        raise HostileFile(f"{where}: shape {shape} needs {needed:,} bytes, the offsets give {end - begin:,}.")
    return name, kind, tuple(cast("list[int]", shape)), begin, end


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
