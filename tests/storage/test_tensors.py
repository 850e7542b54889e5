"""Named arrays in one file; headers are checked before anything is allocated (fault D21)."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suture.errors import FormatError, HostileFile
from suture.storage import tensors

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([True, False, True]),
    "scalar": np.array(7),
    "empty": np.zeros((0, 4), np.float64), "image": np.full((1, 2, 2, 3), 9, np.uint8),
}  # fmt: skip


def written(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(shape: Any = (2,), offsets: Any = (0, 8), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_arrays_come_back_mapped_and_read_only(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(tensors.save(ARRAYS))
    found = tensors.open_tensors(tmp_path / "t")
    assert sorted(found) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        with pytest.raises(ValueError, match="read-only"):
            found[name][...] = 0
    mapped: Any = found["b"]
    while mapped is not None and not isinstance(mapped, np.memmap):
        mapped = mapped.base
    assert isinstance(mapped, np.memmap)


def test_equal_arrays_give_equal_bytes_in_any_order_and_byte_order() -> None:
    backwards = {name: ARRAYS[name].astype(ARRAYS[name].dtype.newbyteorder(">")) for name in reversed(ARRAYS)}
    assert tensors.save(backwards) == tensors.save(ARRAYS)


def test_d12_objects_and_text_are_not_stored() -> None:
    with pytest.raises(FormatError, match="'x' has dtype object"):
        tensors.save({"x": np.array([None])})
    with pytest.raises(FormatError, match="dtype <U1"):
        tensors.save({"x": np.array(["a"])})


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ({"x": entry(shape=[1 << 60], offsets=[0, 1 << 62])}, 8),
        ({"x": entry(shape=[1 << 40, 1 << 40], offsets=[0, 8])}, 8),
        ({"x": entry(shape=[-2], offsets=[0, 8])}, 8),
        ({"x": entry(shape=[2.0], offsets=[0, 8])}, 8),
        ({"x": entry(shape=[True, 2], offsets=[0, 8])}, 8),
        ({"x": entry(offsets=[0, 12])}, 8),
        ({"x": entry(offsets=[8, 0])}, 8),
        ({"x": entry(offsets=[0])}, 8),
        ({"x": entry(offsets=[4, 12])}, 12),
        ({"x": entry(), "y": entry()}, 8),
        ({"x": entry(), "y": entry(offsets=[4, 12])}, 12),
        ({"x": entry(), "y": entry(offsets=[12, 20])}, 20),
        ({"x": entry()}, 7),
        ({"x": entry()}, 9),
        ({"x": entry(dtype="BF16", shape=[4])}, 8),
        ({"x": entry(dtype="O")}, 8),
        ({"x": entry(dtype=["F32"])}, 8),
        ({"x": entry(shape=[2] + [1] * 40)}, 8),
        ({"x": None}, 0),
        ([], 0),
        (b"{", 0),
        (b"[" * 1_000_000, 0),
        ({str(n): entry(shape=[0], offsets=[0, 0]) for n in range(50_000)}, 0),
    ],
)
def test_d21_a_lying_header_is_refused(tmp_path: Path, header: Any, size: int) -> None:
    with pytest.raises(FormatError, match=str(tmp_path)):
        tensors.open_tensors(written(tmp_path / "t", header, bytes(size)))


def test_d21_a_huge_header_is_refused_unread(tmp_path: Path) -> None:
    with written(tmp_path / "t", b"{}", length=1 << 30).open("r+b") as file:
        file.truncate((1 << 30) + 8)
    with pytest.raises(HostileFile, match="header of 1,073,741,824 bytes"):
        tensors.open_tensors(tmp_path / "t")


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, -1])
def test_d17_a_cut_file_is_named_with_sizes(tmp_path: Path, size: int) -> None:
    (tmp_path / "t").write_bytes(tensors.save(ARRAYS)[:size])
    with pytest.raises(FormatError, match="cut off"):
        tensors.open_tensors(tmp_path / "t")
