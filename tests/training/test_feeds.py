"""Streamed and resident data train alike; a mapped store larger than the limit is streamed."""

from pathlib import Path

import jax
import numpy as np
import pytest
from making.runs import Toy, told, walk

from suture.data.formats import native
from suture.data.load import load
from suture.errors import ConfigError, OutOfBudget
from suture.training.settings import bytes_of
from suture.training.sweep import Sweep
from suture.training.train import train

pytestmark = pytest.mark.usefixtures("compiled_once")

OPTIONS = {"steps": 100, "checkpoint_every": 100, "log_every": 100}


def test_streamed_equals_resident_for_every_member(tmp_path: Path) -> None:
    """100 steps from a memory-mapped store, rtol 1e-6 on every number of the state."""
    native.write(walk((50,) * 40), tmp_path / "store")
    data = load(tmp_path / "store")
    sweep = Sweep(Toy(batch_size=16), seeds=2, rate=[0.1, 0.5])
    resident, said = told(sweep, data, out=tmp_path / "resident", **OPTIONS)
    assert "streaming" not in said
    streamed, said = told(sweep, data, out=tmp_path / "streamed", memory_limit="60KB", **OPTIONS)
    assert "more than the limit of 60,000: streaming it" in said
    for one, other in zip(
        jax.tree.leaves(resident.newest.state), jax.tree.leaves(streamed.newest.state), strict=True
    ):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-6, atol=1e-7)


def test_how_much_is_streamed_at_once_changes_nothing(tmp_path: Path) -> None:
    data = walk()
    states = []
    for limit in ("1300", "5KB", "1GB"):
        run = train(Toy(), data, out=tmp_path / limit, memory_limit=limit, steps=30)
        states.append(np.asarray(run.newest.state.value))
    assert states[0] == states[1] == states[2]


def test_the_limit_that_is_named_is_the_limit_that_works(tmp_path: Path) -> None:
    """S14: one byte less than named is refused, what is named is enough."""
    data = walk()
    with pytest.raises(OutOfBudget) as refused:
        train(Toy(), data, out=tmp_path / "run", memory_limit="1", **OPTIONS)
    named = int(
        str(refused.value).partition("--memory-limit above ")[2].partition(", or")[0].replace(",", "")
    )
    with pytest.raises(OutOfBudget):
        train(Toy(), data, out=tmp_path / "run", memory_limit=str(named - 1), **OPTIONS)
    train(Toy(), data, out=tmp_path / "run", memory_limit=str(named), **OPTIONS)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("2KB", 2000), ("1.5 MiB", 3 << 19), ("2gb", 2 * 10**9), (" 1 GiB ", 1 << 30)],
)
def test_sizes(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "1 TB", "1e3", "GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="memory_limit must be a size such as 2GB"):
        bytes_of(text)
