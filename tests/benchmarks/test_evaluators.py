"""The evaluators against every logged transition: what the logs recorded is what they do."""

from pathlib import Path

import evaluators
import gymnasium
import h5py
import numpy as np
import pytest

from suture.errors import ConfigError
from suture.evaluation.rollout import rollout


def test_dmsd_replays_every_logged_transition(data_folder: Path) -> None:
    with np.load(data_folder / "neorl" / "dmsd_train.npz") as file:
        logged = {name: file[name] for name in file.files}
    steps = np.tile(np.arange(100), 1000)
    state = np.concatenate([logged["obs"], logged["next_obs"][:, 4:]], axis=1).astype(np.float64)
    after, reward, ended = evaluators.DoubleMassSpringDamper.advance(state, logged["action"], steps)
    np.testing.assert_allclose(after[:, :4], logged["next_obs"][:, :4], atol=1e-6, rtol=0)
    switching = steps == 49
    np.testing.assert_array_equal(logged["obs"][~switching, 4:], logged["next_obs"][~switching, 4:])
    np.testing.assert_array_equal(after[:, 4:6], logged["next_obs"][:, 4:])
    np.testing.assert_allclose(reward, logged["reward"], atol=1e-3, rtol=1e-5)
    assert not ended.any()


def test_dmsd_starts_and_switches_as_the_log_does(data_folder: Path) -> None:
    with np.load(data_folder / "neorl" / "dmsd_train.npz") as file:
        logged = file["obs"].reshape(1000, 100, 6)
    starts = np.array(
        [evaluators.DoubleMassSpringDamper.start(np.random.default_rng(k)) for k in range(1000)]
    )
    scale = np.array([0.25, 0.25, 0.1, 0.1, 1.5, 1.5])
    assert np.all(np.abs(starts[:, :6]) <= scale)
    assert np.all(np.abs(starts[:, :6]).max(axis=0) > 0.98 * scale)
    assert np.all(np.abs(logged[:, 0]) <= scale)
    kept = (starts[:, 4:6] == starts[:, 6:]).mean(axis=0)
    np.testing.assert_allclose(kept, (logged[:, 0, 4:] == logged[:, -1, 4:]).mean(axis=0), atol=0.07)


def test_dmsd_random_policy_scores_what_the_data_page_says() -> None:
    generator = np.random.default_rng(0)
    evaluation = rollout(
        lambda o: generator.uniform(-1, 1, (*o.shape[:2], 2)),
        "benchmarks/DMSD-v0", episodes=600, environments=600, seed=0,
    )  # fmt: skip
    assert abs(evaluation.mean[0] - 33.2) < 4 * evaluation.standard_error[0]
    assert evaluation.standard_error[0] < 5


@pytest.mark.parametrize("tier", evaluators.TIERS)
def test_swing_up_replays_logged_transitions(data_folder: Path, tier: str) -> None:
    pytest.importorskip("mujoco")
    with h5py.File(data_folder / "swingup" / f"{tier}.h5") as file:
        logged = {name: np.asarray(file[name]) for name in file}
    rows = np.random.default_rng(0).choice(len(logged["dones"]), 300, replace=False)
    rows[:2] = np.flatnonzero(logged["dones"].ravel())[[0, -1]]
    state = evaluators.swing_up_state(logged["observations"][rows])
    after, reward, ended = evaluators.SwingUp.advance(state, logged["actions"][rows], np.zeros(300, int))
    np.testing.assert_allclose(
        evaluators.SwingUp.observe(after), logged["next_observations"][rows], atol=1e-12, rtol=0
    )
    exact = 1e-12 if logged["rewards"].dtype == np.float64 else 1e-6
    np.testing.assert_allclose(reward, logged["rewards"][rows], atol=exact, rtol=0)
    terminated = logged["dones"].astype(bool).ravel() & ~logged["timeouts"].astype(bool).ravel()
    np.testing.assert_array_equal(ended, terminated[rows])


def test_swing_up_starts_where_logged_episodes_start(data_folder: Path) -> None:
    starts = evaluators.swing_up_starts()
    assert starts.shape == (
        328,
        4,
    )  # of 437 episodes; the replays share 110 starts with random and each other
    with h5py.File(data_folder / "swingup" / "medium_replay.h5") as file:
        first = evaluators.swing_up_state(np.asarray(file["observations"])[:1])
    assert np.any(np.all(starts == first, axis=1))


