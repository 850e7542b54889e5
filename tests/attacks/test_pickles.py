"""No pickle is ever opened, whatever it is called (D19). Unpickling one would create the canary, a file."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from making.runs import walk

import suture
from suture.data.formats import read
from suture.data.formats.read import kind_of
from suture.errors import FormatError, HostileFile, RunMismatch, SutureError
from suture.storage import manifest


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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    suture.train(suture.BC(hidden=(4,)), walk(), out=out, steps=2)
    return out


def signed(checkpoint: Path) -> None:
    """Make a checkpoint's manifest fit its files, as whoever made it would."""
    path = checkpoint / "manifest.json"
    header = json.loads(path.read_text())
    header["files"] = manifest.manifest_of(checkpoint, header["files"])
    del header["sha256"]
    path.write_text(json.dumps(header | {"sha256": manifest.digest(header)}))


CHECKPOINT = "checkpoints/step-000000000002"
STATE = f"{CHECKPOINT}/state.safetensors"


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    "name", [STATE, f"signed {STATE}", f"{CHECKPOINT}/manifest.json", "config.json", "dataset.json"]
)
def test_d19_a_pickle_in_a_run_folder_is_refused_unread(
    name: str, protocol: int, trained: Path, tmp_path: Path
) -> None:
    """Wherever a checkpoint or a policy is loaded: to act, to go on, to be the behaviour of another."""
    run, canary = Path(shutil.copytree(trained, tmp_path / "run")), tmp_path / "canary"
    path = run / name.removeprefix("signed ")
    path.write_bytes(payload(canary, protocol))
    if name.startswith("signed"):
        signed(path.parent)
    doors: list[Callable[[], object]] = [
        lambda: suture.open_run(run).policy.act(np.zeros(3)),
        lambda: suture.train(suture.BC(hidden=(4,)), walk(), out=run, steps=2, resume=True),
        lambda: suture.train(suture.BRAC(), walk(), out=tmp_path / "brac", steps=2, behaviour=run),
    ]
    for door in doors:
        with pytest.raises(SutureError) as refused:
            door()
        assert path.name.partition(".")[0] in str(refused.value) or path.parent.name in str(refused.value)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["policy.pt", "policy.pkl", "run"])
def test_d19_a_pickle_in_the_place_of_a_run_is_refused_unread(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / name).write_bytes(payload(canary, 2))
    with pytest.raises(RunMismatch, match="is not a run folder"):
        suture.open_run(tmp_path / name)
    with pytest.raises(RunMismatch, match="is a file"):
        suture.train(suture.BC(hidden=(4,)), walk(), out=tmp_path / name, steps=2, resume=True)
    assert not canary.exists()
