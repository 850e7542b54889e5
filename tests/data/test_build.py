"""The gate: what a known dataset becomes in each layout, and every decision that needs evidence."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making.logs import built, changed, ids, walk_log

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.log import Log
from suture.data.summary import summarise
from suture.errors import ConfigError, DataRefused

some_lengths = st.lists(st.integers(1, 7), min_size=2, max_size=6).map(tuple)


def _flags(log: Log) -> Log:
    return log


def _labels_and_final_states(log: Log) -> Log:
    """Episode labels, and a row for the state after each last action; other columns are empty there."""
    ends = np.flatnonzero(log.terminal)
    at = ends + 1
    count = np.diff(np.concatenate([[-1], ends]))
    final = np.zeros(len(log.action) + len(ends), bool)
    final[at + np.arange(len(ends))] = True
    return changed(
        log,
        observation=np.insert(np.array(log.observation), at, np.array(log.next_observation)[ends], axis=0),
        action=np.insert(np.array(log.action), at, np.nan, axis=0),
        reward=np.insert(np.array(log.reward), at, np.nan),
        terminal=np.insert(np.array(log.terminal), at, False), next_observation=None, final_state=final,
        episode=np.repeat([f"e{n}" for n in range(len(ends))], count + 1),
    )  # fmt: skip


def _one_state_more(log: Log) -> Log:
    """T + 1 observations of T actions, end to end."""
    longer = _labels_and_final_states(log)
    return changed(log, observation=longer.observation, next_observation=None)


def _flag_on_the_final_state(log: Log) -> Log:
    """OGBench's way: the flag stands on the row that holds only a state."""
    longer = _labels_and_final_states(log)
    return changed(longer, terminal=longer.final_state, episode=None)


LAYOUTS = [_flags, _labels_and_final_states, _one_state_more, _flag_on_the_final_state]


@settings(max_examples=20, deadline=None)
@given(some_lengths, st.integers(0, 5), st.sampled_from(LAYOUTS))
def test_every_layout_gives_the_same_dataset(lengths: tuple[int, ...], seed: int, layout: Any) -> None:
    log = walk_log(lengths, seed=seed)
    _same(built(layout(log)), built(log))
    assert built(log).lengths.tolist() == list(lengths)


@settings(max_examples=20, deadline=None)
@given(some_lengths, st.integers(0, 5))
def test_without_next_observations_only_the_last_is_missing(lengths: tuple[int, ...], seed: int) -> None:
    log = walk_log(lengths, seed=seed)
    full, data = built(log), built(changed(log, next_observation=None))
    last = data.episode_start[1:] - 1
    assert np.flatnonzero(~data.has_next).tolist() == last.tolist()
    known = np.asarray(data.next_observation)[data.has_next]
    np.testing.assert_array_equal(known, np.asarray(full.next_observation)[data.has_next])
    np.testing.assert_array_equal(np.asarray(data.next_observation)[last], np.asarray(data.observation)[last])
    assert data.bootstrappable.all()


@settings(max_examples=20, deadline=None)
@given(some_lengths, st.randoms(use_true_random=False))
def test_taking_all_episodes_in_another_order_and_back(lengths: tuple[int, ...], random: Any) -> None:
    data = built(walk_log(lengths))
    order = list(range(len(lengths)))
    random.shuffle(order)
    there = data.take_episodes(np.array(order))
    assert there.lengths.tolist() == [lengths[n] for n in order]
    _same(there.take_episodes(np.argsort(order)), data)


def _same(one: Dataset, two: Dataset) -> None:
    others = dict(two.arrays())
    for name, array in one.arrays():
        np.testing.assert_array_equal(array, others[name], err_msg=name)
    assert one.fingerprint == two.fingerprint


def test_done_alone_at_one_length_is_a_time_limit() -> None:
    log = walk_log((6,) * 5)
    log = changed(log, terminal=None, done=log.terminal)
    data = built(log)
    assert (data.truncated.sum(), data.terminated.sum()) == (5, 0)
    assert "ambiguous-done" in ids(data, "warning")
    overridden = built(log, ends="termination")
    assert (overridden.truncated.sum(), overridden.terminated.sum()) == (0, 5)


def test_done_alone_at_differing_lengths_is_termination() -> None:
    log = walk_log((6, 4, 9))
    log = changed(log, terminal=None, done=log.terminal)
    assert built(log).terminated.sum() == 3
    assert built(log, ends="time-limit").truncated.sum() == 3


def test_done_with_next_observations_of_the_next_episode_is_a_time_limit() -> None:
    log = walk_log((9, 7, 8, 6))
    following = np.array(log.next_observation)
    following[[8, 15, 23]] = np.array(log.observation)[[9, 16, 24]]
    data = built(changed(log, terminal=None, done=log.terminal, next_observation=following))
    assert data.truncated.sum() == 4


