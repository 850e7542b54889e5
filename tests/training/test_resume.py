"""A run that was broken off and continued is the run that was not: states, manifests and metrics (S1)."""

import dataclasses
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from making.logs import built, changed, walk_log
from making.runs import (
    LENGTHS,
    Stop,
    Toy,
    checkpoints,
    logged,
    newest,
    saved_walk,
    suture,
    told,
    train_until,
    walk,
)

import suture.cli as cli
from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.errors import RunMismatch
from suture.training.run import open_run
from suture.training.sweep import Sweep
from suture.training.train import Watch, train

pytestmark = pytest.mark.usefixtures("compiled_once")
EVERY: dict[str, Any] = {"steps": 60, "checkpoint_every": 20, "log_every": 10}


@pytest.mark.parametrize(
    "algorithm",
    [Toy(), Sweep(Toy(), seeds=2, rate=[0.1, 0.3]), IQL(hidden=(8, 8))],
    ids=["toy", "sweep", "iql"],
)
def test_a_continued_run_equals_the_uninterrupted_one(algorithm: Any, tmp_path: Path) -> None:
    data = walk()
    train(algorithm, data, out=tmp_path / "whole", **EVERY)
    train_until(35, algorithm, data, out=tmp_path / "broken", **EVERY)
    assert newest(tmp_path / "broken")[0] == "step-000000000020"
    run = train(algorithm, data, out=tmp_path / "broken", resume=True, **EVERY)
    assert checkpoints(tmp_path / "broken") == checkpoints(tmp_path / "whole")
    members = len(run)
    assert logged(run) == [(step, member) for step in range(10, 61, 10) for member in range(members)]


def test_the_way_a_run_is_cut_into_chunks_changes_nothing(tmp_path: Path) -> None:
    data = walk()
    train(Toy(), data, out=tmp_path / "coarse", steps=60, checkpoint_every=60, log_every=60)
    train(Toy(), data, out=tmp_path / "fine", steps=60, checkpoint_every=60, log_every=1)
    assert newest(tmp_path / "fine") == newest(tmp_path / "coarse")


def test_before_the_first_checkpoint_a_run_begins_again_and_says_so(tmp_path: Path) -> None:
    data, out = walk(), tmp_path / "run"
    _, said = told(Toy(), data, out=out, resume=True, **EVERY)
    assert "holds no run yet: starting afresh" in said
    other = tmp_path / "other"
    train_until(10, Toy(), data, out=other, **EVERY)
    run, said = told(Toy(), data, out=other, resume=True, **EVERY)
    assert "no checkpoint yet: starting afresh from step 0" in said
    assert checkpoints(other) == checkpoints(out)
    assert logged(run) == [(step, 0) for step in range(10, 61, 10)]


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    data, out = walk(), tmp_path / "run"
    train(Toy(), data, out=out, **EVERY)
    before = checkpoints(out)
    run = train(Toy(), data, out=out, resume=True, **EVERY)
    assert (checkpoints(out), logged(run)[-1]) == (before, (60, 0))


def test_an_existing_run_is_never_overwritten(tmp_path: Path) -> None:
    data, out = walk(), tmp_path / "run"
    train(Toy(), data, out=out, **EVERY)
    before = checkpoints(out)
    with pytest.raises(RunMismatch, match="--resume"):
        train(Toy(), data, out=out, **EVERY)
    assert checkpoints(out) == before


@pytest.mark.parametrize(
    ("algorithm", "changes", "named"),
    [
        (Toy(rate=0.2), {}, ["fields.rate was 0.1, now 0.2"]),
        (Toy(), {"seeds": 2}, ["seeds was 1, now 2"]),
        (Toy(), {"seed": 3}, ["seed was 0, now 3"]),
        (Sweep(Toy(), rate=[0.1, 0.2]), {}, ["sweep.rate was None, now [0.1, 0.2]"]),
        (Toy(), {"normalise": "none"}, ["settings.normalise was 'standardise', now 'none'"]),
        (Toy(), {"steps": 40}, ["settings.steps was 60, now 40"]),
    ],
)
def test_another_run_is_refused_with_both_named(
    algorithm: Any, changes: dict[str, Any], named: list[str], tmp_path: Path
) -> None:
    """S8: algorithm, fields, members and settings are compared before any state is loaded."""
    data, out = walk(), tmp_path / "run"
    train(Toy(), data, out=out, **EVERY)
    before = checkpoints(out)
    with pytest.raises(RunMismatch) as refused:
        train(algorithm, data, out=out, resume=True, **(EVERY | changes))
    assert all(name in str(refused.value) for name in named), str(refused.value)
    assert refused.value.exit_code == 2
    assert checkpoints(out) == before


