"""What a Parquet file unpacks to is known from its headers, and a file that contradicts itself is refused."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from suture.data.formats.parquet import unpacked_bytes
from suture.errors import FormatError

ROWS = 40_000


def written(folder: Path, **options: Any) -> Path:
    """Noise, which nothing packs: eight bytes a cell."""
    noise = np.random.default_rng(0).normal(size=(ROWS, 3))
    pl.DataFrame(noise, schema=["a", "b", "c"]).write_parquet(folder / "log.parquet", **options)
    return folder / "log.parquet"


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "uncompressed"}, {"compression": "zstd"}, {"compression": "snappy"},
        {"row_group_size": 7_000}, {"data_page_size": 10_000}, {"statistics": "full"},
    ],
)  # fmt: skip
def test_noise_unpacks_to_eight_bytes_a_cell(tmp_path: Path, options: dict[str, Any]) -> None:
    assert unpacked_bytes(written(tmp_path, **options)) == pytest.approx(ROWS * 3 * 8, rel=0.02)


def test_text_counts_by_its_length(tmp_path: Path) -> None:
    text = pl.DataFrame({"text": ["x" * 100_000, "y" * 100_000, None]})
    text.write_parquet(tmp_path / "text.parquet", compression="zstd")
    assert (tmp_path / "text.parquet").stat().st_size < 10_000
    assert unpacked_bytes(tmp_path / "text.parquet") == pytest.approx(200_000, rel=0.02)


def test_lists_within_lists_have_an_end(tmp_path: Path) -> None:
    """A footer of list upon list, each a byte."""
    footer = b"\x19" * 5_000 + b"\x00"
    (tmp_path / "deep.parquet").write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(FormatError, match="damaged"):
        unpacked_bytes(tmp_path / "deep.parquet")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "log.parquet"
    pl.DataFrame({"a": [1.0, 2.0], "b": ["x", None]}).write_parquet(path)
    return path


@settings(deadline=None)
@given(
    changes=some.lists(some.tuples(some.integers(4, 10_000), some.integers(0, 255)), min_size=1, max_size=6)
)
def test_damage_is_refused_or_counted_but_never_a_traceback(
    small: Path, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(small.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    broken = small.with_name("broken.parquet")
    broken.write_bytes(content)
    with contextlib.suppress(FormatError):
        assert unpacked_bytes(broken) >= 0
