"""Logs of grasps: the same whoever makes them, in whatever order and company."""

from pathlib import Path

import numpy as np
import pytest

from suture import spaces
from suture.errors import ConfigError

pytest.importorskip("mujoco", reason="mujoco is an extra")

from suture.data.formats.episode_layout import Episode, Layout
from suture.data.formats.episode_reader import open as read
from suture.data.formats.episode_writer import Writer
from suture.envs.grasp.collect import ACTION_SPACE, COLUMNS, Recipe, collect
from suture.envs.grasp.env import HORIZON, PENALTY

RECIPE = Recipe(mix={"scripted": 0.5, "epsilon": 0.3, "exact": 0.1, "random": 0.1}, pixels=16, seed=10)
COUNT = 24


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return list(collect(RECIPE, range(COUNT), workers=1))


def same(one: Episode, other: Episode) -> bool:
    known = (one.seed, one.terminated, one.truncated, one.columns)
    return known == (other.seed, other.terminated, other.truncated, other.columns) and all(
        np.array_equal(a, b)
        for a, b in (
            (one.action, other.action), (one.reward, other.reward),
            *((one.observation[key], other.observation[key]) for key in one.observation),
        )
    )  # fmt: skip


def test_an_episode_is_the_same_in_another_order_and_another_process(episodes: list[Episode]) -> None:
    lacking = [21, 2, 17]
    alone = list(collect(RECIPE, lacking, workers=1))
    assert [one.seed for one in alone] == lacking
    assert all(same(one, episodes[one.seed]) for one in alone)
    shared = list(collect(RECIPE, range(COUNT), workers=2))
    assert [one.seed for one in shared] == list(range(COUNT))
    assert all(map(same, shared, episodes))


def test_other_seeds_and_other_numbers_are_other_episodes(episodes: list[Episode]) -> None:
    assert len({one.observation["image"][0].tobytes() for one in episodes}) == len(episodes)
    other = next(collect(Recipe(mix=RECIPE.mix, pixels=16, seed=5), [0], workers=1))
    assert not np.array_equal(other.observation["image"][0], episodes[0].observation["image"][0])


def test_episodes_are_made_as_they_are_taken() -> None:
    """A log larger than the memory can be written: numbers are asked for a little ahead, not all at once."""
    asked = list[int]()

    def numbers() -> object:
        for number in range(10_000):
            asked.append(number)
            yield number

    made = collect(RECIPE, numbers(), workers=1)  # type: ignore[arg-type]
    assert [next(made).seed for _ in range(3)] == [0, 1, 2]
    made.close()  # type: ignore[attr-defined]
    assert len(asked) <= 32


def test_what_an_episode_holds(episodes: list[Episode]) -> None:
    boxes = spaces.leaves_of(RECIPE.observation_space)
    assert {one.columns["behaviour"] for one in episodes} == set(RECIPE.mix)
    assert any(one.columns["success"] for one in episodes)
    assert any(one.terminated and not one.columns["success"] for one in episodes)
    assert any(one.truncated for one in episodes)
    for one in episodes:
        steps = len(one.action)
        for leaf, box in boxes.items():
            array = one.observation[leaf.strip("./")]
            assert array.shape == (steps + 1, *box.shape)
            assert array.dtype == box.dtype
        assert one.action.shape == (steps, 8)
        assert np.abs(one.action).max() <= 1.0
        np.testing.assert_allclose(one.reward[:-1], -PENALTY)
        assert one.terminated == (one.action[-1, 7] > 0) != one.truncated
        assert one.terminated or steps == HORIZON
        assert one.reward[-1] == pytest.approx(float(one.columns["success"]) if one.terminated else -PENALTY)
        image = one.observation["image"]
        assert (image[1:] != image[:-1]).any(axis=(1, 2, 3)).mean() > 0.5, "something moves"


def test_the_default_log_has_about_as_many_failures_as_successes() -> None:
    """A log of successes alone teaches QT-Opt nothing: 35 to 56 % is what it was found to learn from."""
    told = [one.columns["success"] for one in collect(Recipe(camera=None), range(60), workers=1)]
    assert 0.3 <= np.mean(told) <= 0.6


def test_a_store_takes_the_episodes_and_goes_on_with_those_that_it_lacks(
    episodes: list[Episode], tmp_path: Path
) -> None:
    layout = Layout(
        observation_space=RECIPE.observation_space,
        action_space=ACTION_SPACE,
        columns=COLUMNS,
        source="grasps",
    )
    for count in (5, 12):
        with Writer(tmp_path / "log", layout) as writer:
            for one in collect(RECIPE, [seed for seed in range(count) if seed not in writer], workers=1):
                assert writer.append(one)
    data = read(tmp_path / "log")
    assert data.episodes == 12
    assert len(data) == sum(len(one.action) for one in episodes[:12])
    np.testing.assert_array_equal(data.action, np.concatenate([one.action for one in episodes[:12]]))


def test_recipes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no behaviour 'script'\. Did you mean 'scripted'"):
        Recipe(mix={"script": 1.0})
    with pytest.raises(ConfigError, match="shares of at least 0"):
        Recipe(mix={"scripted": 0.0})
    with pytest.raises(ConfigError, match="camera must be one of"):
        Recipe(camera="top")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="seed must be at least 0, found -1"):
        Recipe(seed=-1)
    with pytest.raises(ConfigError, match="workers must be at least 1, found 0"):
        next(collect(RECIPE, [0], workers=0))