def test_other_data_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    """D23, S8: one changed number is other data; other spaces are too."""
    data, out = walk(), tmp_path / "run"
    train(Toy(), data, out=out, normalise="none", **EVERY)
    other = walk(seed=1)
    with pytest.raises(RunMismatch) as refused:
        train(Toy(), other, out=out, resume=True, normalise="none", **EVERY)
    assert data.fingerprint[:12] in str(refused.value)
    assert other.fingerprint[:12] in str(refused.value)
    with pytest.raises(RunMismatch, match="fingerprint"):
        train(Toy(), walk(dimensions=4), out=out, resume=True, **EVERY | {"normalise": "none"})


def test_a_log_read_otherwise_is_refused_by_name_though_no_number_changed(tmp_path: Path) -> None:
    """Other bounds scale every action otherwise: the fingerprint is the same, the policy would not be."""
    log = changed(walk_log(LENGTHS), action_space=None)
    data, wide, out = built(log, action_bounds=(-1, 1)), built(log, action_bounds=(-2, 2)), tmp_path / "run"
    assert data.fingerprint == wide.fingerprint
    train(Toy(), data, out=out, **EVERY)
    before = checkpoints(out)
    with pytest.raises(RunMismatch) as refused:
        train(Toy(), wide, out=out, resume=True, **EVERY)
    assert "action space was box[2] float32 in [-1, 1], now box[2] float32 in [-2, 2]" in str(refused.value)
    assert "--action-bounds" in str(refused.value)
    assert "fingerprint" not in str(refused.value)
    assert checkpoints(out) == before


def test_another_scale_is_refused_and_rounding_is_not(tmp_path: Path) -> None:
    data, out = walk(), tmp_path / "run"
    train(Toy(), data, out=out, **EVERY)
    for factor, refused in ((1 + 1e-7, False), (1.01, True)):
        described = json.loads((out / "dataset.json").read_text())
        scale = described["normaliser"]["observation"][""]["scale"]
        described["normaliser"]["observation"][""]["scale"] = [factor * value for value in scale]
        (out / "dataset.json").write_text(json.dumps(described))
        with pytest.raises(RunMismatch, match="the scale of observation was") if refused else nullcontext():
            train(Toy(), data, out=out, resume=True, **EVERY)


def test_another_schema_is_named_column_by_column(tmp_path: Path) -> None:
    data, out = (
        dataclasses.replace(walk(), schema={"observation": ["a", "b"], "reward": "r"}),
        tmp_path / "run",
    )
    train(Toy(), data, out=out, **EVERY)
    other = dataclasses.replace(walk(seed=1), schema={"observation": ["a", "c"], "reward": "r"})
    with pytest.raises(
        RunMismatch, match=r"schema\.observation was \['a', 'b'\], now \['a', 'c'\]"
    ) as refused:
        train(Toy(), other, out=out, resume=True, **EVERY)
    assert "schema.reward" not in str(refused.value)
    several = dataclasses.replace(walk(seed=1), schema={"observation": [*"abcdefghijk"], "reward": "r"})
    with pytest.raises(RunMismatch, match=r"now names 'c', 'd', 'e', 'f', 'g' …;"):
        train(Toy(), several, out=out, resume=True, **EVERY)


