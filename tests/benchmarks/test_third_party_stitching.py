"""Logs of the key and door: what fragments show, and what scripts can do, in MiniGrid's own world."""

import numpy as np
import pytest

pytest.importorskip("minigrid", reason="needs pip install -e .[minigrid]")

import _keydoor


def test_no_fragment_shows_two_steps_and_rewards_begin_behind_the_door() -> None:
    data = _keydoor.fragments(60, seed=3)
    shown = _keydoor.never_shown(data)
    assert shown["most_steps_in_one"] == 1
    assert shown["earliest_stage_of_rewarded"] == "the door is open"
    assert all(shown["with_a_step"].values()), "each step is shown by some"
    stage, after = data.columns["stage"], data.columns["next_stage"]
    last = np.zeros(len(data), bool)
    last[data.episode_start[1:] - 1] = True
    assert not (stage != after)[~last].any()
    np.testing.assert_array_equal(data.reward, after == 4)
    np.testing.assert_array_equal(data.terminated, after == 4)
    same = data.episode_index[1:] == data.episode_index[:-1]
    np.testing.assert_array_equal(
        np.asarray(data.next_observation)[:-1][same], np.asarray(data.observation)[1:][same]
    )


def test_scripts_go_the_whole_way_and_every_view_is_another() -> None:
    """From the start to the box, within the limit, without noise; what is seen tells all states apart."""
    generator, world = np.random.default_rng(0), _keydoor.KeyDoor()
    for seed in range(5):
        world.reset(seed=seed)
        assert world.stage == 0
        assert _keydoor.led_to(world, 4, generator)
        assert world.step_count < _keydoor.LIMIT
    world.reset(seed=1)
    script, states, views = _keydoor.Script("walk", generator), set(), set()
    for _ in range(60):
        action = script.act(world)
        script = _keydoor.Script("walk", generator) if action is None else script
        seen = world.step(_keydoor.LEFT if action is None else action)[0]
        states.add((*map(int, world.agent_pos), int(world.agent_dir)))
        views.add(seen.tobytes())
    assert len(views) == len(states) > 10
