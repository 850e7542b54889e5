"""HDF5 files that read other files, run plug-ins, hold objects, or hold bombs (D20, D21)."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from suture.data.formats import hdf5, read
from suture.errors import FormatError, HostileFile

ROWS = 20
Attack = Callable[[h5py.File, Path], Any]


def honest(file: h5py.File, *, without: str = "") -> None:
    columns = {
        "observations": np.zeros((ROWS, 3), np.float32), "actions": np.zeros((ROWS, 1), np.float32),
        "rewards": np.zeros(ROWS), "terminals": np.zeros(ROWS, bool), "timeouts": np.zeros(ROWS, bool),
    }  # fmt: skip
    for name, array in columns.items():
        if name != without:
            file[name] = array


def secret(folder: Path) -> Path:
    """A file that no log should be able to read."""
    path = folder / "secret.h5"
    if not path.exists():
        with h5py.File(path, "w") as file:
            file["observations"] = np.full((ROWS, 3), 42.0)
            file.create_group("group")["observations"] = np.full((ROWS, 3), 42.0)
        (folder / "secret.raw").write_bytes(b"\x2a" * ROWS * 12)
    return path


def external_link(file: h5py.File, folder: Path) -> None:
    file["observations"] = h5py.ExternalLink(str(secret(folder)), "/observations")


def soft_link(file: h5py.File, folder: Path) -> None:
    file["elsewhere"] = np.zeros((ROWS, 3))
    file["observations"] = h5py.SoftLink("/elsewhere")


def dangling_link(file: h5py.File, folder: Path) -> None:
    file["observations"] = h5py.SoftLink("/nowhere")


def link_beside(file: h5py.File, folder: Path) -> None:
    file["observations"] = np.zeros((ROWS, 3))
    file["unrelated"] = h5py.ExternalLink(str(secret(folder)), "/group")


def group_through_link(file: h5py.File, folder: Path) -> None:
    file.create_group("observations")["camera"] = h5py.ExternalLink(str(secret(folder)), "/observations")


def soft_group_to_external(file: h5py.File, folder: Path) -> None:
    """A soft link whose target passes an external link on the way: each component must be looked at."""
    file["door"] = h5py.ExternalLink(str(secret(folder)), "/group")
    file["observations"] = h5py.SoftLink("/door/observations")


def group_is_soft_link(file: h5py.File, folder: Path) -> None:
    file.create_group("infos")["camera"] = np.zeros((ROWS, 3))
    file["observations"] = h5py.SoftLink("/infos")


def external_storage(file: h5py.File, folder: Path) -> None:
    secret(folder)
    raw = [(str(folder / "secret.raw"), 0, ROWS * 12)]
    file.create_dataset("observations", (ROWS, 3), "f4", external=raw)


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((ROWS, 3), "f8")
    layout[:] = h5py.VirtualSource(str(secret(folder)), "observations", (ROWS, 3))
    file.create_virtual_dataset("observations", layout)


def variable_text(file: h5py.File, folder: Path) -> None:
    file.create_dataset("observations", data=["x"] * ROWS, dtype=h5py.string_dtype())


def variable_length(file: h5py.File, folder: Path) -> None:
    file.create_dataset("observations", (ROWS,), h5py.vlen_dtype(np.float32))


def references(file: h5py.File, folder: Path) -> None:
    file.create_dataset("observations", (ROWS,), h5py.ref_dtype)


def region_references(file: h5py.File, folder: Path) -> None:
    file.create_dataset("observations", (ROWS,), h5py.regionref_dtype)


def records(file: h5py.File, folder: Path) -> None:
    file["observations"] = np.zeros(ROWS, [("x", "f4"), ("y", "f4")])


def opaque(file: h5py.File, folder: Path) -> None:
    file["observations"] = np.zeros(ROWS, "V16")


def named_type(file: h5py.File, folder: Path) -> None:
    file["observations"] = np.dtype("f4")


def shape_bomb(file: h5py.File, folder: Path) -> None:
    file.create_dataset("observations", (1 << 40, 3), "f4", chunks=(1 << 20, 3), compression="gzip")


def contiguous_bomb(file: h5py.File, folder: Path) -> None:
    file.create_dataset("observations", (1 << 32, 3), "f4")


def many_names_of_one_array(file: h5py.File, folder: Path) -> None:
    """Hard links are honest, one by one; together they declare more than the file can hold."""
    data = file.create_dataset("big", data=np.zeros((1 << 18, 8)), chunks=(1 << 16, 8), compression="gzip")
    group = file.create_group("observations")
    for number in range(1000):
        group[f"name-{number}"] = data


def endless_group(file: h5py.File, folder: Path) -> None:
    group = file.create_group("observations")
    group["again"] = group


def huge_chunk(file: h5py.File, folder: Path) -> None:
    """Few rows, in a chunk that would need 400 MB to be read."""
    options = {"chunks": (1 << 24, 3), "maxshape": (None, 3), "compression": "gzip"}
    data = file.create_dataset("observations", (ROWS, 3), "f8", **options)
    data.id.write_direct_chunk((0, 0), b"short")


def inflating_chunk(file: h5py.File, folder: Path) -> None:
    """A chunk that declares 240 bytes and inflates to 64 MiB."""
    data = file.create_dataset("observations", (ROWS, 3), "f4", chunks=(ROWS, 3), compression="gzip")
    data.id.write_direct_chunk((0, 0), zlib.compress(bytes(64 << 20)))


def unknown_filter(file: h5py.File, folder: Path) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((ROWS, 3))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((ROWS, 3))
    data = h5py.h5d.create(file.id, b"observations", h5py.h5t.IEEE_F32LE, space, plist)
    data.write_direct_chunk((0, 0), bytes(ROWS * 12))


LINKED = [external_link, soft_link, dangling_link, link_beside, group_through_link]
LINKED += [soft_group_to_external, group_is_soft_link]
STORED = [external_storage, virtual, variable_text, variable_length, references, region_references]
STORED += [records, opaque, named_type, unknown_filter]
BOMBS = [shape_bomb, contiguous_bomb, many_names_of_one_array, endless_group, inflating_chunk]
BOMBS += [huge_chunk]


@pytest.mark.parametrize("attack", [*LINKED, *STORED, *BOMBS], ids=lambda attack: attack.__name__)
def test_d20_d21_hostile_hdf5_is_refused_with_the_path_inside(tmp_path: Path, attack: Attack) -> None:
    path = tmp_path / "log.h5"
    with h5py.File(path, "w") as file:
        honest(file, without="observations")
        attack(file, tmp_path)
    before = sorted(entry.name for entry in tmp_path.iterdir())
    with pytest.raises(HostileFile) as refusal:
        read.read(path)
    inside = (
        "unrelated"
        if attack is link_beside
        else "door"
        if attack is soft_group_to_external
        else "observations"
    )
    assert str(path) in str(refusal.value)
    assert f"'{inside}" in str(refusal.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == before


def test_d18_chunks_that_were_never_written_are_not_read_as_zeros(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "log.h5", "w") as file:
        honest(file, without="rewards")
        file.create_dataset("rewards", (ROWS,), "f4", chunks=(5,))[:10] = 1
    with pytest.raises(FormatError, match="lacks 2 of its 4 chunks"):
        hdf5.read(tmp_path / "log.h5")


def test_d18_an_array_that_was_never_written_is_not_read_as_zeros(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "log.h5", "w") as file:
        honest(file, without="rewards")
        file.create_dataset("rewards", (ROWS,), "f4")
    with pytest.raises(FormatError, match="never written"):
        hdf5.read(tmp_path / "log.h5")


def test_honest_compressed_and_chunked_files_are_read(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (300, 64, 64, 3), np.uint8)
    with h5py.File(tmp_path / "log.h5", "w") as file:
        options = {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset("observations/camera", data=images, **options)
        file.create_dataset("observations/arm/joint", data=np.zeros((300, 2)), **options)
        file.create_dataset("actions", data=np.zeros((300, 1), ">f4"), compression="lzf")
        file.create_dataset("terminals", data=np.arange(300) == 299)
        file.create_dataset("rewards", data=np.arange(300.0)[:, None])
    log = hdf5.read(tmp_path / "log.h5")
    assert isinstance(log.observation, dict)
    np.testing.assert_array_equal(log.observation["camera"], images)
    assert log.observation["arm"]["joint"].shape == (300, 2)
    assert log.action.dtype == np.dtype("<f4")
    assert log.reward is not None
    assert log.reward.shape == (300,)
