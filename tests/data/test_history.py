"""The last images of an episode: never another's, each kept once, and in acting as they were in learning."""

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from making.episodes import PICTURES, record
from making.runs import Toy, checkpoints, told, train_until, walk
from making.sets import dataset_of

import suture
from suture.data.dataset import Dataset
from suture.data.load import load
from suture.data.normalise import Normaliser
from suture.data.stage import Stage
from suture.errors import ConfigError, RefusedInput
from suture.evaluation.rollout import Step, rollout
from suture.spaces import Box, space_of
from suture.training.train import train

NEEDS = frozenset({"observation", "action", "reward", "discount", "next_observation"})


def numbered(lengths: tuple[int, ...], gaps: tuple[int, ...] = ()) -> Dataset:
    """Images of one pixel and two channels that hold the row's number; what follows row i is 100 + i.

    gaps: rows in the middle of an episode after which something was not recorded.
    """
    data = dataset_of(lengths)
    rows = np.arange(len(data))
    image, following = (np.stack([base + rows] * 2, -1).astype(np.uint8)[:, None, None] for base in (0, 100))
    has_next = ~np.isin(rows, gaps)  # what follows an episode's last row is known, too
    number = rows[:, None].astype(np.float32)
    tree: dict[str, Any] = {"a": {"camera": image}, "b": number}
    after: dict[str, Any] = {"a": {"camera": following}, "b": number + 1}
    return dataclasses.replace(
        data, observation=tree, next_observation=after, observation_space=space_of(tree), has_next=has_next,
    )  # fmt: skip


def expected(data: Dataset, row: int, count: int, *, following: bool) -> list[int]:
    """The numbers of the images that are seen at a row, the oldest first, found step by step."""
    found = [100 + row, row] if following else [row]
    while len(found) < count:
        last, begins = found[-1], set(data.episode_start.tolist())
        goes_on = last not in begins and data.has_next[last - 1]
        found.append(last - 1 if goes_on else last)
    return found[:count][::-1]


def wanted(data: Dataset, positions: Any, count: int, *, following: bool) -> Any:
    """The numbers of the images that are seen at some rows, (*positions, count)."""
    found = [expected(data, int(row), count, following=following) for row in positions.reshape(-1)]
    return np.reshape(found, (*positions.shape, count))


def numbers(images: Any, count: int) -> Any:
    """The numbers that images hold, (*batch, count)."""
    array = np.asarray(images).reshape(*images.shape[:-3], count, 2)
    np.testing.assert_array_equal(array[..., 0], array[..., 1])
    return array[..., 0]


@settings(max_examples=25, phases=[Phase.generate])
@given(
    st.lists(st.integers(1, 6), min_size=4, max_size=4), st.sets(st.integers(0, 3)), st.sampled_from([1, 3])
)
def test_rows_see_the_images_before_them_and_none_of_another_episode(
    lengths: list[int], gaps: set[int], window: int
) -> None:
    """Resident and streamed, alike. The last episode makes 24 rows of all: one shape, compiled once."""
    data = numbered((*lengths, 24 - sum(lengths) + 1), tuple(gaps))
    count, rows = 3, np.arange(len(data))
    stage = Stage(dataset=data, normaliser=Normaliser(), needs=NEEDS, rows=rows, stack=count, window=window)
    whole, positions = stage.everything(), stage.positions(rows)
    resident, block = whole.draw(rows), stage.at(positions)
    for name in ("observation", "next_observation"):
        path, should = f"{name}/a/camera", wanted(data, positions, count, following=name != "observation")
        assert whole.alone[path].shape == (len(data), 1, 1, 2), "each image is kept once"
        np.testing.assert_array_equal(numbers(resident[name]["a"]["camera"], count), should)
        np.testing.assert_array_equal(numbers(block.alone[path], count), should)
        np.testing.assert_array_equal(np.asarray(resident[name]["b"]), getattr(data, name)["b"][positions])
    assert "back" not in resident
    streamed = block.take(rows[:5])
    np.testing.assert_array_equal(
        streamed["observation"]["a"]["camera"], block.alone["observation/a/camera"][:5]
    )


@pytest.mark.parametrize("count", [2, 5])
def test_more_or_fewer_images_are_seen(count: int) -> None:
    data = numbered((4, 2, 7), (8,))
    stage = Stage(dataset=data, normaliser=Normaliser(), needs=NEEDS, rows=np.arange(13), stack=count)
    positions = np.array([12, 0, 9, 8, 3])
    for seen in (stage.everything().take(positions), stage.at(positions).take(np.arange(5))):
        for name in ("observation", "next_observation"):
            should = wanted(data, positions, count, following=name != "observation")
            np.testing.assert_array_equal(numbers(seen[name]["a"]["camera"], count), should)


class Frames(gymnasium.Env[Any, Any]):
    """Its image is one number: ten times that of the episode, 0 to 19, and the steps so far, at most 5."""

    observation_space = gymnasium.spaces.Box(0, 255, (2, 2, 1), np.uint8)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.number, self.steps = int(self.np_random.integers(20)), 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self._seen(), 0.0, False, self.steps == 3 + self.number % 3, {}

    def _seen(self) -> Any:
        return np.full((2, 2, 1), 10 * self.number + self.steps, np.uint8)


