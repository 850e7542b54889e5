"""Logs of the key and door: what fragments show, and what scripts can do, in MiniGrid's own world."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("minigrid", reason="needs pip install -e .[minigrid]")

import _keydoor
import third_party_stitching as third_party

from suture.evaluation.score import Evaluation


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


def test_what_comes_after_the_limit_is_late_and_no_success(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of two seeds' two episodes: one in time, two late, one never."""
    data = _keydoor.fragments(60, seed=3)
    lengths, returns = np.array([[64, 65], [576, 576]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    played = Evaluation(environment="none", seed=0, returns=returns, lengths=lengths, clipped=np.zeros(2))
    monkeypatch.setattr(third_party, "RESULTS", tmp_path)
    monkeypatch.setattr(third_party, "play", lambda *_, **__: played)
    monkeypatch.setattr(third_party.suture, "train", lambda *_, **__: SimpleNamespace(outcome=None))
    settings = third_party.Settings()
    (world,) = third_party.worlds("keydoor", settings)
    assert world.environments[0]().max_steps == _keydoor.OWN_LIMIT
    found = third_party.result_of("keydoor", "bc", world, settings, data)
    assert found is not None
    assert (found["success_end"], found["late"], found["per_task"]) == (0.25, 0.75, [0.25])
    assert third_party.result_of("keydoor", "bc", world, settings, None) == found, "it is kept"
    assert third_party.row_of("bc", found)["late"] == 0.75
