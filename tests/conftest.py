"""What every test shares: the CPU backend, deterministic properties, and where the third-party data lies."""

import gc
import os
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from making.command import Command

ROOT = Path(__file__).resolve().parent.parent
MANY_MAPS = 20_000

# Before anything imports JAX. Workers and children of tests inherit these, and reuse what others compiled.
os.environ["JAX_PLATFORMS"] = "cpu"
_cache: tempfile.TemporaryDirectory[str] | None = None
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="suture-tests-", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

hypothesis.settings.register_profile(
    "suture", derandomize=True, deadline=None, database=None, max_examples=50
)
hypothesis.settings.load_profile("suture")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; runs where SUTURE_SLOW is set")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not os.environ.get("SUTURE_SLOW"):
            item.add_marker(pytest.mark.skip(reason="slow; set SUTURE_SLOW=1 to run it"))


def pytest_unconfigure() -> None:
    if _cache is not None:
        _cache.cleanup()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository root."""
    return ROOT


@pytest.fixture(autouse=True)
def handlers_of_signals() -> Generator[None]:
    """The command line leaves signals as the end of a process needs them; a test is no such end."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True, scope="module")
def few_maps() -> Generator[None]:
    """Programs that are compiled stay mapped into memory, a hundred maps a test; beyond the kernel's limit
    (65,530 by default) XLA ends the process."""
    yield
    maps = Path("/proc/self/maps")
    if maps.is_file() and maps.read_bytes().count(b"\n") > MANY_MAPS:
        import jax

        jax.clear_caches()
        gc.collect()


@pytest.fixture
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of equal programs share one compilation, for tests that train many times."""
    from making.runs import program

    monkeypatch.setattr("suture.training.train.Program", program)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> "Command":
    """The command line in this process."""
    from making.command import Command

    return Command(capsys, monkeypatch)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The third-party data (`SUTURE_DATA`, by default ../shared/data); skips where it is absent."""
    folder = Path(os.environ.get("SUTURE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the third-party data is not at {folder}; set SUTURE_DATA to its folder")
    return folder
