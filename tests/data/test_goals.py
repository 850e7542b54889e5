"""Goals in hindsight: what is told, what pays and what ends, against the log that they were drawn from."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making.sets import dataset_of

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.goals import hindsight, reaching
from suture.data.split import TrainPart, split
from suture.errors import ConfigError, DataRefused

COUNT = 4000


def walk(lengths: tuple[int, ...], gaps: tuple[int, ...] = ()) -> Dataset:
    """Every state is a number of its own: row i is seen as i, and followed by i + 1/2 or by nothing known."""
    data, rows = dataset_of(lengths), np.arange(sum(lengths), dtype=np.float32)[:, None]
    return dataclasses.replace(
        data, observation=rows, next_observation=rows + 0.5, observation_space=spaces.space_of(rows),
        has_next=~np.isin(np.arange(len(data)), gaps), terminated=np.zeros(len(data), bool),
    )  # fmt: skip


def goals(part: TrainPart) -> tuple[Any, Any]:
    """The rows of the log (from what is seen) and the rows whose ends are the goals (from what is told)."""
    tree: Any = part.dataset.observation
    return tree["observation"][:, 0].astype(int), (tree["desired_goal"][:, 0] - 0.5).astype(int)


@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5), data=st.data(),
    arriving=st.sampled_from([0.0, 0.3]), later=st.sampled_from([0.0, 0.7]),
    discount=st.sampled_from([None, 0.0, 0.8]), seed=st.integers(0, 5),
)  # fmt: skip
def test_goals_are_reached_in_the_log_and_only_arrival_pays(
    lengths: list[int], data: Any, arriving: float, later: float, discount: float | None, seed: int
) -> None:
    count = sum(lengths)
    gaps = tuple(data.draw(st.lists(st.integers(0, count - 1), max_size=count - 1, unique=True)))
    log = walk(tuple(lengths), gaps)
    shares: dict[str, Any] = {"arriving": arriving, "later": later, "discount": discount, "seed": seed}
    part = hindsight(TrainPart(log), copies=3, **shares)
    made, (row, at) = part.dataset, goals(part)
    assert log.has_next[row].all()
    assert log.has_next[at].all()
    np.testing.assert_array_equal(part.rows, row)
    np.testing.assert_array_equal(np.bincount(row, minlength=count), 3 * log.has_next)
    np.testing.assert_array_equal(made.action, log.action[row])
    np.testing.assert_array_equal(made.next_observation["desired_goal"], made.observation["desired_goal"])  # type: ignore[index,call-overload]
    np.testing.assert_array_equal(made.next_observation["observation"][:, 0], row + 0.5)  # type: ignore[index,call-overload]
    np.testing.assert_array_equal(made.reward, at == row)
    np.testing.assert_array_equal(made.terminated, at == row)
    np.testing.assert_array_equal(made.truncated, at != row)
    assert made.episodes == len(made)
    if arriving + later == 1:  # then every goal lies ahead, in the same episode, with no gap on the way
        assert np.all(at >= row)
        np.testing.assert_array_equal(log.episode_index[at], log.episode_index[row])
        for one, other in zip(row, at, strict=True):
            assert log.has_next[one : other + 1].all()
    again = hindsight(TrainPart(log), copies=3, **shares).dataset
    assert made.fingerprint == again.fingerprint


def test_shares_and_distances_are_the_stated_ones() -> None:
    """Row 0 of an episode of 50, and 50 others: 30 % arrive, the rest as asked, a geometric way ahead."""
    log = walk((50, 50))
    part = hindsight(TrainPart(log), copies=COUNT, arriving=0.3, later=0.5, discount=0.9, seed=1)
    row, at = goals(part)
    first = at[row == 0]
    noise = 2 / np.sqrt(COUNT)  # four standard deviations
    ahead, expected = first[first < 50], 0.3 + 0.5 * 0.1 + 0.2 / 100
    assert np.mean(first == 0) == pytest.approx(expected, abs=noise)
    assert np.mean(first >= 50) == pytest.approx(0.2 / 2, abs=noise)
    near = np.mean((ahead > 0) & (ahead <= 10)) * len(ahead) / COUNT
    assert near == pytest.approx(0.5 * (0.9 - 0.9**11) + 0.2 * 10 / 100, abs=noise)
    uniform = hindsight(TrainPart(log), copies=COUNT, arriving=0.0, later=1.0, discount=None)
    row, at = goals(uniform)
    counts = np.bincount(at[row == 40], minlength=50)[40:50] / COUNT
    np.testing.assert_allclose(counts, 0.1, atol=noise)


def test_goals_come_from_the_training_part_alone() -> None:
    log = walk((6,) * 20)
    parts = split(log, fraction=0.3, seed=2)
    part = hindsight(parts.train, copies=20, arriving=0.0, later=0.0)
    row, at = goals(part)
    np.testing.assert_array_equal(part.rows, row)
    held = np.unique(np.floor(np.asarray(parts.validation.observation)[:, 0])).astype(int)
    assert len(held)
    assert not np.isin(at, held).any()
    assert parts.train.rows is not None
    assert set(at) == set(parts.train.rows)


def test_equal_places_are_one_goal_and_near_ones_with_a_tolerance() -> None:
    """Two episodes that reach the same numbers; a tolerance of one step takes both neighbours in."""
    log = walk((5, 5))
    place = (np.arange(10, dtype=np.float32) % 5)[:, None]
    log = dataclasses.replace(log, next_observation=place + 0.5)
    for tolerance, far in ((0.0, 0), (1.0, 1)):
        part = hindsight(TrainPart(log), copies=50, tolerance=tolerance)
        made, (row, _) = part.dataset, goals(part)
        goal = made.observation["desired_goal"][:, 0] - 0.5  # type: ignore[index,call-overload]
        np.testing.assert_array_equal(made.reward, np.abs(goal - row % 5) <= far)


def test_logs_of_goals_keep_their_names_and_true_ends() -> None:
    """Gymnasium's form: the goal is what was achieved; where the environment ended nothing follows."""
    log = walk((4, 4))
    tree: Any = {"observation": np.zeros((8, 2), np.float32), "desired_goal": log.observation}
    tree["achieved_goal"] = log.observation
    after = {**tree, "achieved_goal": log.next_observation}
    ended = np.arange(8) == 3
    log = dataclasses.replace(
        log, observation=tree, next_observation=after, terminated=ended,
        observation_space=spaces.space_of(tree),
    )  # fmt: skip
    made = hindsight(TrainPart(log), copies=30, arriving=0.0, later=0.0).dataset
    assert made.observation_space == log.observation_space
    reached = made.next_observation["achieved_goal"] == made.observation["desired_goal"]  # type: ignore[index,call-overload]
    np.testing.assert_array_equal(made.reward, reached[:, 0])
    last = made.observation["achieved_goal"][:, 0] == 3  # type: ignore[index,call-overload]
    np.testing.assert_array_equal(made.terminated, reached[:, 0] | last)


