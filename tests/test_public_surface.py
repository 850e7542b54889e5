"""The names that users may rely on, and the wheel that carries them."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import suture

PUBLIC = [
    "BC",
    "BCQ",
    "BEAR",
    "BRAC",
    "CQL",
    "CalQL",
    "DQN",
    "EDAC",
    "FQL",
    "IFQL",
    "IQL",
    "AWAC",
    "AWR",
    "CRR",
    "ReBRAC",
    "SAC",
    "SACN",
    "TD3",
    "TD3BC",
    "Algorithm",
    "Codec",
    "Dataset",
    "Episode",
    "FilteredBC",
    "Layout",
    "Online",
    "Outcome",
    "QTOpt",
    "Reading",
    "Rounds",
    "Run",
    "Settings",
    "Sweep",
    "Writer",
    "__version__",
    "diagnose",
    "estimate",
    "evaluate",
    "finetune",
    "load",
    "loop",
    "open_run",
    "preset",
    "train",
]


def test_the_public_names_are_pinned() -> None:
    assert sorted(suture.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    assert name in dir(suture)
    thing = getattr(suture, name)
    assert name == "__version__" or (thing.__doc__ or "").strip()


def test_an_unknown_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = suture.no_such_name  # pyright: ignore


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel; the build needs no network, because hatchling is in the lock."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_whole_package(wheel: Path, root: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {path.relative_to(root / "src").as_posix() for path in (root / "src").rglob("*.py")}
    assert sources | {"suture/py.typed"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if not name.startswith("suture")]


def test_the_wheel_imports_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import suture, suture.data.dataset as d"
    )
    command = [sys.executable, "-P", "-c", code + "; print(suture.__version__, suture.__file__, d.__file__)"]
    ran = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    version, *files = ran.stdout.split(" ", 1)
    assert version == suture.__version__
    assert files[0].count(str(tmp_path / "site")) == 2
