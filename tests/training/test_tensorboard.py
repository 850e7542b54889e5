"""TensorBoard event files (extra: tensorboard), read back record by record as TensorBoard reads them."""

import errno
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.runs import Toy, saved_walk, told, train_until, walk

import suture.cli as cli
from suture.errors import ConfigError
from suture.storage import atomic
from suture.training.outcome import Outcome
from suture.training.run import Run
from suture.training.sweep import Sweep
from suture.training.train import train

pytest.importorskip("tensorboardX", reason="the extra tensorboard is not installed")
pytestmark = pytest.mark.usefixtures("compiled_once")
EVERY: dict[str, Any] = {"steps": 60, "checkpoint_every": 20, "log_every": 10, "tensorboard": True}
HEAD = {"step", "member", "seconds", "updates_per_second"}


def checksum(data: bytes) -> int:
    """CRC-32C (RFC 3720), masked as the record format asks."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack_from("<Q", data)
        (of_length,), (of_content,) = (struct.unpack_from("<I", data, at) for at in (8, 12 + length))
        content = data[12 : 12 + length]
        assert (of_length, of_content) == (checksum(data[:8]), checksum(content))
        yield content
        data = data[16 + length :]


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value): what is left after each session's start has hidden what came after its step."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    curves: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("*tfevents*")):
        events = [Event.FromString(record) for record in records(path)]
        assert events[0].file_version == "brain.Event:2"
        for event in events:
            if event.session_log.status == SessionLog.START:
                curves = {tag: [one for one in curve if one[0] < event.step] for tag, curve in curves.items()}
            for value in event.summary.value:
                curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves


def check_same(run: Run) -> None:
    """The event files hold the metrics of `metrics.jsonl`, member by member."""
    for member in range(len(run)):
        lines = [line for line in run.metrics if line["member"] == member]
        curves = shown(run.path / "tensorboard" / f"member-{member:02d}")
        assert curves.keys() == lines[0].keys() - HEAD
        for name, curve in curves.items():
            np.testing.assert_allclose(curve, [(line["step"], line[name]) for line in lines], rtol=1e-6)


def test_the_check_value_of_the_checksum() -> None:
    assert checksum(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_the_command_line_writes_every_member_s_metrics(tmp_path: Path) -> None:
    log, out = saved_walk(tmp_path / "walk.npz"), tmp_path / "run"
    options = ["--steps", "20", "--log-every", "5", "--hidden", "8", "--seeds", "2", "--tensorboard"]
    assert cli.run(["train", "bc", str(log), "--out", str(out), *options]) == 0
    run = Run(out)
    check_same(run)
    first, second = (shown(out / "tensorboard" / f"member-0{member}") for member in (0, 1))
    assert first != second


def test_a_continued_run_shows_each_step_once(tmp_path: Path) -> None:
    """Broken off at step 50, continued from the checkpoint of 40: step 45 is logged twice."""
    sweep, data, out = Sweep(Toy(), rate=[0.1, 0.3]), walk(), tmp_path / "run"
    train_until(50, sweep, data, out=out, **EVERY | {"checkpoint_every": 40, "log_every": 5})
    torn = next((out / "tensorboard" / "member-00").iterdir())
    before = len(list(records(torn)))
    check_same(train(sweep, data, out=out, resume=True, **EVERY | {"checkpoint_every": 40, "log_every": 5}))
    assert len(list(records(torn))) == before, "what was written stays"


def test_a_disk_that_refuses_events_does_not_stop_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = list[Path]()

    def watch(operation: str, path: Path) -> None:
        if operation == "write" and "tfevents" in path.name:
            writes.append(path)
            if 6 <= len(writes) <= 8:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "watcher", watch)
    run, said = told(Toy(), walk(), out=tmp_path / "run", **EVERY | {"log_every": 5})
    assert run.outcome is Outcome.COMPLETED
    assert "No space left on device" in said
    written = shown(run.path / "tensorboard" / "member-00")["toy/seen"]
    assert len(run.metrics) == 12
    assert len(written) == 9


def test_without_the_extra_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match="pip install tensorboardX"):
        train(Toy(), walk(), out=tmp_path / "run", **EVERY)
    assert not (tmp_path / "run").exists()
