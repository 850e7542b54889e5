"""How a policy acts to learn: with noise or choices at random where it needs them, and what is kept of it."""

from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.point import CORRIDOR, POINT, STEPS, Point, corridor_log, point_log
from making.tuned import Nudge, NudgeState

from suture.algorithms.base import Algorithm
from suture.algorithms.qlearning import DQN
from suture.algorithms.qt_opt import QTOpt
from suture.data.dataset import Dataset
from suture.data.normalise import Normaliser
from suture.data.split import TrainPart, split
from suture.evaluation.rollout import Step, rollout
from suture.nets.distributions import Greedy
from suture.online.collect import Collector
from suture.online.experience import Experience
from suture.online.explore import Explorer
from suture.online.settings import Online
from suture.online.summary import summarise
from suture.training.run import Recipe
from suture.training.settings import Settings
from suture.training.sweep import Sweep
from suture.training.train import stage_of


def recipe_of(algorithm: Algorithm[Any], data: Dataset) -> Recipe:
    return Recipe(
        sweep=Sweep(algorithm), settings=Settings(), source="", fingerprint="", split={}, reward_limit=1.0,
        observation=data.observation_space, action=data.action_space,
        normaliser=Normaliser.fit(TrainPart(data)),
    )  # fmt: skip


def acted(algorithm: Algorithm[Any], data: Dataset, **options: Any) -> tuple[Any, Any]:
    """Actions (300, ...) at one observation, of a fresh state; and the mode."""
    recipe = recipe_of(algorithm, data)
    state = jax.vmap(lambda key: algorithm.init(recipe.spec, key))(jax.random.split(jax.random.key(3), 1))
    one = np.asarray(data.observation)[:1]
    given = {"noise": 0.1, "random": None, "seed": 0, **options}
    actions = Explorer(recipe, **given).act(state, 0)(np.repeat(one, 300, axis=0)[None])[0]
    policy = algorithm.policy(jax.tree.map(lambda leaf: leaf[0], state))
    mode = policy(jnp.asarray(recipe.normaliser.normalise(one))).mode()
    return actions, np.asarray(recipe.normaliser.from_unit(np.asarray(mode)))[0]


def test_a_deterministic_policy_gets_noise_and_a_stochastic_one_is_sampled() -> None:
    actions, mode = acted(Nudge(noisy=False), point_log(), noise=0.1)
    assert actions.shape == (300, 1)
    inside = np.abs(mode) < 0.7
    assert inside.all()
    assert actions.std() == pytest.approx(0.1, rel=0.15)
    assert actions.mean() == pytest.approx(float(mode[0]), abs=0.03)
    assert acted(Nudge(noisy=False), point_log(), noise=0.0)[0].std() < 1e-6
    assert acted(Nudge(noisy=True), point_log(), noise=0.0)[0].std() == pytest.approx(np.exp(-3), rel=0.15)


@pytest.mark.parametrize(("random", "share"), [(None, 0.05), (0.0, 0.0), (0.6, 0.6)])
def test_a_greedy_policy_chooses_at_random_as_often_as_asked(random: float | None, share: float) -> None:
    actions, mode = acted(DQN(hidden=(4,)), corridor_log(), random=random)
    others = (actions != mode).mean()
    assert others == pytest.approx(share * 2 / 3, abs=4 * np.sqrt(0.25 / 300))
    assert set(actions.tolist()) <= {0, 1, 2}
    assert (others == 0.0) == (share == 0.0)


def test_a_random_decision_of_a_search_is_one_that_the_search_may_answer() -> None:
    """The last two of three numbers are one choice: one is high and the other low."""
    policy = QTOpt(choices=2)
    found = policy.maximiser(_Sized(3)).anything(50, jax.random.key(0))  # pyright: ignore
    assert found.shape == (50, 3)
    assert set(np.asarray(found)[:, 1:].sum(1).tolist()) == {0.0}
    assert len(set(np.asarray(found)[:, 1].tolist())) == 2
    assert np.asarray(found)[:, 0].std() > 0.3


class _Sized:
    def __init__(self, size: int) -> None:
        self.action_size = size


def test_draws_depend_on_seed_episode_and_call_alone() -> None:
    data = point_log()
    recipe = recipe_of(Nudge(), data)
    state = jax.vmap(lambda key: Nudge().init(recipe.spec, key))(jax.random.split(jax.random.key(3), 1))
    seen = np.asarray(data.observation)[None, :4]

    def drawn(seed: int, first: int) -> list[Any]:
        act = Explorer(recipe, noise=0.1, random=0.5, seed=seed).act(state, first)
        return [act(seen).tolist() for _ in range(2)]

    assert drawn(0, 0) == drawn(0, 0)
    every = [*drawn(0, 0), *drawn(1, 0), *drawn(0, 1)]
    assert all(one != other for i, one in enumerate(every) for other in every[:i])


