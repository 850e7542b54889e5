"""Rollouts: seeded, paired, independent of how many environments run at once, and honest about clipping."""

from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest

from suture import spaces
from suture.errors import ConfigError, RunMismatch, SutureError
from suture.evaluation import rollout as module
from suture.evaluation.rollout import rollout


class Walk(gymnasium.Env[Any, Any]):
    """A noisy walk: reward is the position times the action; ends when it leaves, after 12 steps at most."""

    def __init__(self, observation: str = "box") -> None:
        self.kind = observation
        box = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        bits = gymnasium.spaces.Box(0, 255, (4, 4, 3), np.uint8)
        self.observation_space = {
            "box": box,
            "dict": gymnasium.spaces.Dict({"state": box, "arm": gymnasium.spaces.Dict({"camera": bits})}),
            "discrete": gymnasium.spaces.Discrete(5),
            "tuple": gymnasium.spaces.Tuple([box, box]),
        }[observation]
        self.action_space = gymnasium.spaces.Box(-0.5, 0.5, (2,), np.float32)

    def _observe(self) -> Any:
        picture = np.full((4, 4, 3), self.steps, np.uint8)
        return {
            "box": self.position.copy(),
            "dict": {"state": self.position.copy(), "arm": {"camera": picture}},
            "discrete": self.steps % 5,
        }[self.kind]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.position, self.steps = self.np_random.normal(size=2), 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        self.position = self.position + action + 0.3 * self.np_random.normal(size=2)
        out = bool(np.abs(self.position).max() > 2.0)
        info = {"success": self.steps == 3}
        return self._observe(), float(self.position @ action), out, self.steps == 12, info


def homing(observation: Any) -> Any:
    return np.clip(-observation, -0.5, 0.5)


def pull(gains: list[float]) -> Callable[[Any], Any]:
    """Members that go home with different gains, (M, n, 2) to (M, n, 2)."""
    return lambda observation: np.clip(-np.array(gains)[:, None, None] * observation, -0.5, 0.5)


@pytest.mark.parametrize("environments", [1, 2, 3, 7, 10])
def test_result_does_not_depend_on_the_number_of_environments(environments: int) -> None:
    whole = rollout(homing, Walk, episodes=7, seed=3)
    other = rollout(homing, Walk, episodes=7, seed=3, environments=environments)
    np.testing.assert_array_equal(whole.returns, other.returns)
    np.testing.assert_array_equal(whole.lengths, other.lengths)
    assert len(set(whole.lengths[0])) > 1  # slots do fall out of step


def test_returns_are_those_of_a_plain_loop_over_seeded_episodes() -> None:
    evaluation = rollout(homing, Walk, episodes=4, seed=11, environments=3)
    for episode in range(4):
        env = Walk()
        seed = np.random.SeedSequence(11, spawn_key=(episode,)).generate_state(1)[0]
        observation, _ = env.reset(seed=int(seed))
        total, length, ended = 0.0, 0, False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(homing(observation).astype(np.float32))
            total, length, ended = total + reward, length + 1, terminated or truncated
        assert evaluation.returns[0, episode] == total
        assert evaluation.lengths[0, episode] == length


def test_members_start_alike_and_equal_their_single_evaluations() -> None:
    gains = [0.0, 0.3, 1.0]
    together = rollout(pull(gains), Walk, episodes=5, seed=0, members=3, environments=2)
    for member, gain in enumerate(gains):
        alone = rollout(pull([gain]), Walk, episodes=5, seed=0)
        np.testing.assert_array_equal(together.returns[member], alone.returns[0])
    assert together.returns.shape == (3, 5)
    starts: list[Any] = []

    def act(observation: Any) -> Any:
        starts.append(observation)
        return 0 * observation

    rollout(act, Walk, episodes=4, seed=0, members=3, environments=4)
    np.testing.assert_array_equal(starts[0][0], starts[0][2])
    assert len(np.unique(starts[0][0], axis=0)) == 4