def test_a_boundary_gives_no_reason() -> None:
    log = walk_log((6, 4))
    log = changed(log, terminal=None, boundary=log.terminal, next_observation=None)
    data = built(log)
    assert not (data.terminated | data.truncated).any()
    assert np.flatnonzero(~data.has_next).tolist() == [5, 9]
    assert {"unfinished-episodes", "missing-next-observations"} <= ids(data, "info")
    assert built(log, ends="termination").terminated.sum() == 2
    assert built(log, ends="time-limit").truncated.sum() == 2


def test_next_observations_are_missed_where_something_is_lost() -> None:
    """Of the ends at rows 5 and 9 the first terminates: nothing follows it."""
    log = changed(walk_log((6, 4)), next_observation=None)
    for ends, rows, said in (([5], (9,), "nor have 1 that terminated"), ([5, 9], (5, 9), "nothing follows")):
        terminal = np.isin(np.arange(10), ends)
        data = built(changed(log, terminal=terminal, episode=np.repeat([0, 1], [6, 4])))
        (missing,) = (finding for finding in data.findings if finding.id == "missing-next-observations")
        assert (missing.severity, missing.rows) == ("info", rows)
        assert said in missing.message
        assert summarise(data)["missing_next_observations"] == 2


def test_one_decision_episodes_are_a_bandit() -> None:
    log = changed(walk_log((1,) * 6), terminal=None, episode=np.arange(6), next_observation=None)
    assert built(log).terminated.all()
    assert "one-step-episodes" in ids(built(log))
    assert built(log, ends="time-limit").truncated.all()


def test_a_last_episode_without_a_flag_is_unfinished() -> None:
    log = walk_log((5, 4))
    terminal = np.array(log.terminal)
    terminal[-1] = False
    data = built(changed(log, terminal=terminal))
    assert data.episodes == 2
    assert np.flatnonzero(data.terminated).tolist() == [4]


def test_nan_at_an_end_marks_a_missing_next_observation() -> None:
    log = walk_log((5, 4))
    following = np.array(log.next_observation)
    following[4] = np.nan
    data = built(changed(log, next_observation=following))
    assert np.flatnonzero(~data.has_next).tolist() == [4]
    assert not data.errors


def test_lengths_that_differ_are_refused() -> None:
    log = walk_log((5, 4))
    for name in ("reward", "terminal", "next_observation"):
        short = changed(log, **{name: np.array(getattr(log, name))[:-1]})
        with pytest.raises(DataRefused, match=f"action has 9 rows, {name} 8"):
            built(short)
    with pytest.raises(DataRefused, match="observation 12"):
        built(changed(log, observation=np.zeros((12, 3)), next_observation=None))


def test_resumed_episodes_are_refused() -> None:
    log = changed(walk_log((9,)), terminal=None, episode=np.repeat([1, 2, 1], 3), next_observation=None)
    assert "interleaved-episodes" in ids(built(log), "error")


def test_integer_actions_are_choices() -> None:
    log = changed(walk_log(), action_space=None)
    for action in (np.arange(15) % 3, (np.arange(15) % 3).astype(float)[:, None], np.arange(15) % 3 > 0):
        data = built(changed(log, action=action))
        assert data.action_space == spaces.Discrete(int(action.max()) + 1)
        assert (data.action.dtype, data.action.shape) == (np.int32, (15,))
    amounts = built(changed(log, action=(np.arange(15) % 3).astype(float)), discrete=False)
    assert amounts.action.shape == (15, 1)
    with pytest.raises(DataRefused, match="discrete=True"):
        built(log, discrete=True)


def test_labels_must_count_from_zero() -> None:
    log = changed(walk_log(), action_space=None)
    for action, asked in ((np.arange(15) % 3 + 1, True), (np.arange(15) % 3 * 2, False)):
        (never,) = (f for f in built(changed(log, action=action)).findings if f.id == "choices-never-taken")
        assert never.severity == "warning"
        assert ("are yours numbered from 1?" in never.message) is asked
    assert "labels" in ids(built(changed(log, action=np.arange(15) % 3 - 1)), "error")
    with pytest.raises(DataRefused, match="Relabel"):
        built(changed(log, action=np.arange(15) * 100_000))


@pytest.mark.parametrize(("scale", "bounds"), [(0.999, (-1, 1)), (2.995, (-3, 3)), (0.5, None), (1.37, None)])
def test_bounds_are_read_from_the_range_of_actions(scale: float, bounds: tuple[int, int] | None) -> None:
    action = scale * np.random.default_rng(0).uniform(-0.6, 0.6, (900, 2)) ** 3
    action[:2] = [[-scale, -scale], [scale, scale]]
    log = changed(walk_log((900,)), action=action, action_space=None)
    data = built(log)
    assert isinstance(data.action_space, spaces.Box)
    found = (data.action_space.low, data.action_space.high)
    if bounds is None:
        assert found == (tuple(map(float, data.action.min(0))), tuple(map(float, data.action.max(0))))
    else:
        assert found == ((bounds[0],) * 2, (bounds[1],) * 2)
    assert ("action-bounds" in ids(data, "warning")) == (scale == 1.37)