def test_swing_up_without_the_data_says_where_to_look(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUTURE_DATA", str(tmp_path))
    evaluators.swing_up_starts.cache_clear()
    with pytest.raises(ConfigError, match="Set SUTURE_DATA"):
        evaluators.swing_up_starts()


def test_safety_reward_is_the_logged_one(data_folder: Path) -> None:
    with np.load(data_folder / "neorl" / "safety_halfcheetah_train.npz") as file:
        logged = {name: file[name].astype(np.float64) for name in ("obs", "next_obs", "action", "reward")}
    speed = (logged["next_obs"][:, 0] - logged["obs"][:, 0]) / 0.05
    # positions up to 113 are stored in float32: half a unit in the last place, twice, over 0.05 s
    np.testing.assert_allclose(
        evaluators.safety_reward(speed, logged["action"]), logged["reward"], atol=2e-4, rtol=0
    )
    assert evaluators.safety_reward(np.array([3.3]), np.zeros((1, 6))) == [-100.0]


def test_safety_half_cheetah_replays_logged_transitions(data_folder: Path) -> None:
    pytest.importorskip("mujoco")
    with np.load(data_folder / "neorl" / "safety_halfcheetah_train.npz") as file:
        logged = {name: file[name].astype(np.float64) for name in ("obs", "next_obs", "action", "reward")}
    env = gymnasium.make("benchmarks/SafetyHalfCheetah-v0")
    env.reset(seed=0)
    inner = env.unwrapped
    misses = []
    for row in range(0, 18_000, 180):
        inner.set_state(logged["obs"][row, :9], logged["obs"][row, 9:])
        observation, reward, terminated, _, _ = env.step(logged["action"][row])
        assert reward == pytest.approx(logged["reward"][row], abs=1e-3)
        assert not terminated
        misses.append(np.abs(observation - logged["next_obs"][row]).max())
    assert np.median(misses) < 1e-5
    assert max(misses) < 1e-3


def test_point_maze_replays_every_logged_transition(data_folder: Path) -> None:
    """Places up to 37 are stored in float32, so that 4e-6 is rounding; 1 in 500 touches a wall."""
    pytest.importorskip("mujoco")
    with np.load(data_folder / "pointmaze" / "pointmaze-large-stitch-v0.npz") as file:
        logged = {name: file[name] for name in ("observations", "actions", "terminals")}
    now = np.flatnonzero(~logged["terminals"])
    place, action = (logged[name][now].astype(np.float64) for name in ("observations", "actions"))
    assert len(now) == 400_000
    for part in np.array_split(np.arange(len(now)), 40):
        state = np.concatenate([place[part], place[part]], axis=1)
        after, _, _ = evaluators.PointMaze.advance(state, action[part], part)
        np.testing.assert_allclose(after[:, :2], logged["observations"][now[part] + 1], atol=4e-6, rtol=0)


def test_point_maze_pays_at_its_goal_and_shows_it_where_told() -> None:
    pytest.importorskip("mujoco")
    env = gymnasium.make("benchmarks/PointMazeGoal3-v0")
    seen, _ = env.reset(seed=4)
    assert np.abs(seen["observation"] - [12, 24]).max() <= 1
    assert np.abs(seen["desired_goal"] - [36, 0]).max() <= 1
    inner = env.unwrapped
    for far, ends in ((1.25, False), (1.15, True)):
        inner.state = np.concatenate([seen["desired_goal"] + [0, far], seen["desired_goal"]])[None]
        _, reward, terminated, _, _ = env.step(np.array([0.0, -1.0]))
        assert (reward, terminated) == (float(ends), ends)
    assert gymnasium.make("benchmarks/PointMaze3-v0").reset(seed=4)[0].shape == (2,)


@pytest.mark.parametrize("name", ["DMSD", "SwingUp"])
def test_batch_equals_single_copies(data_folder: Path, name: str) -> None:
    pytest.importorskip("mujoco")
    single, batch = (getattr(evaluators, kind) for kind in {
        "DMSD": ("DMSD", "DMSDBatch"), "SwingUp": ("SwingUpSingle", "SwingUpBatch"),
    }[name])  # fmt: skip

    def act(observation: np.ndarray) -> np.ndarray:
        return np.sin(5 * observation[..., : batch.problem.action_space.shape[0]])

    quick = rollout(act, f"benchmarks/{name}-v0", episodes=3, seed=1, members=2, environments=2)
    limit = batch.problem.horizon
    plain = rollout(act, lambda: gymnasium.wrappers.TimeLimit(single(), limit), episodes=3, seed=1, members=2)
    np.testing.assert_allclose(quick.returns, plain.returns, rtol=1e-12)
    np.testing.assert_array_equal(quick.lengths, plain.lengths)