def test_another_seed_gives_other_episodes() -> None:
    first, second = (rollout(homing, Walk, episodes=3, seed=seed) for seed in (0, 1))
    assert not np.array_equal(first.returns, second.returns)


def test_processes_give_the_same_result_beside_jax_threads() -> None:
    jax.numpy.zeros(1).block_until_ready()  # a fork would warn from here on

    def act(observation: Any) -> Any:
        return (observation[..., 2] > 0).astype(int)

    near, far = (
        rollout(act, "CartPole-v1", episodes=3, seed=0, environments=2, processes=processes)
        for processes in (False, True)
    )
    np.testing.assert_array_equal(near.returns, far.returns)


def test_actions_out_of_bounds_are_clipped_and_counted_for_each_member() -> None:
    def act(observation: Any) -> Any:
        action = np.zeros(observation.shape)
        action[0, ..., 1] = 3.0
        return action

    evaluation = rollout(act, Walk, episodes=4, seed=0, members=2)
    np.testing.assert_array_equal(evaluation.clipped, [1.0, 0.0])
    held = rollout(lambda o: np.stack([0 * o[0] + [0.0, 0.5]]), Walk, episodes=4, seed=0)
    np.testing.assert_array_equal(evaluation.returns[0], held.returns[0])


def test_success_at_any_step_is_kept() -> None:
    evaluation = rollout(homing, Walk, episodes=6, seed=0)
    assert evaluation.successes is not None
    np.testing.assert_array_equal(evaluation.successes, evaluation.lengths >= 3)
    assert rollout(lambda o: np.zeros(o.shape[:2], int), "CartPole-v1", episodes=1, seed=0).successes is None


def test_dict_observations_arrive_as_trees() -> None:
    def act(observation: Any) -> Any:
        assert observation["arm"]["camera"].shape == (1, 2, 4, 4, 3)
        assert observation["arm"]["camera"].dtype == np.uint8
        return homing(observation["state"])

    plain = rollout(homing, Walk, episodes=4, seed=0)
    tree = rollout(act, lambda: Walk("dict"), episodes=4, seed=0, environments=2)
    np.testing.assert_array_equal(plain.returns, tree.returns)


def test_discrete_observations_arrive_as_integers() -> None:
    def act(observation: Any) -> Any:
        assert observation.shape == (1, 2)
        assert observation.dtype.kind == "i"
        return np.zeros((*observation.shape, 2))

    rollout(act, lambda: Walk("discrete"), episodes=2, seed=0)


def test_discrete_actions_reach_the_environment() -> None:
    evaluation = rollout(lambda o: (o[..., 2] > 0).astype(int), "CartPole-v1", episodes=3, seed=0)
    assert evaluation.mean[0] > 25
    assert evaluation.environment == "CartPole-v1"


def test_an_environment_that_does_not_fit_is_refused_with_both_spaces_named() -> None:
    six, two = spaces.Box((6,)), spaces.Box((2,), low=(-1.0, -1.0), high=(1.0, 1.0))
    with pytest.raises(RunMismatch, match=r"observations box\[6\] float32, but .* has box\[2\] float64"):
        rollout(homing, Walk, episodes=1, seed=0, expected=(six, two))
    with pytest.raises(RunMismatch, match=r"actions discrete\(3\), but .* has box\[2\]"):
        rollout(homing, Walk, episodes=1, seed=0, expected=(two, spaces.Discrete(3)))
    rollout(homing, Walk, episodes=1, seed=0, expected=(two, two))


def test_an_observation_space_of_another_kind_is_refused() -> None:
    box = spaces.Box((2,))
    with pytest.raises(ConfigError, match="must be a Box, Discrete from 0 or Dict"):
        rollout(homing, lambda: Walk("tuple"), episodes=1, seed=0, expected=(box, box))