class Ends(Point):
    """The point, whose episodes end for good where it leaves [-1, 1]; the reward tells the step."""

    def reset(self, **options: Any) -> Any:
        self.count = 0
        return super().reset(**options)

    def step(self, action: Any) -> Any:
        self.count += 1
        seen, _, _, _, info = super().step(action)
        return seen, float(self.count), bool(abs(seen[0]) > 1.0), False, info


def make_ends() -> gymnasium.Env[Any, Any]:
    return gymnasium.wrappers.TimeLimit(Ends(), STEPS)


def test_every_transition_is_kept_as_it_happened() -> None:
    """Side by side and of different lengths; ends are told apart, and what follows them is known."""
    recipe, outwards = recipe_of(Nudge(), point_log()), NudgeState(jnp.full((1, 1), 0.35))
    with Collector(recipe, make_ends, Online(at_once=4)) as collector:
        found = collector.play(outwards, 10, 6)
    assert found is not None
    data, played = found
    assert data.lengths.tolist() == played.lengths[0].tolist()
    assert len(set(data.lengths.tolist())) > 1
    last = data.episode_start[1:] - 1
    over = np.abs(np.asarray(data.next_observation)[last, 0]) > 1.0
    assert over.any()
    assert not over.all()
    assert np.array_equal(data.terminated[last], over)
    assert np.array_equal(data.truncated[last], ~over)
    inner = np.delete(np.arange(len(data)), last)
    assert np.array_equal(data.observation[inner + 1], data.next_observation[inner])
    assert np.array_equal(data.reward, np.concatenate([np.arange(n) + 1 for n in data.lengths]))
    moved = (data.next_observation - data.observation)[:, 0] - 0.5 * data.action[:, 0]
    assert np.abs(moved).max() < 0.06, "the action is the one that was played"


def test_episodes_are_numbered_on() -> None:
    """Episodes 3, 4 and 5 of a rollout are those of six."""
    steps = list[Step]()
    whole = rollout(lambda seen: 0 * seen, POINT, episodes=6, seed=1)
    later = rollout(lambda seen: 0 * seen, POINT, episodes=3, seed=1, first=3, record=steps.append)
    np.testing.assert_array_equal(whole.returns[:, 3:], later.returns)
    assert {int(number) for step in steps for number in step.episode} == {3, 4, 5}


def test_rows_of_the_rounds_are_numbered_behind_those_of_the_whole_log(tmp_path: Path) -> None:
    """Also where the log's last episodes are not learned from: a number is never that of another row."""
    data, online = point_log(), Online(window=1)
    part, recipe = split(data, fraction=0.8).train, recipe_of(Nudge(), data)
    assert part.rows is not None
    assert part.rows.max() < len(data) - 1
    state = jax.vmap(lambda key: Nudge().init(recipe.spec, key))(jax.random.split(jax.random.key(3), 1))
    with Collector(recipe, POINT, online) as collector:
        stage = stage_of(recipe, part)
        experience = Experience(recipe, stage, online, tmp_path, collector, logged=len(data)).allocated()
        experience.prepare(0, state, lambda: None)
    numbers = experience.stage.logged(np.arange(len(part.rows) + STEPS))
    assert numbers.tolist() == [*part.rows, *range(len(data), len(data) + STEPS)]


def test_the_summary_in_numbers() -> None:
    found = summarise([4.0, 2.0, 1.0, 3.0, 5.0, 7.0], [10] * 6, 2, 2)
    assert (found.before, found.lowest, found.end, found.dip) == (3.0, 2.0, 6.0, 1.0)
    assert (found.regret, found.regret_per_episode) == (3.0 * 4 - 16.0, -1.0)
    assert (found.episodes, found.steps) == (6, 60)
    assert "lowest 2" in found.told()
    assert summarise([4.0, 2.0, 1.0], [1] * 3, 2, 2).end is None
    better = summarise([1.0, 1.0, 2.0, 3.0], [1] * 4, 2, 2)
    assert better.dip == 0.0


def test_the_greedy_distribution_is_what_a_discrete_critic_gives() -> None:
    """What exploration asks for: a policy that chooses the best says so by its type."""
    recipe = recipe_of(DQN(hidden=(4,)), corridor_log())
    state = recipe.algorithm.init(recipe.spec, jax.random.key(0))
    assert isinstance(recipe.algorithm.policy(state)(jnp.zeros((1, 5))), Greedy)
    assert CORRIDOR in gymnasium.registry
