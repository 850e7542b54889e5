"""No pickle is ever opened, whatever it is called (D19). Unpickling one would create the canary, a file."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from suture.data.formats import read
from suture.data.formats.read import kind_of
from suture.errors import FormatError, HostileFile, SutureError


class Bomb:
    """Unpickling an instance creates the file at `path`."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def payload(canary: Path, protocol: int) -> bytes:
    data = pickle.dumps({"observations": Bomb(canary)}, protocol=protocol)
    # The canary must sing where it can: our own payload, opened once on purpose.
    pickle.loads(data)["observations"].close()  # noqa: S301
    assert canary.exists()
    canary.unlink()
    return data


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("name", ["log.pkl", "log.npz", "log.h5", "log.csv", "log.parquet", "log"])
def test_d19_a_pickle_is_refused_unread_under_any_name(tmp_path: Path, protocol: int, name: str) -> None:
    canary = tmp_path / "canary"
    (tmp_path / name).write_bytes(payload(canary, protocol))
    with pytest.raises(HostileFile, match="is a pickle") as refusal:
        read.read(tmp_path / name)
    assert str(tmp_path / name) in str(refusal.value)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["log.pkl", "log.npz", "log.csv", "log.pt", "log"])
@pytest.mark.parametrize("protocol", [0, 1])
def test_d19_text_pickles_are_not_opened_either(tmp_path: Path, protocol: int, name: str) -> None:
    canary = tmp_path / "canary"
    (tmp_path / name).write_bytes(payload(canary, protocol))
    with pytest.raises(SutureError):
        read.read(tmp_path / name)
    assert not canary.exists()


def test_d19_a_torch_zip_is_refused_unread(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for name in ("model.pt", "model.npz", "archive/data.pkl"):
        path = tmp_path / Path(name).name
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", payload(canary, 2))
            file.writestr("archive/data/0", bytes(100))
        with pytest.raises(HostileFile, match="made of pickles"):
            read.read(path)
    assert not canary.exists()


def test_d19_an_object_array_beside_honest_ones_is_refused_unread(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    honest = {"observations": np.zeros((3, 2)), "actions": np.zeros((3, 1)), "rewards": np.zeros(3)}
    np.savez(tmp_path / "log.npz", **honest, infos=np.array([Bomb(canary)], dtype=object))
    with pytest.raises(HostileFile, match="pickled Python objects"):
        read.read(tmp_path / "log.npz")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\x1f\x8b\x08compressed", "compressed with gzip"),
        (b"\x28\xb5\x2f\xfdcompressed", "compressed with zstd"),
        (b"\x00\x01\x02", "no known format"),
        (b"\xff\xfea\x00,\x00b\x00", "no known format"),
    ],
)
def test_unknown_content_is_refused_with_what_is_supported(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(FormatError, match=said):
        kind_of(tmp_path / "log")


def test_a_binary_name_on_other_content_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.h5").write_bytes(b"\0" * 100)
    with pytest.raises(FormatError, match=r"no \.h5 file, or is damaged: it has 100 bytes"):
        read.read(tmp_path / "log.h5")
