"""Faults of the disk and of checkpoints: S3 to S7, S9 to S11 and S15 of the fault list."""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.runs import STATE, Toy, checkpoints, logged, newest, told, train_until, walk

from suture.errors import CheckpointCorrupt, RefusedInput, RunLocked, RunMismatch
from suture.storage.lock import Lock
from suture.testing.disk import fail_io, record_io
from suture.training import checkpoint
from suture.training.outcome import Outcome
from suture.training.run import Run
from suture.training.train import train

EVERY: dict[str, Any] = {"steps": 60, "checkpoint_every": 20, "log_every": 20}
pytestmark = pytest.mark.usefixtures("compiled_once")
LAST, BEFORE = "step-000000000060", "step-000000000040"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests work on copies of it."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(Toy(), walk(), out=out, **EVERY)
    return out


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def resumed(out: Path, **changes: Any) -> str:
    return told(Toy(), walk(), out=out, resume=True, **EVERY | changes)[1]


REFUSALS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)


@pytest.mark.parametrize("turn", range(4))
def test_one_refusal_of_the_disk_is_survived_wherever_it_strikes(
    turn: int, whole: Path, tmp_path: Path
) -> None:
    """S3, S4: the n-th operation fails, for every n after the start; what stands is always whole."""
    with record_io() as record:
        train(Toy(), walk(), out=tmp_path / "counted", **EVERY)
    began = max(i for i, (_, path) in enumerate(record) if "config.json" in path.name) + 2
    good = checkpoints(whole)
    for n in range(began + turn, len(record), 4):
        out, code = tmp_path / f"run-{n}", REFUSALS[(n + turn) % 4]
        with fail_io(n, code) as attempted:
            run, said = told(Toy(), walk(), out=out, **EVERY)
        operation, path = attempted[n]
        found = checkpoints(out)
        assert all(content == good[name] for name, content in found.items()), operation
        if n < len(record) - 5:  # the last five write the outcome
            assert os.strerror(code) in said, (operation, path)
            assert path.name in said
            assert run.outcome is (Outcome.COMPLETED if LAST in found else Outcome.STORAGE)
        resumed(out)
        assert newest(out) == (LAST, good[LAST]), operation


def test_training_ends_after_three_checkpoints_that_could_not_be_written(tmp_path: Path) -> None:
    """S3: the disk stays full: two checkpoints are forgiven, the third ends the run as STORAGE."""
    with record_io() as record:
        train_until(20, Toy(), walk(), out=tmp_path / "counted", steps=200, checkpoint_every=20)
    out = tmp_path / "run"
    with fail_io(len(record), errno.ENOSPC, once=False):
        run, said = told(Toy(), walk(), out=out, steps=200, checkpoint_every=20)
    assert said.count("was not written") == 3
    assert "No space left on device" in said
    assert "bytes" in said
    assert checkpoints(out) == {}
    assert run.outcome is None  # even the outcome could not be written: the run is open
    assert Outcome.STORAGE.value in said
    _, said = told(Toy(), walk(), out=out, resume=True, steps=200, checkpoint_every=20)
    assert newest(out)[0] == "step-000000000200"


def test_a_last_checkpoint_that_is_lost_is_no_success(whole: Path, tmp_path: Path) -> None:
    """S3: nothing comes after the last checkpoint to make up for it."""
    out = tmp_path / "run"
    train_until(50, Toy(), walk(), out=out, **EVERY)
    with record_io() as record:
        copied = Path(shutil.copytree(out, tmp_path / "counted"))
        train_until(60, Toy(), walk(), out=copied, resume=True, **EVERY)
    with fail_io(len(record) + 2, errno.ENOSPC):
        run = train(Toy(), walk(), out=out, resume=True, **EVERY)
    assert run.outcome is Outcome.STORAGE
    assert Outcome.STORAGE.exit_code == 1
    assert newest(out)[0] == BEFORE
    resumed(out)
    assert checkpoints(out) == checkpoints(whole)


