"""NPZ files that hold pickles, lie about their sizes, or name files elsewhere (D19, D21, D22)."""

import contextlib
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suture.data.formats import guard, npz, read
from suture.errors import FormatError, HostileFile, OutOfBudget

ROWS = 10


def member(array: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array))
    return file.getvalue()


def header(text: str, data: bytes = b"") -> bytes:
    encoded = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(encoded)) + encoded + data


def declares(shape: Any, dtype: str = "<f4") -> str:
    return str({"descr": dtype, "fortran_order": False, "shape": shape})


HONEST = {
    "observations.npy": member(np.zeros((ROWS, 3), np.float32)), "actions.npy": member(np.zeros((ROWS, 1))),
    "rewards.npy": member(np.zeros(ROWS)), "terminals.npy": member(np.zeros(ROWS, bool)),
}  # fmt: skip


def packed(path: Path, members: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header(declares((1 << 42, 3))), "declares shape"),
        (header(declares((ROWS, 3)), bytes(ROWS * 12 - 1)), "declares shape"),
        (header(declares((ROWS, 3)), bytes(ROWS * 12 + 1)), "declares shape"),
        (header(declares((-1, -3)), bytes(12)), "declares shape"),
        (header(declares((0, 1 << 62))), "damaged"),
        (header(declares((ROWS,), "|O"), b"\x80\x04."), "pickled Python objects"),
        (header(str({"descr": [("x", "|O")], "fortran_order": False, "shape": (1,)})), "pickled"),
        (header("__import__('os').system('false')"), "damaged"),
        (header("(" * 100), "damaged"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<L", 1 << 31) + b"x", "2,147,483,648 bytes"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "damaged"),
        (b"no array at all", "damaged"),
        (b"", "damaged"),
        (member(["text"] * ROWS), "expected numbers"),
        (member(np.zeros(ROWS, "V8")), "expected numbers"),
    ],
)
def test_d21_a_member_that_is_not_what_it_says_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = packed(tmp_path / "log.npz", {**HONEST, "observations.npy": content})
    with pytest.raises(FormatError, match=said) as refusal:
        read.read(path)
    assert str(path) in str(refusal.value)
    assert "observations" in str(refusal.value)


@pytest.mark.parametrize("name", ["../rewards.npy", "/rewards.npy", "a/../../b.npy", "..\\b.npy", "C:b.npy"])
def test_d22_a_member_that_names_a_file_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(HostileFile, match="leads out of the file"):
        npz.read(packed(tmp_path / "log.npz", {**HONEST, name: member(np.zeros(ROWS))}))


def test_d22_a_link_as_member_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("rewards.npy")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    honest = {name: content for name, content in HONEST.items() if name != "rewards.npy"}
    with zipfile.ZipFile(packed(tmp_path / "log.npz", honest), "a") as file:
        file.writestr(link, "/etc/hostname")
    with pytest.raises(HostileFile, match="symbolic link"):
        npz.read(tmp_path / "log.npz")


def test_d21_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "log.npz", HONEST)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(HostileFile, match="encrypted"):
        npz.read(path)


def test_d21_more_members_than_any_log_has_are_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "log.npz", {f"{number}.npy": b"" for number in range(10_001)})
    with pytest.raises(HostileFile, match="10,001 members"):
        npz.read(path)


def test_more_than_the_memory_is_out_of_budget() -> None:
    with pytest.raises(OutOfBudget, match=r"needs .* this machine has"):
        guard.check_declared("log.npz", 1 << 60, 1 << 59)


def test_d21_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(packed(tmp_path / "log.npz", HONEST), "a") as file, pytest.warns(match="Duplicate"):
        file.writestr("rewards.npy", member(np.ones(ROWS)))
    with pytest.raises(HostileFile, match="twice"):
        npz.read(tmp_path / "log.npz")


