"""Images that stay in their files are streamed like other data, resumed exactly, never decoded whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.episodes import PICTURES, record
from making.runs import Toy, checkpoints, told, train_until

from suture.data.formats import episode_reader
from suture.data.load import load
from suture.errors import RunMismatch
from suture.training.train import train

pytestmark = pytest.mark.usefixtures("compiled_once")
LIMIT = 16_000
OPTIONS: dict[str, Any] = {"steps": 30, "checkpoint_every": 10, "log_every": 10, "memory_limit": str(LIMIT)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 80 transitions, 288 bytes of pictures each, in seven shards and a log."""
    return record(tmp_path_factory.mktemp("store") / "store", range(28), PICTURES)


def test_streamed_training_is_resident_training_and_decodes_a_block_at_a_time(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident, said = told(Toy(), load(store), out=tmp_path / "resident", **OPTIONS | {"memory_limit": "1GB"})
    assert "streaming" not in said
    decoded, read = list[int](), episode_reader._Pictures.read

    def watched(pictures: Any, index: Any, out: Any) -> None:
        decoded.append(out.nbytes)
        read(pictures, index, out)

    monkeypatch.setattr(episode_reader._Pictures, "read", watched)
    streamed, said = told(Toy(), load(store), out=tmp_path / "streamed", **OPTIONS)
    assert "more than the limit of 16,000: streaming it" in said
    assert np.asarray(streamed.newest.state.value) == np.asarray(resident.newest.state.value)
    assert max(decoded) <= LIMIT // 4
    assert len(decoded) > 10


def test_a_resumed_run_is_the_uninterrupted_one(store: Path, tmp_path: Path) -> None:
    train(Toy(), load(store), out=tmp_path / "whole", **OPTIONS)
    train_until(15, Toy(), load(store), out=tmp_path / "broken", **OPTIONS)
    train(Toy(), load(store), out=tmp_path / "broken", resume=True, **OPTIONS)
    assert checkpoints(tmp_path / "broken") == checkpoints(tmp_path / "whole")


def test_d23_a_store_that_grew_is_other_data(tmp_path: Path) -> None:
    store = record(tmp_path / "store", range(12), PICTURES)
    train_until(15, Toy(), load(store), out=tmp_path / "run", **OPTIONS)
    record(store, [12], PICTURES)
    with pytest.raises(RunMismatch, match="fingerprint was"):
        train(Toy(), load(store), out=tmp_path / "run", resume=True, **OPTIONS)