@pytest.mark.parametrize("name", [STATE, "manifest.json"])
def test_a_flipped_byte_is_named_and_the_checkpoint_before_is_taken(name: str, copy: Path) -> None:
    """S5: each of 64 random bytes of each file; one that only changes layout (a blank) may be read over."""
    run, path = Run(copy, Toy), copy / "checkpoints" / LAST / name
    rng, data = np.random.default_rng(0), path.read_bytes()
    for position in rng.choice(len(data), 64, replace=False):
        flipped = bytearray(data)
        flipped[position] ^= rng.integers(1, 256)
        path.write_bytes(flipped)
        found = checkpoint.load_newest(copy / "checkpoints", run.recipe.template(), run.recipe.identity)
        assert found is not None
        if found.step == 60:
            assert name == "manifest.json"
            assert same_json(data, bytes(flipped)), position
        else:
            assert found.step == 40
            assert [reason.partition(":")[0] for reason in found.skipped] == [LAST], position


@pytest.mark.parametrize("name", [STATE, "manifest.json"])
def test_a_run_with_a_flipped_bit_is_resumed_from_the_checkpoint_before(
    name: str, copy: Path, whole: Path
) -> None:
    """S5: told, and trained again to the same bytes."""
    path = copy / "checkpoints" / LAST / name
    data = path.read_bytes()
    path.write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])
    said = resumed(copy)
    assert f"not whole, and removed it: {LAST}" in said
    assert "Continuing from step 40" in said
    assert newest(copy) == newest(whole)