def test_a_run_of_another_algorithm_is_refused_by_that_alone_and_before_the_log_is_read(
    tmp_path: Path,
) -> None:
    train(Toy(), walk(), out=tmp_path / "run", **EVERY)
    with pytest.raises(RunMismatch) as refused:
        train(IQL(expectile=0.8), walk(seed=1), out=tmp_path / "run", resume=True, steps=7)
    assert str(refused.value).startswith(f"{tmp_path / 'run'} holds a run of toy, not of iql.")
    assert not any(word in str(refused.value) for word in ("steps", "expectile", "fingerprint"))
    for arguments, said in ((["--resume"], "a run of toy"), ([], "--resume")):
        with pytest.raises(RunMismatch, match=said):
            cli.run(["train", "iql", "no-such-log.csv", "--out", str(tmp_path / "run"), *arguments])


def test_how_often_a_run_logs_and_saves_may_change(tmp_path: Path) -> None:
    data, out = walk(), tmp_path / "run"
    train(Toy(), data, out=tmp_path / "whole", **EVERY)
    train_until(35, Toy(), data, out=out, **EVERY)
    changes = {"checkpoint_every": 30, "log_every": 5, "keep": 1, "memory_limit": "1GB"}
    train(Toy(), data, out=out, resume=True, **EVERY | changes)
    assert newest(out) == newest(tmp_path / "whole")
    assert len(checkpoints(out)) == 1


def test_a_run_without_a_schedule_can_be_lengthened(tmp_path: Path) -> None:
    data, algorithm = walk(), BC(hidden=(8,))
    train(algorithm, data, out=tmp_path / "long", **EVERY)
    train(algorithm, data, out=tmp_path / "short", **EVERY | {"steps": 40})
    train(algorithm, data, out=tmp_path / "short", resume=True, **EVERY)
    assert checkpoints(tmp_path / "short") == checkpoints(tmp_path / "long")
    assert open_run(tmp_path / "short").recipe.settings.steps == 60


@pytest.mark.parametrize(("schedule", "outcome"), [("cosine", RunMismatch), ("constant", Stop)])
def test_only_a_run_scheduled_over_its_length_cannot_be_lengthened(
    schedule: Any, outcome: type[Exception], tmp_path: Path
) -> None:
    """Nothing is trained here: both are stopped, or refused, before the first step."""
    data, algorithm = walk(), IQL(hidden=(8,), actor_schedule=schedule)

    def stop(first: int, steps: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        train(algorithm, data, steps=10, out=tmp_path, watch=Watch(start=stop))
    with pytest.raises(outcome) as ended:
        train(algorithm, data, steps=20, out=tmp_path, resume=True, watch=Watch(start=stop))
    assert schedule == "constant" or "scheduled over the length of this run" in str(ended.value)


def test_a_users_algorithm_is_trained_resumed_and_opened(tmp_path: Path) -> None:
    run = train(Toy(), walk(), out=tmp_path / "run", **EVERY)
    assert run.algorithm == Toy()
    assert open_run(tmp_path / "run", Toy).algorithm == Toy()


def test_another_device_is_said_or_refused(tmp_path: Path) -> None:
    """C3: a run that began on a GPU continues on a CPU, but nobody is told that it is exact."""
    data, out = walk(), tmp_path / "run"
    train_until(35, Toy(), data, out=out, **EVERY)
    versions = json.loads((out / "versions.json").read_text())
    (out / "versions.json").write_text(json.dumps(versions | {"device": "gpu: Imaginary 9000"}))
    with pytest.raises(RunMismatch, match=r"Imaginary 9000.*--same-device"):
        train(Toy(), data, out=out, resume=True, same_device=True, **EVERY)
    run, said = told(Toy(), data, out=out, resume=True, **EVERY)
    assert "Imaginary 9000" in said
    assert "no longer bit for bit" in said
    assert run.outcome is not None


def test_the_command_line_refuses_with_2(tmp_path: Path) -> None:
    """S8 on the command line: refused in one line, without a traceback, before anything is compiled."""
    file, out = saved_walk(tmp_path / "walk.npz"), tmp_path / "run"
    train(BC(hidden=(8,)), dataclasses.replace(walk(), source=str(file)), out=out, **EVERY)
    done = suture("train", "iql", file, "--out", out, "--resume")
    assert done.returncode == 2
    assert "holds a run of bc, not of iql" in done.stderr
    assert "Traceback" not in done.stderr
