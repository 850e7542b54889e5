"""Files that were cut off, or in which a byte is another (D17, D18): named with their sizes, never padded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest

import suture
from suture.errors import FormatError

ROWS = 400
RNG = np.random.default_rng(0)
COLUMNS: dict[str, Any] = {
    "observations": RNG.normal(size=(ROWS, 3)), "actions": RNG.uniform(-1, 1, size=(ROWS, 1)),
    "rewards": RNG.normal(size=ROWS), "terminals": np.arange(ROWS) == 199, "timeouts": np.arange(ROWS) == 399,
}  # fmt: skip
FIELDS = dict(zip(COLUMNS, ("observation", "action", "reward", "terminal", "timeout"), strict=True))


def hdf5(path: Path, *, newest: bool = False, **options: Any) -> None:
    with h5py.File(path, "w", libver="latest" if newest else "earliest") as file:
        for name, column in COLUMNS.items():
            file.create_dataset(name, data=column, **options)


def parquet(path: Path) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "observations"}
    pl.DataFrame({**columns, "actions": COLUMNS["actions"][:, 0]}).write_parquet(path)


FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "HDF5": ("log.h5", hdf5),
    "HDF5 in chunks": ("log.h5", lambda path: hdf5(path, chunks=True, compression="gzip")),
    "HDF5 of the newest form": ("log.h5", lambda path: hdf5(path, newest=True)),
    "NPZ": ("log.npz", lambda path: np.savez(path, **COLUMNS)),
    "compressed NPZ": ("log.npz", lambda path: np.savez_compressed(path, **COLUMNS)),
    "Parquet": ("log.parquet", parquet),
}


@pytest.mark.parametrize("kind", FILES)
def test_d17_a_cut_file_is_refused_with_its_name_and_sizes(kind: str, tmp_path: Path) -> None:
    name, write = FILES[kind]
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    shares = (int(share * len(whole)) for share in (0.1, 0.5, 0.9))
    for length in (0, 1, 7, 9, 100, *shares, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError) as refused:
            suture.load(path)
        assert str(path) in str(refused.value)
        assert f"{length:,} bytes" in str(refused.value)
        if name == "log.h5" and length >= 100:  # what its header says
            assert f"{len(whole):,}" in str(refused.value)


def flips(path: Path, places: range) -> Any:
    """For each place: it, and the log in the file with that byte changed, or why it was refused."""
    from suture.data.formats.read import read

    whole = path.read_bytes()
    for place in places:
        content = bytearray(whole)
        content[place] ^= 0xFF
        path.write_bytes(content)
        try:
            yield place, read(path)
        except FormatError as error:
            yield place, str(error)
    path.write_bytes(whole)


def bytes_changed(log: Any) -> int:
    """How many bytes differ in the columns that are there; all must be as long as they were."""
    differ = 0
    for name, column in COLUMNS.items():
        found = getattr(log, FIELDS[name])
        if found is not None:
            assert found.shape == column.shape
            differ += int((found.astype(column.dtype).view(np.uint8) != column.view(np.uint8)).sum())
    return differ


@pytest.mark.parametrize("newest", [False, True])
def test_d17_a_flipped_byte_of_the_structure_is_named_or_does_no_harm(newest: bool, tmp_path: Path) -> None:
    """The newest form of HDF5 has checksums of it; in the older a column's name or type may be another."""
    path = tmp_path / "log.h5"
    hdf5(path, newest=newest)
    with h5py.File(path) as file:
        data = min(column.id.get_offset() for column in file.values())
    refused, changed = 0, 0
    for place, found in flips(path, range(0, data, 7)):
        if isinstance(found, str):
            refused += 1
            assert str(path) in found, place
        else:
            changed += bytes_changed(found) > 0
    assert refused > (200 if newest else 50)
    assert changed <= (0 if newest else 1)


def test_d18_a_flipped_byte_of_a_chunk_with_a_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.h5"
    hdf5(path, chunks=True, fletcher32=True)
    with h5py.File(path) as file:
        chunks = [file[name].id.get_chunk_info(0) for name in ("observations", "rewards", "terminals")]
    for chunk in chunks:
        places = range(chunk.byte_offset, chunk.byte_offset + chunk.size, 97)
        for place, found in flips(path, places):
            assert isinstance(found, str), place
            assert f"{path}, '" in found


def test_without_checksums_one_number_changes_and_no_other(tmp_path: Path) -> None:
    """All that a plain HDF5 file allows one to promise: keep logs in a store, which has checksums."""
    path = tmp_path / "log.h5"
    hdf5(path)
    with h5py.File(path) as file:
        start = file["observations"].id.get_offset()
    assert [bytes_changed(found) for _, found in flips(path, range(start, start + 900, 90))] == [1] * 10