def test_a_dimension_that_is_little_used_shares_the_unit_bounds() -> None:
    action = np.random.default_rng(0).uniform(-1, 1, (900, 2)) * [0.999, 0.2]
    action[0, 0] = 0.999
    data = built(changed(walk_log((900,)), action=action, action_space=None))
    assert isinstance(data.action_space, spaces.Box)
    assert (data.action_space.low, data.action_space.high) == ((-1.0, -1.0), (1.0, 1.0))


def test_a_next_observation_that_stands_in_for_a_missing_one_is_not_judged() -> None:
    observation = np.ones((3, 1)) * [[1], [np.nan], [2]]
    log = changed(walk_log((1, 1, 1)), observation=observation, next_observation=None)
    assert [f.count for f in built(log).findings if f.id == "non-finite"] == [1]


def test_images_choices_and_dicts_pass() -> None:
    rng = np.random.default_rng(0)
    tree: dict[str, Any] = {
        "camera": rng.integers(0, 255, (15, 6, 6, 3)).astype(np.uint8),
        "arm": {"joint": rng.normal(size=(15, 2)), "load": rng.normal(size=15)},
        "gear": np.arange(15) % 4,
    }
    space = spaces.Dict.of({
        "camera": spaces.Box((6, 6, 3), "uint8"), "gear": spaces.Discrete(4),
        "arm": spaces.Dict.of({"joint": spaces.Box((2,)), "load": spaces.Box(())}),
    })  # fmt: skip
    log = changed(walk_log(), observation=tree, next_observation=None, observation_space=space)
    data = built(log)
    assert isinstance(data.observation, dict)
    assert data.observation["camera"] is tree["camera"]
    assert data.observation["arm"]["load"].shape == (15, 1)
    assert (data.observation["gear"].dtype, data.observation["gear"].tolist()) == (
        np.int32,
        list(tree["gear"]),
    )
    assert spaces.leaves_of(data.observation_space)["gear"] == spaces.Discrete(4)
    after = spaces.map_arrays(lambda a: np.concatenate([a[1:], a[:1]]), tree)
    given = built(changed(log, next_observation=after))
    inside = np.flatnonzero(data.has_next)
    for path, array in spaces.arrays_of(given.next_observation).items():
        np.testing.assert_array_equal(array[inside], spaces.arrays_of(data.next_observation)[path][inside])


def test_further_columns_follow_their_rows() -> None:
    log = _labels_and_final_states(walk_log((3, 2)))
    data = built(changed(log, columns={"hour": np.arange(7)}))
    assert data.columns["hour"].tolist() == [0, 1, 2, 4, 5]


def test_a_log_without_rewards_is_named() -> None:
    data = built(changed(walk_log(), reward=None))
    assert data.reward is None
    assert data.returns is None
    assert "no-rewards" in ids(data, "info")


def test_the_file_s_arrays_are_never_written() -> None:
    log = walk_log((6, 4))
    following = np.array(log.next_observation)
    following[5] = np.nan
    log = changed(log, next_observation=following)
    before = {f.name: getattr(log, f.name) for f in dataclasses.fields(log)}
    for value in before.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    built(log, ends="time-limit")


@pytest.mark.parametrize("reading", [{"episode_length": 0}, {"action_bounds": (1.0, 1.0)}])
def test_an_impossible_reading_is_refused(reading: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        built(walk_log(), **reading)


def test_findings_come_gravest_first() -> None:
    log = walk_log((40,) * 12)
    action = np.array(log.action)
    action[3] = 9
    gravity = [f.severity for f in built(changed(log, action=action, reward=None)).findings]
    assert gravity == sorted(gravity, key=["error", "warning", "info"].index)
    assert gravity[0] == "error"


def test_a_dataset_is_shown_in_one_line() -> None:
    data = built(walk_log((5, 4)))
    assert repr(data) == (
        "Dataset(walk: 9 transitions in 2 episodes, observation box[3] float32, "
        f"action box[2] float32 in [-1, 1], fingerprint {data.fingerprint[:12]})"
    )


def test_the_fingerprint_of_much_data_is_not_computed_to_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suture.data.dataset.READ_AT_ONCE", 10)
    data = built(walk_log((5, 4)))
    assert "fingerprint" not in repr(data)
    assert data.fingerprint[:12] in repr(data), "it is known now"