def test_d21_a_zip_bomb_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    bomb = header(declares((1 << 26,), "|u1"), bytes(1 << 26))
    path = packed(tmp_path / "log.npz", {**HONEST, "infos.npy": bomb})
    assert path.stat().st_size < 100_000
    with pytest.raises(HostileFile, match="more than 250 to 1"):
        npz.read(path)


def test_d21_a_member_that_lies_about_its_size_is_cut_there(tmp_path: Path) -> None:
    """The directory declares what the header needs; the stream would inflate to far more."""
    path = packed(tmp_path / "log.npz", {**HONEST, "rewards.npy": member(np.zeros(ROWS)) + bytes(1 << 24)})
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        true = file.getinfo("rewards.npy").file_size
    lie = len(member(np.zeros(ROWS)))
    path.write_bytes(bytes(content).replace(struct.pack("<L", true), struct.pack("<L", lie)))
    with pytest.raises(FormatError, match=r"rewards.* damaged"):
        npz.read(path)


def test_d21_a_huge_list_of_members_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "log.npz"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(30_000):
            file.writestr(f"{number:040d}.npy", b"")
    with pytest.raises(HostileFile, match="list of members"):
        npz.read(path)


def test_d21_deeply_nested_names_are_refused(tmp_path: Path) -> None:
    members = {**HONEST, "observations/" + "a/" * 9 + "b.npy": HONEST["observations.npy"]}
    del members["observations.npy"]
    with pytest.raises(HostileFile, match="deeper than 8"):
        npz.read(packed(tmp_path / "log.npz", members))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_d21_unusual_compression_is_refused(tmp_path: Path, compression: int) -> None:
    with pytest.raises(FormatError, match="no NPZ file"):
        npz.read(packed(tmp_path / "log.npz", HONEST, compression=compression))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_d17_a_cut_file_is_named_with_its_size(tmp_path: Path, share: float) -> None:
    path = packed(tmp_path / "log.npz", HONEST)
    content = path.read_bytes()[: int(share * path.stat().st_size)]
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"{len(content):,} bytes"):
        npz.read(path)


@pytest.mark.parametrize("position", range(0, 740, 11))
def test_d18_a_flipped_byte_never_crashes_and_never_changes_data(tmp_path: Path, position: int) -> None:
    path = packed(tmp_path / "log.npz", {**HONEST, "rewards.npy": member(np.arange(ROWS, dtype=np.float64))})
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)
    with contextlib.suppress(FormatError):
        log = npz.read(path)
        assert log.reward is None or np.array_equal(log.reward, np.arange(ROWS))


def test_honest_dictionaries_are_read(tmp_path: Path) -> None:
    np.savez_compressed(
        tmp_path / "log.npz",
        **{"observations/camera": np.zeros((ROWS, 2, 2, 3), np.uint8)},
        **{"observations/arm/joint": np.ones((ROWS, 2))},
        actions=np.zeros(ROWS, np.int64), rewards=np.zeros((ROWS, 1)), dones=np.zeros(ROWS, bool),
    )  # fmt: skip
    log = npz.read(tmp_path / "log.npz")
    assert isinstance(log.observation, dict)
    assert log.observation["camera"].shape == (ROWS, 2, 2, 3)
    assert log.observation["arm"]["joint"].sum() == 2 * ROWS
    assert log.reward is not None
    assert log.reward.shape == (ROWS,)


@pytest.mark.parametrize(
    "names", [("observations/a", "observations/a/b"), ("observations/a/b", "observations/a"),
              ("observations", "observations/a"), ("observations/a", "observations")],
)  # fmt: skip
def test_d21_a_name_that_is_an_array_and_a_group_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    """In whichever order they come; neither of the two is taken for the other."""
    observed = {f"{name}.npy": HONEST["observations.npy"] for name in names}
    others = {name: HONEST[name] for name in ("actions.npy", "rewards.npy", "terminals.npy")}
    with pytest.raises(HostileFile, match="as well as a group"):
        npz.read(packed(tmp_path / "x.npz", observed | others))
