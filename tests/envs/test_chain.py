"""The stitching maze: no episode does it, the log holds the way, and the environment keeps its word."""

import dataclasses

import gymnasium
import numpy as np
import pytest

from suture.data.dataset import Dataset
from suture.data.log import Log
from suture.envs import chain
from suture.errors import RefusedInput
from suture.evaluation.rollout import rollout


def as_dataset(log: Log) -> Dataset:
    """The log as it stands: its flags are settled already."""
    assert log.episode is not None
    assert log.next_observation is not None
    assert log.terminal is not None
    assert log.timeout is not None
    assert log.observation_space is not None
    assert log.action_space is not None
    starts = np.flatnonzero(np.diff(log.episode, prepend=-1))
    return Dataset(
        observation=log.observation, action=log.action, reward=log.reward,
        next_observation=log.next_observation, terminated=log.terminal, truncated=log.timeout,
        has_next=np.ones(len(log.action), bool), episode_start=np.append(starts, len(log.action)),
        observation_space=log.observation_space, action_space=log.action_space,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_no_episode_goes_from_start_to_goal_yet_the_log_holds_the_way(seed: int) -> None:
    proof = chain.certificate(as_dataset(chain.make_stitch_log(200, seed)))
    assert proof["episodes"] == 200
    assert proof["from_start"] == 160
    assert proof["reaching_goal"] == 40
    assert proof["from_start_reaching_goal"] == 0
    assert proof["shared_cells"] > 10
    assert 0 < proof["stitched_steps"] < chain.HORIZON


def test_the_certificate_denies_what_is_not_so() -> None:
    data = as_dataset(chain.make_stitch_log(50, 0))
    kinds = chain.within("start", np.asarray(data.observation)[data.episode_start[:-1]])
    for kind in (kinds, ~kinds):  # one kind alone cannot be stitched
        alone = chain.certificate(data.take_episodes(np.flatnonzero(kind)))
        assert alone["stitched_steps"] == -1
        assert alone["shared_cells"] == 0
    moved = np.asarray(data.observation).copy()
    moved[data.episode_start[:-1]] = chain.PLACES["start"]
    assert chain.certificate(dataclasses.replace(data, observation=moved))["from_start_reaching_goal"] == 10


def test_every_logged_step_is_a_move_of_the_maze() -> None:
    log = chain.make_stitch_log(40, 3)
    assert not isinstance(log.observation, dict)
    assert not isinstance(log.next_observation, dict)
    assert log.next_observation is not None
    assert log.reward is not None
    assert log.terminal is not None
    assert log.timeout is not None
    assert np.all(np.abs(log.action) <= 1)
    assert chain.free(log.observation - 1e-6 * np.sign(log.observation)).all()
    shift = np.abs(log.next_observation - log.observation)
    assert np.all(shift <= chain.STEP * np.abs(log.action) + 6 * chain.JITTER)
    np.testing.assert_array_equal(log.terminal, chain.within("goal", log.next_observation))
    np.testing.assert_array_equal(log.reward, log.terminal)
    ends = np.flatnonzero(np.diff(log.episode, append=-1))
    np.testing.assert_array_equal(np.flatnonzero(log.terminal | log.timeout), ends)
    assert not np.any(log.terminal & log.timeout)


def test_same_seed_same_log() -> None:
    first, again, other = (chain.make_stitch_log(20, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.action, again.action)
    assert not np.array_equal(first.action[:50], other.action[:50])


def test_walking_east_reaches_the_goal_and_walking_south_does_not() -> None:
    def heading(direction: tuple[float, float]) -> float:
        evaluation = rollout(
            lambda o: np.broadcast_to(direction, o.shape), chain.STITCH_MAZE, episodes=20, seed=0
        )
        assert evaluation.successes is not None
        np.testing.assert_array_equal(evaluation.returns, evaluation.successes)
        return float(evaluation.successes.mean())

    assert heading((1.0, 0.0)) == 1.0
    assert heading((0.0, -1.0)) == 0.0


def test_walls_stop_one_axis_and_let_the_other_slide() -> None:
    position, action = np.array([[-2.0, 0.7]]), np.array([[1.0, 1.0]])
    np.testing.assert_allclose(chain.move(position, action, np.zeros((1, 2))), [[-1.5, 0.7]])


def test_gymnasium_accepts_the_environment() -> None:
    env = gymnasium.make(chain.STITCH_MAZE)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert env.spec is not None
    assert env.spec.max_episode_steps == chain.HORIZON


def test_a_log_without_both_kinds_is_refused() -> None:
    with pytest.raises(RefusedInput, match="episodes=1"):
        chain.make_stitch_log(1, 0)
