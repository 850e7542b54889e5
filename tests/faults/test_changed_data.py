"""D23: a store that is rewritten while a run reads from it through a memory map."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from making.runs import Stop, Toy, checkpoints, walk

import suture
from suture.data.formats import native
from suture.errors import RunMismatch
from suture.training.train import Watch, train

STREAMED: dict[str, Any] = {"steps": 60, "checkpoint_every": 20, "log_every": 20, "memory_limit": "4KB"}
pytestmark = pytest.mark.usefixtures("compiled_once")


def rewrite(store: Path, other: Path, how: str) -> None:
    """Give a store the content of another: into its files, or by files that take their names."""
    for path in store.iterdir():
        if how == "in place":
            with path.open("r+b") as file:
                file.write((other / path.name).read_bytes())
                file.truncate()
        else:
            os.replace(shutil.copy(other / path.name, store.with_name("new")), path)


@pytest.mark.parametrize("how", ["in place", "by rename"])
def test_d23_a_run_whose_store_was_rewritten_is_not_resumed(how: str, tmp_path: Path) -> None:
    """A renamed file's old content stays mapped, so that the run goes on with the data that it began with."""
    store, other, out = tmp_path / "log", tmp_path / "other", tmp_path / "run"
    native.write(walk(), store)
    native.write(walk(seed=1), other)
    train(Toy(), suture.load(store), out=tmp_path / "whole", **STREAMED)
    changed = list[int]()

    def progress(step: int) -> None:
        if step >= 20 and not changed:
            changed.append(step)
            rewrite(store, other, how)
        if step > 40:
            raise Stop

    with pytest.raises(Stop):
        train(Toy(), suture.load(store), out=out, watch=Watch(progress=progress), **STREAMED)
    assert changed[0] < 40
    before, whole = checkpoints(out), checkpoints(tmp_path / "whole")
    name = "step-000000000040"
    assert (before[name] == whole[name]) == (how == "by rename")
    with pytest.raises(RunMismatch, match=r"The data changed since .*fingerprint was \w{12}, now \w{12}"):
        train(Toy(), suture.load(store), out=out, resume=True, **STREAMED)
    assert checkpoints(out) == before
