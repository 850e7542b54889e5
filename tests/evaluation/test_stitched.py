"""An episode in parts: when each step was done, what is seen then, which logged episodes show the like."""

import itertools

import numpy as np
import pytest

from suture.data.build import build
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.collect import Recipe, collect
from suture.envs.composite.env import Composite
from suture.envs.composite.scripts import EXACT, Script
from suture.evaluation.stitched import Played, first_success, nearest, pictures, sources
from suture.spaces import Array

pytest.importorskip("mujoco", reason="mujoco is an extra")


def expert(env: Composite) -> Played:
    """A success of the scripts; every second episode is spoilt."""
    generator, calls = np.random.default_rng(0), itertools.count()
    scripts = [Script(step, EXACT, generator) for step in range(len(STEPS))]

    def act(_: Array) -> Array:
        return np.zeros(8, np.float32) if next(calls) < 100 else scripts[env.scene.stage].act(env.scene)

    found = first_success(env, act, 3)
    assert found is not None
    return found


def test_a_success_is_looked_for_and_seen_again_as_it_was() -> None:
    env = Composite(render_mode="rgb_array")
    found = expert(env)
    assert found.seed == 1, "the first episode stood still"
    assert len(found.observation) == len(found.stage) == len(found.action) + 1 == found.ends[-1] + 1
    shown = pictures(env, found)
    assert len(shown) == len(STEPS)
    env.reset(seed=1)
    for number, action in enumerate(found.action, 1):
        seen = env.step(action)[0]
        np.testing.assert_array_equal(seen, found.observation[number])
        if number in found.ends:
            np.testing.assert_array_equal(env.render(), shown[found.ends.index(number)])


def test_where_none_succeeds_there_is_none() -> None:
    assert first_success(Composite(), lambda _: np.zeros(8, np.float32), 1) is None


def test_a_step_that_is_undone_is_done_when_it_is_done_for_good() -> None:
    stage = np.array([0, 1, 0, 1, 2, 1, 2, 3, 4, 5])
    played = Played(seed=0, observation=np.zeros((10, 16)), action=np.zeros((9, 8)), stage=stage)
    assert played.ends == [3, 6, 7, 8, 9]


def test_the_nearest_episode_is_that_with_the_nearest_rows() -> None:
    path = np.array([[0.0, 0.0], [3.0, 4.0]])
    rows = np.array([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0], [0.0, 0.0]])
    found = nearest(path, rows, np.array([4, 4, 7, 9]), 2)
    assert [episode for episode, _ in found] == [4, 9]
    np.testing.assert_allclose([far for _, far in found], [0.5 / 2**0.5, 2.5 / 2**0.5])


def test_what_is_glued_from_logged_parts_is_traced_to_them() -> None:
    data = build(collect(Recipe(episodes=120, seed=1), workers=1)).admit()
    stage, after, index = data.columns["stage"], data.columns["next_stage"], data.episode_index
    sets = data.columns["set"][data.episode_start[:-1]]
    chosen, parts = list[int](), list[Array]()
    for step, name in enumerate(("A", "B", "C", "task", "task")):
        doing = np.unique(index[(stage == step) & (after > step)])
        chosen.append(int([one for one in doing if sets[one] == name][-1]))
        parts.append(np.flatnonzero((index == chosen[-1]) & (stage == step)))
    rows = np.concatenate(parts)
    lengths = np.repeat(np.arange(len(STEPS)), [len(part) for part in parts])
    seen = np.asarray(data.observation)
    glued = Played(
        seed=0, observation=seen[[*rows, rows[-1]]], action=np.zeros((len(rows), 8)), stage=np.r_[lengths, 5]
    )
    found = sources(glued, data, lambda observation: observation, 8)
    assert [near[0].episode for near in found] == chosen
    assert [near[0].name for near in found] == ["A", "B", "C", "task", "task"]
    assert all(near[0].distance == 0 < near[1].distance for near in found)
    for step, near in enumerate(found):
        done = set(index[(stage == step) & (after > step)].tolist())
        assert {one.episode for one in near} <= done, "episodes that do the step"