@pytest.mark.parametrize(("members", "environments", "chunk"), [(1, 1, 1), (2, 2, 1), (1, 3, 2)])
def test_what_is_seen_in_acting_is_what_would_be_learned_from(
    members: int, environments: int, chunk: int
) -> None:
    steps, seen = list[Step](), set[tuple[int, ...]]()

    def act(observation: Any) -> Any:
        assert observation.shape == (members, environments, 2, 2, 3)
        assert (observation == observation[..., :1, :1, :]).all()
        seen.update(tuple(row) for row in observation[..., 0, 0, :].reshape(-1, 3).tolist())
        plan = np.zeros((*observation.shape[:2], chunk, 2), np.float32)
        return plan if chunk > 1 else plan[:, :, 0]

    rollout(act, Frames, episodes=6, seed=1, members=members, environments=environments, chunk=chunk,
            record=steps.append, stack=3)  # fmt: skip
    pixels = [
        (int(episode), int(image[0, 0, 0]))
        for step in steps
        for episode, image in zip(step.episode, np.asarray(step.observation), strict=True)
    ]
    wanted = set[tuple[int, ...]]()
    for episode in range(6):
        images = list(dict.fromkeys(pixel for number, pixel in pixels if number == episode))
        stacks = [tuple(images[max(0, t - back)] for back in (2, 1, 0)) for t in range(len(images))]
        wanted |= set(stacks[::chunk])
    assert wanted <= seen


OPTIONS: dict[str, Any] = {"steps": 30, "checkpoint_every": 10, "log_every": 10, "frame_stack": 3}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 80 transitions with pictures of 6 x 8."""
    return record(tmp_path_factory.mktemp("store") / "store", range(28), PICTURES)


@pytest.mark.usefixtures("compiled_once")
def test_streamed_and_resumed_runs_see_the_same_stacks(store: Path, tmp_path: Path) -> None:
    data = load(store)
    resident, said = told(Toy(), data, out=tmp_path / "whole", **OPTIONS)
    assert "streaming" not in said
    plain, _ = told(Toy(), data, out=tmp_path / "plain", **OPTIONS | {"frame_stack": 1})
    assert np.asarray(plain.newest.state.value) != np.asarray(resident.newest.state.value)
    streamed, said = told(Toy(), data, out=tmp_path / "streamed", memory_limit="30000", **OPTIONS)
    assert "streaming it" in said
    assert np.asarray(streamed.newest.state.value) == np.asarray(resident.newest.state.value)
    train_until(15, Toy(), data, out=tmp_path / "broken", **OPTIONS)
    train(Toy(), data, out=tmp_path / "broken", resume=True, **OPTIONS)
    assert checkpoints(tmp_path / "broken") == checkpoints(tmp_path / "whole")


@pytest.mark.usefixtures("compiled_once")
def test_a_policy_takes_the_last_images_and_is_evaluated_with_them(tmp_path: Path) -> None:
    rng, data = np.random.default_rng(0), dataset_of((4, 5))
    image = rng.integers(256, size=(9, 2, 2, 1)).astype(np.uint8)
    data = dataclasses.replace(
        data, observation=image, next_observation=image, observation_space=space_of(image),
        action_space=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2),
        action=rng.uniform(-1, 1, (9, 2)).astype(np.float32),
    )  # fmt: skip
    bc = suture.BC(hidden=(4,), batch_size=4)
    run, _ = told(bc, data, out=tmp_path / "run", steps=2, frame_stack=3, random_crop=0)
    assert run.policy.act(np.zeros((2, 2, 3), np.uint8)).shape == (2,)
    with pytest.raises(RefusedInput, match=r"of shape \[2, 2, 3\].*found \[2, 2, 1\]"):
        run.policy.act(image[0])
    assert suture.evaluate(run, Frames, episodes=3).lengths.min() >= 3
    with pytest.raises(ConfigError, match="frame"):
        suture.estimate(run, data)


@pytest.mark.usefixtures("compiled_once")
def test_a_run_goes_on_online_with_the_last_images(tmp_path: Path) -> None:
    """What it plays is kept as single images, of which the policy sees three at once."""
    image = np.arange(9, dtype=np.uint8).reshape(9, 1, 1, 1) + np.zeros((2, 2, 1), np.uint8)
    data = dataclasses.replace(
        dataset_of((4, 5)), observation=image, next_observation=image + 1, observation_space=space_of(image),
        action=np.zeros((9, 2), np.float32), action_space=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2),
    )  # fmt: skip
    iql = suture.IQL(hidden=(4,), batch_size=4)
    run, _ = told(iql, data, out=tmp_path / "run", steps=2, frame_stack=3)
    online: dict[str, Any] = {"data": data, "steps": 12, "window": 2, "at_once": 2, "checkpoint_every": 5}
    done = suture.finetune(run, Frames, out=tmp_path / "online", **online)
    assert done.outcome is suture.Outcome.COMPLETED
    played = load(tmp_path / "online" / "online")
    assert played.observation_space == data.observation_space
    first = played.episode_start[:-1]
    assert (np.asarray(played.observation)[first, 0, 0, 0] % 10 == 0).all()
    assert suture.evaluate(done, Frames, episodes=2).lengths.min() >= 3


def test_stacks_without_images_or_of_pieces_of_episodes_are_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no part of the observation is one: found box\[3\] float32"):
        train(Toy(), walk(), out=tmp_path / "run", **OPTIONS)
    with pytest.raises(ConfigError, match="an episode is cut into pieces"):
        train(Toy(), load(store), out=tmp_path / "run", hindsight=1, **OPTIONS)
