"""Every bomb is refused in less than a second and with less than 100 MB more memory (D21)."""

import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

CHILD = """
import io, sys, time, resource
from pathlib import Path
from suture.data.formats import read, native
from suture.errors import SutureError
import polars as pl
pl.DataFrame({"a": [1]}).lazy().collect()
pl.DataFrame({"a": [1]}).write_parquet(small := io.BytesIO())
small.seek(0)
pl.scan_parquet(small).collect()  # its threads begin here: under the limit it may wait for one for ever
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 100_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
path = Path(sys.argv[1])
start = time.process_time()
try:
    native.open(path) if path.is_dir() else read.read(path)
    print("read")
except SutureError as error:
    print(type(error).__name__, time.process_time() - start, str(error)[:200])
"""


def zip_bomb(folder: Path) -> Path:
    with (
        zipfile.ZipFile(folder / "log.npz", "w", zipfile.ZIP_DEFLATED) as file,
        file.open("observations.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(bytes(1 << 20))
    return folder / "log.npz"


def shape_bomb(folder: Path) -> Path:
    header = str({"descr": "<f4", "fortran_order": False, "shape": (1 << 44, 4)}).ljust(117).encode() + b"\n"
    with zipfile.ZipFile(folder / "log.npz", "w") as file:
        for name in ("observations.npy", "actions.npy"):
            file.writestr(name, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    return folder / "log.npz"


def hdf5_bomb(folder: Path) -> Path:
    with h5py.File(folder / "log.h5", "w") as file:
        for name in ("observations", "actions"):
            file.create_dataset(name, (1 << 44, 4), "f4", chunks=(1 << 10, 4), compression="gzip")
    return folder / "log.h5"


def many_members(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "log.npz", "w") as file:
        for number in range(40_000):
            file.writestr(f"{number:06d}-of-a-great-many-tiny-tensors.npy", b"")
    return folder / "log.npz"


def deep_json(folder: Path) -> Path:
    (folder / "store").mkdir()
    (folder / "store" / "manifest.json").write_bytes(b"[" * 3_000_000)
    return folder / "store"


def huge_json(folder: Path) -> Path:
    (folder / "store").mkdir()
    with (folder / "store" / "manifest.json").open("wb") as file:
        file.truncate(1 << 32)
    return folder / "store"


def huge_header(folder: Path) -> Path:
    manifest = {
        "kind": "suture-dataset", "format": 1, "arrays": [], "columns": {}, "findings": [],
        "shards": [{"file": "shard-000000.safetensors", "rows": 1, "bytes": 1 << 32, "sha256": "0"}],
    }  # fmt: skip
    (folder / "store").mkdir()
    (folder / "store" / "manifest.json").write_text(json.dumps(manifest))
    with (folder / "store" / "shard-000000.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", (1 << 32) - 8))
        file.truncate(1 << 32)
    return folder / "store"


def wide_table(folder: Path) -> Path:
    (folder / "log.csv").write_text(",".join(f"c{n}" for n in range(20_000)) + "\n")
    return folder / "log.csv"


def parquet_bomb(folder: Path) -> Path:
    text = pl.DataFrame({"episode": ["a" * 300_000_000], "action": [0.0]})
    text.write_parquet(folder / "log.parquet", compression="zstd")
    assert (folder / "log.parquet").stat().st_size < 1_000_000
    return folder / "log.parquet"


Bomb = Callable[[Path], Path]
BOMBS = [
    zip_bomb,
    shape_bomb,
    hdf5_bomb,
    many_members,
    deep_json,
    huge_json,
    huge_header,
    wide_table,
    parquet_bomb,
]


def under_the_limit(path: Path) -> "subprocess.CompletedProcess[str]":
    arguments = [sys.executable, "-c", CHILD, str(path)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=180)


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_d21_refused_within_a_second_and_a_hundred_megabytes(tmp_path: Path, bomb: Bomb) -> None:
    path = bomb(tmp_path)
    child = under_the_limit(path)
    assert child.returncode == 0, child.stderr[-500:]
    kind, seconds, said = child.stdout.split(" ", 2)
    assert kind in ("HostileFile", "FormatError")
    assert float(seconds) < 1
    assert str(path) in said


def test_d21_an_honest_file_is_read_under_the_same_limit(tmp_path: Path) -> None:
    np.savez(tmp_path / "log.npz", observations=np.zeros((9, 2)), actions=np.zeros((9, 1)))
    child = under_the_limit(tmp_path / "log.npz")
    assert child.stdout == "read\n", child.stderr[-500:]
