"""A finished run of cloning as the behaviour of another run: taken over, kept in writing, or refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import pytest
from making.runs import checkpoints, saved_walk, train_until, walk

import suture.cli as cli
from suture.algorithms.bc import BC
from suture.algorithms.bear import BEAR
from suture.algorithms.behaviour import ADOPTED
from suture.algorithms.brac import BRAC
from suture.algorithms.iql import IQL
from suture.data.load import load
from suture.errors import ConfigError, RunMismatch
from suture.training.run import Run, open_run
from suture.training.train import train

BEHAVED = BRAC(hidden=(8,), behaviour_hidden=(8,), behaviour_model="gaussian", warm_up=0)
SHORT: dict[str, Any] = {"steps": 20, "checkpoint_every": 10, "log_every": 10}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(BC(hidden=(8,)), walk(), out=tmp_path_factory.mktemp("clone") / "bc", **SHORT)


def test_the_clone_is_the_behaviour_from_the_first_update_on(clone: Run, tmp_path: Path) -> None:
    run = train(BEHAVED, walk(), out=tmp_path / "run", behaviour=clone, **SHORT)
    state = run.newest.state
    assert eqx.tree_equal(state.behaviour.policy, clone.policies.policies)
    assert int(state.behaviour.updates[0]) == ADOPTED
    assert int(state.updates[0]) == 20, "no update went into fitting"
    assert all(line["critic/loss"] > 0 for line in run.metrics)
    fitting = dataclasses.replace(BEHAVED, behaviour_steps=10)
    without = train(fitting, walk(), out=tmp_path / "without", **SHORT)
    first, second = without.metrics
    assert second["critic/loss"] > 0
    assert not {"critic/loss", "actor/loss", "value/max_abs"} & first.keys(), "it first fits its own"
    assert first["behaviour/loss"] > 0


def test_where_it_came_from_is_in_writing(clone: Run, tmp_path: Path) -> None:
    train(BEHAVED, walk(), out=tmp_path / "run", behaviour=clone.path, **SHORT)
    written = json.loads((tmp_path / "run" / "config.json").read_text())["behaviour"]
    manifest = clone.path / "checkpoints" / "step-000000000020" / "manifest.json"
    files = json.loads(manifest.read_text())["files"]
    assert written == {
        "path": str(clone.path), "step": 20, "sha256": files["state.safetensors"]["sha256"]
    }  # fmt: skip
    assert open_run(tmp_path / "run").recipe.behaviour == written


def test_a_continued_run_equals_the_uninterrupted_one(clone: Run, tmp_path: Path) -> None:
    train(BEHAVED, walk(), out=tmp_path / "whole", behaviour=clone, **SHORT)
    for stop in (5, 15):  # before the first checkpoint, and after it
        out = tmp_path / str(stop)
        train_until(stop, BEHAVED, walk(), out=out, behaviour=clone, **SHORT)
        moved = tmp_path / f"moved-{stop}"
        moved.symlink_to(clone.path)
        train(BEHAVED, walk(), out=out, behaviour=moved, resume=True, **SHORT)
        assert checkpoints(out) == checkpoints(tmp_path / "whole")


def test_a_continued_run_keeps_its_behaviour(clone: Run, tmp_path: Path) -> None:
    train_until(15, BEHAVED, walk(), out=tmp_path / "run", behaviour=clone, **SHORT)
    with pytest.raises(RunMismatch, match="behaviour was"):
        train(BEHAVED, walk(), out=tmp_path / "run", resume=True, **SHORT)
    other = train(BC(hidden=(8,)), walk(), out=tmp_path / "bc", seed=7, **SHORT)
    with pytest.raises(RunMismatch, match=r"behaviour\.sha256 was"):
        train(BEHAVED, walk(), out=tmp_path / "run", behaviour=other, resume=True, **SHORT)


def test_members_share_one_clone_or_have_one_each(clone: Run, tmp_path: Path) -> None:
    shared = train(BEHAVED, walk(), out=tmp_path / "shared", behaviour=clone, seeds=2, **SHORT)
    for leaf in jax.tree.leaves(shared.newest.state.behaviour.policy):
        assert (leaf[0] == leaf[1]).all()
    pair = train(BC(hidden=(8,)), walk(), out=tmp_path / "pair", seeds=2, **SHORT)
    own = train(BEHAVED, walk(), out=tmp_path / "own", behaviour=pair, seeds=2, **SHORT)
    assert eqx.tree_equal(own.newest.state.behaviour.policy, pair.policies.policies)
    with pytest.raises(RunMismatch, match="2 members; this run has 3"):
        train(BEHAVED, walk(), out=tmp_path / "three", behaviour=pair, seeds=3, **SHORT)


@pytest.mark.parametrize(("algorithm", "changes", "error", "said"), [
    (IQL(hidden=(8,)), {}, ConfigError, "iql takes no model of the behaviour. Those that do: bear, brac"),
    (dataclasses.replace(BEHAVED, behaviour_hidden=(9,)), {}, ConfigError, "Set behaviour_model and"),
    (dataclasses.replace(BEHAVED, behaviour_model="tanh_gaussian"), {}, ConfigError, "TanhGaussianPolicy"),
    (BEAR(hidden=(8,), behaviour_hidden=(8,)), {}, ConfigError, "ConditionalVAE"),
    (BEHAVED, {"normalise": "none"}, RunMismatch, "other scales"),
    (BEHAVED, {"validation": 0.5}, RunMismatch, "other scales"),
])  # fmt: skip
def test_a_clone_that_does_not_fit_is_refused_before_a_run_begins(
    algorithm: Any, changes: dict[str, Any], error: type[Exception], said: str, clone: Run, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        train(algorithm, walk(), out=tmp_path / "run", behaviour=clone, **SHORT, **changes)
    assert not (tmp_path / "run").exists()


def test_a_clone_of_another_log_is_refused(clone: Run, tmp_path: Path) -> None:
    with pytest.raises(RunMismatch, match="knows observations"):
        train(BEHAVED, walk(dimensions=4), out=tmp_path / "run", behaviour=clone, **SHORT)
    with pytest.raises(RunMismatch, match="knows actions"):
        train(BEHAVED, walk(action_dimensions=3), out=tmp_path / "run", behaviour=clone, **SHORT)


def test_only_a_finished_run_of_cloning_is_a_behaviour(clone: Run, tmp_path: Path) -> None:
    other = train(IQL(hidden=(8,)), walk(), out=tmp_path / "iql", **SHORT)
    with pytest.raises(RunMismatch, match="is a run of iql"):
        train(BEHAVED, walk(), out=tmp_path / "run", behaviour=other, **SHORT)
    train_until(10, BC(hidden=(8,)), walk(), out=tmp_path / "half", **SHORT)
    with pytest.raises(RunMismatch, match="has not ended"):
        train(BEHAVED, walk(), out=tmp_path / "run", behaviour=tmp_path / "half", **SHORT)
    with pytest.raises(RunMismatch, match="is not a run folder"):
        train(BEHAVED, walk(), out=tmp_path / "run", behaviour=tmp_path / "none", **SHORT)


def test_the_command_takes_a_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, out = saved_walk(tmp_path / "log.npz"), tmp_path / "run"
    train(BC(hidden=(8,)), load(log), out=tmp_path / "bc", **SHORT)
    arguments = [
        "train", "brac", log, "--behaviour", tmp_path / "bc", "--behaviour-model", "gaussian", "--hidden", 8,
        "--behaviour-hidden", 8, "--steps", 10, "--out", out,
    ]  # fmt: skip
    assert cli.run([str(argument) for argument in arguments]) == 0
    assert str(out) in capsys.readouterr().out
    assert open_run(out).recipe.behaviour["path"] == str(tmp_path / "bc")  # type: ignore[index]
