"""Logs of the five-step task: what they show, what they never show, and that they can be made again."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from suture.data.build import build
from suture.data.dataset import Dataset
from suture.envs.composite.layout import DRAWER, shown
from suture.errors import ConfigError

pytest.importorskip("mujoco", reason="mujoco is an extra")

import suture.envs.composite.collect as collect_module
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.collect import SETS, SKILLS, Recipe, certify, collect, make
from suture.envs.composite.env import STATE, View
from suture.envs.composite.scene import Scene
from suture.envs.composite.scripts import EXACT, Script

RECIPE = Recipe(episodes=300, seed=2)


@pytest.fixture(scope="module")
def log() -> Dataset:
    return build(collect(RECIPE, workers=1)).admit()


def of(log: Dataset, name: str) -> np.ndarray:
    return np.asarray(log.columns["set"] == name)


def places(log: Dataset, name: str) -> np.ndarray:
    """The drawer's place in [0, 1] at each row of a set."""
    y = np.asarray(log.observation)[of(log, name), STATE.index("drawer y")]
    return (y - DRAWER[0]) / (DRAWER[1] - DRAWER[0])


def test_the_certificates_hold(log: Dataset) -> None:
    proof = certify(log)
    assert proof.never_shown.holds
    assert proof.never_shown.longest == 2
    assert proof.stitched.holds
    assert proof.holds
    shown = {log.columns["set"][log.episode_start[one]] for one in proof.stitched.episodes}
    assert {"A", "B", "C", "task"} <= shown, "each skill is taken from its own set"


def test_scripts_succeed_in_about_half_of_their_episodes(log: Dataset) -> None:
    for name, share in certify(log).success.items():
        assert 0.25 < share < 0.75, name


def test_sets_show_their_own_step_and_no_other(log: Dataset) -> None:
    before, after = np.asarray(log.columns["stage"]), np.asarray(log.columns["next_stage"])
    rising = after > before
    assert not rising[of(log, "blocked") | of(log, "noise")].any()
    for name, (first, last) in SKILLS.items():
        assert set(before[of(log, name) & rising].tolist()) == set(range(first, last)), name
    ends = np.r_[log.episode_start[1:] - 1]
    starts = before[log.episode_start[:-1]]
    fell = after < np.repeat(starts, log.lengths)
    assert set(np.flatnonzero(fell)) <= set(ends), "an episode is cut where it falls below its start"


@pytest.mark.parametrize("name", ["A", "noise"])
def test_an_episode_ends_before_it_shows_what_is_another_set_s(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever acts: here somebody who can do every step, and goes on."""
    view, starts = View(Scene(), "state"), list[int]()

    def skilled(_: str, generator: np.random.Generator) -> list[Script]:
        first = view.scene.stage
        return [Script(step, EXACT, generator) for step in range(first, len(STEPS))]

    monkeypatch.setattr(collect_module, "_actors", skilled)
    monkeypatch.setattr(collect_module, "LIMITS", {"A": 60, "noise": 60})
    for number in range(6):
        stage = collect_module.episode_of(view, name, number, RECIPE)["stage"]
        starts.append(len(stage))
        assert stage.max() <= stage[0] + (name == "A")
    assert max(starts) > 5


def test_reward_is_the_task_s_alone(log: Dataset) -> None:
    assert log.reward is not None
    assert log.reward[of(log, "task")].sum() > 5
    assert not log.reward[~of(log, "task")].any()
    np.testing.assert_array_equal(log.reward > 0, log.terminated)


def test_no_log_shows_what_is_held_out(log: Dataset) -> None:
    assert all(shown(round(float(place), 5)) for name in SETS for place in places(log, name))


def test_overlap_is_where_set_b_is_recorded() -> None:
    half = build(collect(dataclasses.replace(RECIPE, episodes=100, overlap=0.5), workers=1)).admit()
    assert places(half, "B").max() < 0.5
    assert places(half, "A").max() > 0.5
    none = build(collect(dataclasses.replace(RECIPE, episodes=100, overlap=0.0), workers=1)).admit()
    assert not of(none, "B").any()


def test_without_set_b_there_is_no_path(log: Dataset) -> None:
    """Not even by the undirected noise and the scripts that err."""
    kept = np.flatnonzero(log.columns["set"][log.episode_start[:-1]] != "B")
    proof = certify(log.take_episodes(kept))
    assert proof.never_shown.holds
    assert proof.stitched.episodes == ()


def test_a_log_is_the_same_however_many_processes_make_it() -> None:
    recipe = dataclasses.replace(RECIPE, episodes=60)
    one, two = (build(collect(recipe, workers=workers)).fingerprint for workers in (1, 2))
    assert one == two
    assert one != build(collect(dataclasses.replace(recipe, seed=3), workers=1)).fingerprint


def test_pictures_are_of_the_same_episodes(tmp_path: Path) -> None:
    recipe, told = dataclasses.replace(RECIPE, episodes=20, observation="image"), list[tuple[int, int]]()
    data, proof = make(recipe, tmp_path / "log", workers=1, progress=lambda *made: told.append(made))
    state = build(collect(dataclasses.replace(recipe, observation="state"), workers=1))
    np.testing.assert_array_equal(data.observation["hand"], state.observation[:, :5])
    assert data.observation["image"].shape[1:] == (64, 64, 3)
    assert told[-1] == (20, 20)
    kept = json.loads((tmp_path / "log" / "certificate.json").read_text())
    assert kept["never_shown"] == proof.never_shown.to_json()
    assert kept["fingerprint"] == data.fingerprint
    with pytest.raises(ConfigError, match="never overwritten"):
        make(recipe, tmp_path / "log")


@pytest.mark.parametrize("wrong", [{"overlap": 1.5}, {"sets": ("A", "Z")}, {"episodes": 3}, {"seed": -1}])
def test_recipes_that_make_no_log_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="found"):
        dataclasses.replace(RECIPE, **wrong)  # type: ignore[arg-type]
