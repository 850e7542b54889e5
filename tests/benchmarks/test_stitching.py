"""The parts of the log that the stitching benchmark trains on: what each leaves, and what it breaks."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="mujoco is an extra")

import _stitching
import stitching
from _stitching import METHODS
from making.composite import one_place

import suture
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.envs.composite.certify import certify
from suture.envs.composite.collect import Recipe, collect


@pytest.fixture(scope="module")
def log() -> Dataset:
    with one_place():
        return build(collect(Recipe(episodes=200, seed=3), workers=1)).admit()


def sets(data: Dataset) -> set[str]:
    return set(np.asarray(data.columns["set"]).tolist())


def test_parts_hold_what_their_names_say(log: Dataset) -> None:
    everything = sets(log)
    assert sets(_stitching.without_b(log)) == everything - {"B"}
    assert sets(_stitching.task_alone(log)) == {"task"}
    paid = _stitching.rewarded(log)
    assert np.asarray(paid.returns).min() == 1
    assert paid.episodes == np.asarray(log.returns).sum()
    skilled = _stitching.skilled(log)
    assert sets(skilled) == {"A", "B", "C", "task"}
    assert paid.episodes < skilled.episodes < log.episodes


@pytest.mark.parametrize("step", ["A", "B", "C"])
def test_an_unlinked_log_leads_nowhere_though_all_it_holds_was_recorded(log: Dataset, step: str) -> None:
    assert certify(log).stitched.holds
    broken = _stitching.unlinked(log, of=step)
    proof = certify(broken)
    assert not proof.stitched.episodes
    assert proof.never_shown.holds
    own = np.asarray(log.columns["set"] == step)
    changed = (np.asarray(broken.next_observation) != np.asarray(log.next_observation)).any(1)
    usable = broken.bootstrappable
    assert 0 < (changed & usable).sum() < own.sum()
    assert not (changed & ~own).any()
    np.testing.assert_array_equal(usable[~own], log.bootstrappable[~own])
    firsts = np.asarray(log.observation)[log.episode_start[:-1]]
    found = np.asarray(broken.next_observation)[changed & usable]
    assert (found[:, None] == firsts[None]).all(2).any(1).all()
    for name in ("observation", "action", "reward"):
        np.testing.assert_array_equal(getattr(broken, name), getattr(log, name))


def test_of_what_was_recorded_alone_nothing_follows_an_episode(log: Dataset) -> None:
    alone = _stitching.recorded_alone(log)
    assert alone.terminated.sum() == log.episodes
    assert alone.terminated[log.episode_start[1:] - 1].all()
    assert log.lengths.max() <= _stitching.LONGEST


def test_what_is_kept_is_not_made_again_and_a_stopped_run_keeps_nothing(
    log: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[str]()

    def trained(method: Any, data: Dataset, *_: Any, **__: Any) -> Any:
        made.append(method.algorithm.name)
        raise SystemExit("stopped")

    monkeypatch.setattr(_stitching, "RESULTS", tmp_path)
    monkeypatch.setattr(stitching, "trained", trained)
    settings = stitching.Settings(methods=("bc",))
    for _ in range(2):
        with pytest.raises(SystemExit, match="stopped"):
            stitching.result_of("bc", settings, log, keep=True)
    assert made == ["bc", "bc"]
    assert not list(tmp_path.rglob("*.json"))
    rows = [{"method": "bc"}]
    identity = stitching.identity(METHODS["bc"], settings, log) | {"played": settings.played}
    file = tmp_path / "stitching" / "bc-20000-steps-3-seeds-8000-episodes.json"
    stitching.kept(file, identity, lambda: {"rows": rows})
    assert stitching.result_of("bc", settings, log, keep=True) == rows
    assert stitching.result_of("bc", settings, None, keep=True) == rows, "--train none needs no log"
    assert stitching.result_of("iql", settings, None, keep=True) == []
    assert made == ["bc", "bc"]


def test_what_each_method_is_given_is_proved_to_hold_a_path_or_none(log: Dataset) -> None:
    """Before it is trained: a control that still led to the reward would be none."""
    joined = {
        name for name, method in METHODS.items() if _stitching.certified(name, method, log).stitched.share > 0
    }
    parts = {"bc-rewarded", "iql-task", "cql-task", "iql-without-B", "iql-unlinked"}
    few = {name for name, method in METHODS.items() if method.joined is None}
    assert joined - few == set(METHODS) - parts - few
    halves = {share: len(part(log)) / len(log) for share, part in _stitching.PRIORS.items()}
    assert halves[0.5] > halves[0.3] > halves[0.1] > len(_stitching.task_alone(log)) / len(log)
    with pytest.raises(SystemExit, match="holds a path"):
        _stitching.certified("iql", METHODS["iql"], _stitching.without_b(log))
    leaky = _stitching.Method(_stitching.IQL, lambda data: data)
    with pytest.raises(SystemExit, match="holds no path"):
        _stitching.certified("leaky", leaky, log)
    sets = np.where(log.columns["set"] == "B", "noise", log.columns["set"])
    with pytest.raises(SystemExit, match="noise: open the drawer"):
        _stitching.certified("iql", METHODS["iql"], dataclasses.replace(log, columns={"set": sets}))


def test_the_documentation_s_command_sets_what_the_benchmark_sets(root: Path) -> None:
    text = (root / "docs" / "stitching.md").read_text()
    command = " ".join(text.split("suture train iql")[1].split("suture evaluate")[0].split()) + " "
    usual = suture.IQL()
    for field in dataclasses.fields(_stitching.IQL):
        value, option = getattr(_stitching.IQL, field.name), f"--{field.name.replace('_', '-')}"
        if value != getattr(usual, field.name):
            words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value).removesuffix(".0")
            assert (option if value is True else f"{option} {words} ") in command, option
    settings = stitching.Settings()
    assert f"--steps {settings.steps} --seeds {settings.seeds} --reward-scale 100 " in command
    assert "--on-divergence continue" in command
    assert f"suture make composite logs/composite --episodes {settings.episodes} " in text


def test_implicit_q_learning_stitches_and_imitation_does_not() -> None:
    """`stitching.py --quick`, which ends with an error unless it is so; 0.69 and 0 where it was written."""
    rows = stitching.main(stitching.Settings(quick=True))
    drawn = {row["method"]: row for row in rows}
    assert drawn["iql, sampled actions"]["success_end"] > 0.4
    assert drawn["bc, sampled actions"]["success_end"] < 0.1
    assert all(row["path"] > 0.8 for row in rows)


def test_from_pictures_success_is_told_along_training_and_other_rows_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A run of two updates, on a log too small to be certified."""
    data = build(collect(Recipe(episodes=14, observation="image"), workers=1)).admit()
    monkeypatch.setattr(stitching, "log_of", lambda *_: data)
    monkeypatch.setattr(stitching, "certified", lambda *_: certify(data))
    monkeypatch.setattr(stitching, "CURVE", 1)
    monkeypatch.setattr(_stitching, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(_stitching, "SMALL_BATCH", 4)
    small = dataclasses.replace(_stitching.TD3, hidden=(4,))
    monkeypatch.setitem(METHODS, "td3", _stitching.Method(small, _stitching.everything))
    file, figure = tmp_path / "rows.json", tmp_path / "curve.svg"
    kept = [{"method": "bc, mean actions", "observation": "state", "note": "stays"},
            {"method": "td3, mean actions", "observation": "state", "note": "is of another log"},
            {"method": "td3, mean actions", "observation": "image", "note": "is made anew"}]  # fmt: skip
    file.write_text(json.dumps(kept))
    rows = stitching.main(stitching.Settings(
        methods=("td3",), observation="image", seeds=1, steps=2, played=1, curve=2, json=file, figure=figure,
    ))  # fmt: skip
    assert [step for step, _ in rows[0]["curve"]] == [1, 2]
    written = json.loads(file.read_text())
    assert written == [*kept[:2], *rows]
    assert len(rows[0]["claim"]) == len(rows[0]["truth"]) == 1
    assert "Success along training" in figure.read_text()
    assert (tmp_path / "results" / "stitching" / "td3-image-2-steps-1-seeds-8000-episodes.json").is_file()


def test_a_broader_log_s_results_are_its_own(log: Dataset) -> None:
    plain, broad = (stitching.Settings(epsilon=epsilon) for epsilon in (0.0, 0.25))
    names = [_stitching.file_of("stitching", "sac", settings).name for settings in (plain, broad)]
    assert names[1] == names[0].replace("sac", "sac-epsilon-0.25")
    identities = [_stitching.identity(METHODS["sac"], settings, log) for settings in (plain, broad)]
    assert identities[1] == identities[0] | {"epsilon": 0.25}