def same_json(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


@pytest.mark.parametrize("name", [STATE, "manifest.json"])
def test_a_cut_or_missing_file_is_named_and_the_checkpoint_before_is_taken(name: str, copy: Path) -> None:
    """S6: cut at 0, 1, half and all but one byte, and missing."""
    path = copy / "checkpoints" / LAST / name
    data = path.read_bytes()
    for length in (0, 1, len(data) // 2, len(data) - 1, None):
        path.unlink()
        if length is not None:
            path.write_bytes(data[:length])
        said = resumed(copy)
        assert f"not whole, and removed it: {LAST}" in said, length
        assert name in said
        assert "Continuing from step 40" in said
        assert path.read_bytes() == data


def test_what_only_resembles_a_checkpoint_is_left_alone(copy: Path) -> None:
    for name in ("step-9999", "step-\u00b2", "step-000000000040.bak"):
        (copy / "checkpoints" / name).mkdir()
    before = sorted((copy / "checkpoints").iterdir())
    assert "Continuing from step" in resumed(copy)
    assert sorted((copy / "checkpoints").iterdir()) == before


@pytest.mark.parametrize("text", ["[]", '{"outcome": 3}', '{"outcome": []}', '{"outcome": "DONE"}'])
def test_an_outcome_that_is_none_is_named(text: str, copy: Path) -> None:
    (copy / "outcome.json").write_text(text)
    with pytest.raises(RefusedInput, match=r"outcome\.json"):
        _ = Run(copy, Toy).outcome


def test_where_every_checkpoint_is_damaged_each_reason_is_listed(copy: Path) -> None:
    """S7: never start afresh in silence."""
    for name in checkpoints(copy):
        (copy / "checkpoints" / name / STATE).write_bytes(b"")
    before = checkpoints(copy)
    with pytest.raises(CheckpointCorrupt) as refused:
        resumed(copy)
    assert all(name in str(refused.value) for name in before)
    assert refused.value.exit_code == 2
    assert checkpoints(copy) == before


def test_a_newer_format_is_refused(copy: Path) -> None:
    """S8: a checkpoint of a later version is not passed over for an older one."""
    path = copy / "checkpoints" / LAST / "manifest.json"
    header = json.loads(path.read_text())
    del header["sha256"]
    header["format"] = 2
    path.write_text(json.dumps(header | {"sha256": digest_of(header)}))
    with pytest.raises(RunMismatch, match="format 2; this version reads format 1"):
        resumed(copy)


def digest_of(header: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def test_a_second_writer_is_refused_with_the_first_ones_pid(copy: Path) -> None:
    """S9: one writer a folder; the kernel frees the lock with its owner (see storage/test_lock)."""
    before = checkpoints(copy)
    with Lock(copy / "lock"), pytest.raises(RunLocked, match=f"process {os.getpid()} on host") as refused:
        resumed(copy)
    assert refused.value.exit_code == 2
    assert checkpoints(copy) == before


def test_the_step_orders_checkpoints_and_no_clock(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S10: times of files mean nothing, and durations do not run backwards with the clock."""
    for age, name in enumerate(checkpoints(copy)):
        os.utime(copy / "checkpoints" / name, (2e9 - 1e6 * age, 2e9 - 1e6 * age))
    monkeypatch.setattr("time.time", lambda: 0.0)
    shutil.rmtree(copy / "checkpoints" / LAST)
    assert "Continuing from step 40" in resumed(copy)
    seconds = [json.loads(line)["seconds"] for line in (copy / "metrics.jsonl").read_text().splitlines()]
    assert seconds == sorted(seconds)


def test_a_torn_line_of_metrics_is_reported_and_written_again(copy: Path) -> None:
    """S11: cut inside the last line, and a damaged one before it."""
    shutil.rmtree(copy / "checkpoints" / LAST)
    path = copy / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"step": 3' + bytes([0, 0xFF]) + b"\n" + lines[1] + lines[2][:-9])
    said = resumed(copy)
    assert "torn line, which was dropped" in said
    assert "line 2 is damaged and was dropped" in said
    assert logged(copy_of(copy)) == [(20, 0), (40, 0), (60, 0)]


def copy_of(out: Path) -> Run:
    return Run(out, Toy)


@pytest.mark.parametrize("keep", [1, 2])
def test_retention_never_touches_the_newest(keep: int, tmp_path: Path) -> None:
    """S15: the newest `keep` stay; removal is a rename first, so what bears the name is whole."""
    out = tmp_path / "run"
    with record_io() as record:
        train(Toy(), walk(), out=out, keep=keep, **EVERY)
    assert list(checkpoints(out)) == [BEFORE, LAST][-keep:]
    removed = [n for n, (operation, _) in enumerate(record) if operation == "remove"]
    for n in removed:
        assert record[n - 2][0] == "rename"
        assert record[n][1].name.startswith(".tmp-remove-")
    assert len(removed) == 3 - keep


@pytest.mark.parametrize("keep", [1, 2])
def test_a_run_killed_before_its_last_removal_is_tidied_when_resumed(keep: int, copy: Path) -> None:
    """S15, found by random kills: after the last checkpoint nothing came that would remove the oldest."""
    resumed(copy, keep=keep)
    assert list(checkpoints(copy)) == [BEFORE, LAST][-keep:]


@pytest.mark.parametrize(
    ("best", "kept"), [([20], (20, 60)), ([20, 40], (20, 40, 60)), ([60], (60,)), ([7], (60,))]
)
def test_the_best_known_checkpoint_outlives_the_newest(
    best: list[int], kept: tuple[int, ...], tmp_path: Path
) -> None:
    """S15: found by an evaluation between two parts of a run."""
    out = tmp_path / "run"
    train(Toy(), walk(), out=out, keep=3, **EVERY)
    Run(out, Toy).mark(best, "Known-v0")
    checkpoint.retain(out / "checkpoints", keep=1)
    assert Run(out, Toy).steps == list(kept)
    Run(out, Toy).mark([], "Known-v0")
    checkpoint.retain(out / "checkpoints", keep=1)
    assert Run(out, Toy).steps == [60]


@pytest.mark.parametrize("text", ["{", "[20]", "{}", '{"steps": ["twenty"]}', '{"steps": 20}'])
def test_nothing_is_removed_while_the_mark_of_the_best_cannot_be_read(text: str, copy: Path) -> None:
    before = list(checkpoints(copy))
    (copy / "checkpoints" / "best.json").write_text(text)
    said = resumed(copy, keep=1)
    assert "Old checkpoints were not removed" in said
    assert "which names the best checkpoints, cannot be read" in said
    (copy / "checkpoints" / "best.json").unlink()
    assert list(checkpoints(copy)) == before