def test_what_cannot_be_relabelled_is_refused() -> None:
    log = walk((3,))
    with pytest.raises(ConfigError, match="exceed 1"):
        hindsight(TrainPart(log), arriving=0.6, later=0.6)
    with pytest.raises(DataRefused, match="next observation"):
        hindsight(TrainPart(walk((3,), gaps=(0, 1, 2))))
    with pytest.raises(ConfigError, match="is 1 numbers"):
        reaching(log, [1.0, 2.0])
    pictures = np.zeros((3, 8, 8, 1), np.uint8)
    log = dataclasses.replace(log, observation=pictures, next_observation=pictures)
    with pytest.raises(ConfigError, match="vector of numbers"):
        hindsight(TrainPart(log), tolerance=1.0)


def test_one_goal_divides_episodes_where_it_is_reached() -> None:
    """Twice in one episode, never in the other; a row without a next observation arrives nowhere."""
    log = walk((6, 3), gaps=(4,))
    log = dataclasses.replace(log, next_observation=np.array([[0], [9], [0], [0], [9], [9], [0], [0], [0.4]],
                              np.float32), truncated=np.isin(np.arange(9), (5, 8)))  # fmt: skip
    made = reaching(log, [9.3], tolerance=0.5)
    assert made.reward is not None
    assert np.flatnonzero(made.reward).tolist() == [1, 5]
    np.testing.assert_array_equal(made.terminated, made.reward)
    assert np.flatnonzero(made.truncated).tolist() == [8]
    assert made.episode_start.tolist() == [0, 2, 6, 9]


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), length=st.integers(1, 5), data=st.data(),
    discount=st.sampled_from([None, 0.7]), seed=st.integers(0, 3),
)  # fmt: skip
def test_a_goal_is_kept_for_a_piece_in_a_row(
    lengths: list[int], length: int, data: Any, discount: float | None, seed: int
) -> None:
    """Pieces go on row by row with one goal, no longer than asked; the goal lies ahead of their first row."""
    count = sum(lengths)
    gaps = tuple(data.draw(st.lists(st.integers(0, count - 1), max_size=count - 1, unique=True)))
    log = walk(tuple(lengths), gaps)
    part = hindsight(TrainPart(log), copies=2, later=0.8, discount=discount, length=length, seed=seed)
    made, (row, at) = part.dataset, goals(part)
    np.testing.assert_array_equal(np.bincount(row, minlength=count), 2 * log.has_next)
    starts, ends = made.episode_start[:-1], made.episode_start[1:] - 1
    np.testing.assert_array_equal(made.reward, at == row)
    np.testing.assert_array_equal(made.truncated | made.terminated, np.isin(np.arange(len(made)), ends))
    for first, last in zip(starts, ends, strict=True):
        assert last - first < length
        np.testing.assert_array_equal(row[first : last + 1], row[first] + np.arange(last - first + 1))
        assert len(set(at[first : last + 1])) == 1
        assert len(set(log.episode_index[row[first : last + 1]])) == 1
    went_on = np.append(False, (row[1:] == row[:-1] + 1) & (at[1:] == at[:-1]) & (at[:-1] == row[:-1]))
    heads = starts[~went_on[starts]]  # what follows an arrival keeps its goal, now behind it
    assert np.all(at[heads] >= row[heads])


def test_pieces_are_as_long_as_they_can_be_and_begin_anywhere() -> None:
    log = walk((40,))
    part = hindsight(TrainPart(log), copies=200, arriving=0.0, later=0.0, length=4)
    made, (row, _) = part.dataset, goals(part)
    lengths = np.diff(made.episode_start)
    inner = lengths[(row[made.episode_start[:-1]] > 4) & (row[made.episode_start[1:] - 1] < 35)]
    assert np.mean(inner == 4) > 0.8, "but for those that arrive"
    begun = np.bincount(row[made.episode_start[:-1]], minlength=40)
    assert begun[8:32].min() > 200 / 4 / 2