def test_actions_of_another_shape_and_actions_that_are_not_finite_are_refused() -> None:
    with pytest.raises(RunMismatch, match=r"shape \[1\].*takes \[2\]"):
        rollout(lambda o: o[..., :1], Walk, episodes=1, seed=0)
    with pytest.raises(SutureError, match="not finite"):
        rollout(lambda o: o * np.nan, Walk, episodes=1, seed=0)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_reward_that_is_not_finite_is_named_with_its_step(odd: float) -> None:
    class Broken(Walk):
        def step(self, action: Any) -> Any:
            observation, reward, *rest = super().step(action)
            return observation, odd if self.steps == 3 else reward, *rest

    with pytest.raises(SutureError, match=f"gave the reward {odd} in episode 7, step 2"):
        rollout(homing, Broken, episodes=1, seed=0, first=7)


def test_an_endless_episode_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 5)
    with pytest.raises(SutureError, match="has not ended after 5 steps"):
        rollout(homing, Walk, episodes=1, seed=2)


@pytest.mark.parametrize("numbers", [{"episodes": 0}, {"members": 0}, {"environments": 0}])
def test_numbers_below_one_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        rollout(homing, Walk, seed=0, **({"episodes": 1} | numbers))


def test_environments_are_closed_when_a_policy_fails() -> None:
    closed: list[bool] = []

    class Closing(Walk):
        def close(self) -> None:
            closed.append(True)

    def act(observation: Any) -> Any:
        raise SutureError("stop")

    with pytest.raises(SutureError, match="stop"):
        rollout(act, Closing, episodes=2, seed=0)
    assert closed == [True, True]


class Count(gymnasium.Env[Any, Any]):
    """Observes the step; reward is the first action; ends after 20 steps."""

    observation_space = gymnasium.spaces.Box(0, 100, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-100, 100, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return np.array([0.0]), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return np.array([float(self.steps)]), float(action[0]), False, self.steps == 5 + self.length, {}

    length = 5


@pytest.mark.parametrize("environments", [1, 3])
def test_chunks_are_played_in_order_and_made_anew_after_them(environments: int) -> None:
    """Plans of 4: the step at which they were made, then 10, 20 and 30. Every episode begins a new plan."""

    def plan(observation: Any) -> Any:
        return np.stack([observation, observation * 0 + 10, observation * 0 + 20, observation * 0 + 30], 2)

    evaluation = rollout(plan, Count, episodes=3, seed=0, environments=environments, chunk=4)
    # Ten steps: made at 0, 4 and 8.
    assert evaluation.returns.tolist() == [[0 + 60 + 4 + 60 + 8 + 10] * 3]


def test_what_a_critic_estimates_is_summed_up() -> None:
    worth = module.Worth(discount=0.5, scale=2.0, shift=-1.0)
    evaluation = rollout(lambda o: o * 0 + 3.0, Count, episodes=2, seed=0, worth=worth)
    assert evaluation.discounted is not None
    np.testing.assert_allclose(evaluation.discounted, 5 * (1 - 0.5**10) / 0.5)
    assert evaluation.returns.tolist() == [[30.0, 30.0]]


def test_time_limits_are_raised_to_the_horizon_of_the_discount() -> None:
    worth = module.Worth(discount=0.99)
    assert worth.steps == 459
    evaluation = rollout(lambda o: 0 * o[..., :1], "Pendulum-v1", episodes=2, seed=0, worth=worth)
    assert evaluation.lengths.tolist() == [[459, 459]]
    evaluation = rollout(lambda o: 0 * o[..., :1], "Pendulum-v1", episodes=2, seed=0)
    assert evaluation.lengths.tolist() == [[200, 200]]


@pytest.mark.parametrize("environments", [1, 2, 5])
def test_first_observations_are_kept_by_episode(environments: int) -> None:
    evaluation = rollout(pull([0.0, 1.0]), Walk, episodes=5, seed=4, members=2, environments=environments)
    for episode in range(5):
        seed = np.random.SeedSequence(4, spawn_key=(episode,)).generate_state(1)[0]
        np.testing.assert_array_equal(evaluation.starts[episode], Walk().reset(seed=int(seed))[0])  # type: ignore[call-overload,index]
