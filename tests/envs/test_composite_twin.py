"""The five steps as a finite problem: certificates, exact answers, and what stitching gives by overlap."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.data.returns import returns_to_go
from suture.envs.composite.certificate import STEPS, Stitched, never_shown, stitched
from suture.envs.composite.twin import SETS, Twin, front
from suture.envs.finite import TabularMDP, optimal
from suture.errors import ConfigError

TWIN = Twin(contexts=4, length=3)


def columns(twin: Twin, **options: object) -> dict[str, np.ndarray]:
    """A log's episodes, states and stages; the end is the state after the last."""
    log = twin.log(**options)  # type: ignore[arg-type]
    here, there = (
        np.where(seen.any(1), seen.argmax(1), twin.states)
        for seen in (np.asarray(log.observation), np.asarray(log.next_observation))
    )
    return {
        "episode": np.asarray(log.episode), "here": here, "there": there, "reward": np.asarray(log.reward),
        "action": np.asarray(log.action),
        "before": twin.stage(here), "after": twin.stage(there),
        "start": (np.diff(np.asarray(log.episode), prepend=-1) > 0) & (twin.stage(here) == 0),
    }  # fmt: skip


def joined(log: dict[str, np.ndarray]) -> Stitched:
    return stitched(*(log[name] for name in ("episode", "here", "there", "start", "reward")))


def test_no_episode_shows_more_than_its_part_and_all_together_hold_the_whole() -> None:
    log = columns(TWIN, episodes=400)
    scan = never_shown(log["episode"], log["before"], log["after"], log["reward"])
    assert scan.holds
    assert scan.longest == 2, "the task's own episodes show the last two steps"
    assert log["reward"].sum() > 20
    path = joined(log)
    assert path.holds
    assert path.length >= len(STEPS) * TWIN.length
    assert path.joins == 3, "each set once"
    assert path.starts == 100
    assert path.share > 0.95


@pytest.mark.parametrize("missing", ["A", "B", "C", "task"])
def test_without_one_set_there_is_no_path(missing: str) -> None:
    sets = tuple(name for name in SETS if name != missing)
    log = columns(TWIN, episodes=300, sets=sets)
    path = joined(log)
    assert path.episodes == ()
    assert path.share == 0
    assert not path.holds


def test_the_share_of_starts_with_a_path_is_the_overlap() -> None:
    log = columns(TWIN, episodes=800, overlap=0.5)
    context = log["here"][log["start"]] // (len(STEPS) * TWIN.length)
    assert joined(log).share == (context < 2).mean()


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25])
def test_a_log_shows_set_b_where_it_is_recorded_and_nowhere_else(overlap: float) -> None:
    """At 0, and at what is less than half a context, nowhere."""
    log, recorded = columns(TWIN, episodes=200, overlap=overlap), TWIN.support(overlap).all(axis=1)
    shown = np.isin(np.arange(TWIN.states), log["here"][log["before"] == SETS["B"]])
    assert not (shown & ~recorded).any()
    assert shown.any() == (overlap == 0.25)


@pytest.mark.parametrize(
    ("rows", "length", "episodes"),
    [
        ([(0, 0, 1), (0, 1, 2), (1, 2, 9)], 3, (0, 1)),
        ([(0, 0, 1), (0, 1, 2), (0, 2, 1), (1, 1, 9)], 2, (0, 1)),
        ([(0, 0, 1), (1, 1, 2), (2, 2, 3), (3, 1, 2), (3, 2, 4), (3, 4, 9)], 4, (0, 3)),
        ([(0, 0, 1), (0, 1, 3), (1, 2, 9)], 0, ()),
        ([(0, 0, 1), (0, 5, 2), (1, 2, 9)], 0, ()),
        ([(0, 0, 1), (0, 1, -1), (1, 2, 2)], 0, ()),
        ([(0, 0, 5), (1, 1, 2), (1, 2, 5), (1, 5, 1), (2, 2, 9)], 0, ()),
    ],
    ids=["joined", "soonest", "fewest", "no cell in common", "torn", "nothing follows", "joins itself"],
)
def test_paths_by_hand(rows: list[tuple[int, int, int]], length: int, episodes: tuple[int, ...]) -> None:
    """(episode, cell before, cell after), from the first row, a start, to the last, which is rewarded.

    A path stays in its episode, or joins another one at a cell of both.
    """
    episode, here, there = map(np.array, zip(*rows, strict=True))
    number = np.arange(len(rows))
    found = stitched(episode, here, there, number == 0, (number == number[-1]) * 1.0)
    assert (found.length, found.joins, found.episodes) == (length, max(0, len(episodes) - 1), episodes)
    assert found.share == bool(episodes)


@pytest.mark.parametrize(
    ("stages", "reward", "expected"),
    [
        ([(0, 1), (1, 2), (2, 3)], 0.0, {"longest": 3, "apart": 0, "early": 0, "holds": False}),
        ([(0, 1), (1, 0), (2, 3)], 0.0, {"longest": 2, "apart": 1, "early": 0, "holds": False}),
        ([(2, 3), (3, 4)], 1.0, {"longest": 2, "apart": 0, "early": 1, "holds": False}),
        ([(3, 4), (4, 5)], 1.0, {"longest": 2, "apart": 0, "early": 0, "holds": True}),
        ([(0, 2)], 0.0, {"longest": 2, "apart": 0, "early": 0, "holds": True}),
    ],
)
def test_the_scan_finds_what_leaks(
    stages: list[tuple[int, int]], reward: float, expected: dict[str, int]
) -> None:
    """By hand, behind an episode that is as it should be."""
    before, after = (np.array([2, *column]) for column in zip(*stages, strict=True))
    episode, rewards = np.r_[0, np.ones(len(stages), int)], np.zeros(len(stages) + 1)
    rewards[-1] = reward
    scan = never_shown(episode, before, np.r_[3, after[1:]], rewards)
    assert scan.episodes == 2
    assert {name: getattr(scan, name) for name in expected} == expected


def test_a_path_through_three_episodes_is_no_proof() -> None:
    """Three that are joined twice over are three still."""
    assert not Stitched(starts=1, share=1.0, length=9, joins=3, episodes=(7, 2, 5)).holds
    assert Stitched(starts=1, share=1.0, length=4, joins=3, episodes=(7, 2, 5, 0)).holds


def test_a_step_that_is_another_set_s_is_a_leak() -> None:
    """By hand: C shows its own step; noise shows it twice and A opens the drawer."""
    episode, before = np.array([0, 1, 2, 3, 3]), np.array([2, 2, 2, 0, 1])
    sets = np.array(["C", "noise", "noise", "A", "A"])
    scan = never_shown(episode, before, before + 1, np.zeros(5), sets)
    assert scan.leaks == {"noise: take the key": 2, "A: open the drawer": 1}
    assert not scan.holds
    assert never_shown(episode[:1], before[:1], before[:1] + 1, np.zeros(1), sets[:1]).holds


def test_a_step_that_is_done_anew_behind_the_stage_is_told() -> None:
    """By hand: an episode of the task unlocks, takes up the key again, and leaves."""
    episode, before, after = np.array([0, 0, 0]), np.array([3, 4, 4]), np.array([4, 4, 5])
    finished = np.zeros((3, len(STEPS)), bool)
    finished[[0, 1, 2], [3, 2, 4]] = True
    scan = never_shown(episode, before, after, np.array([0, 0, 1]), np.array(["task"] * 3), finished)
    assert scan.redone == {"task: take the key": 1}
    assert scan.holds
    assert not scan.leaks


def test_the_best_policy_does_the_steps_in_their_order() -> None:
    mdp = TWIN.mdp()
    _, best, value = optimal(mdp)
    np.testing.assert_array_equal(best, TWIN.stage(np.arange(TWIN.states)))
    step = (1 - TWIN.slip) * TWIN.discount / (1 - TWIN.slip * TWIN.discount)
    assert value == pytest.approx(step ** (len(STEPS) * TWIN.length) / TWIN.discount)


@given(overlap=st.integers(0, 4))
def test_value_is_carried_back_where_the_sets_overlap_and_nowhere_else(overlap: int) -> None:
    """Exactly: upstream of the gap 0, downstream as if there were none."""
    values, whole = (TWIN.boundary_values(share / 4) for share in (overlap, 4))
    np.testing.assert_allclose(values[2:], whole[2:], atol=1e-9)
    np.testing.assert_allclose(values[:2, :overlap], whole[:2, :overlap], atol=1e-9)
    np.testing.assert_array_equal(values[1, overlap:], 0.0)
    np.testing.assert_array_equal(values[0, overlap:], 0.0)


def planned(twin: Twin, here: np.ndarray, action: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The best values (S,) of the problem that transitions show, by counting; 0 where nothing is shown."""
    counts = np.zeros((twin.states, len(STEPS), twin.states + 1))
    np.add.at(counts, (here, action, there), 1)
    seen = counts.sum(2, keepdims=True)
    shares = counts / np.maximum(seen, 1)
    shown = TabularMDP(shares[..., :-1], shares[..., -1], twin.discount, np.eye(twin.states)[0])
    return optimal(shown)[0].max(1)


def test_a_shuffled_joint_leaves_nothing_upstream_and_all_downstream() -> None:
    """What follows the end of step 2 becomes another start of step 2; every other row stays."""
    log = columns(TWIN, episodes=800)
    here, action, there = log["here"], log["action"], log["there"]
    joint = (log["before"] == SETS["B"]) & (log["after"] == SETS["B"] + 1)
    context = np.random.default_rng(0).integers(TWIN.contexts, size=int(joint.sum()))
    broken = there.copy()
    broken[joint] = TWIN.state(context, SETS["B"])
    whole, value = planned(TWIN, here, action, there), planned(TWIN, here, action, broken)
    upstream = TWIN.stage(np.arange(TWIN.states)) <= SETS["B"]
    assert (whole > 0.1).all(), "all of it leads to the reward when it is joined"
    np.testing.assert_array_equal(value[upstream], 0.0)
    np.testing.assert_allclose(value[~upstream], whole[~upstream], rtol=1e-12)


def test_returns_as_they_were_recorded_are_nothing_upstream() -> None:
    """Monte-Carlo targets see what an episode itself reached: the task's own episodes, and no other."""
    log = columns(TWIN, episodes=800)
    first = np.r_[np.flatnonzero(np.diff(log["episode"], prepend=-1)), len(log["here"])]
    returns = returns_to_go(log["reward"], first, TWIN.discount)
    task = np.repeat(log["before"][first[:-1]] == SETS["task"], np.diff(first))
    np.testing.assert_array_equal(returns[~task], 0.0)
    assert (returns[task].reshape(-1) > 0).mean() > 0.5
    assert set(log["before"][task].tolist()) == {3, 4}


def test_the_front_of_value_passes_the_stages_from_the_last_to_the_first() -> None:
    values = front(TWIN, 80)
    came = (values > 0.5 * values[-1]).argmax(0)
    assert list(came) == sorted(came, reverse=True)
    assert len(set(came.tolist())) == len(STEPS)
    assert came[-1] >= TWIN.length, "reward travels one state a sweep"


def test_the_log_follows_the_problem_s_own_probabilities() -> None:
    """Counted transitions of every pair, against the table."""
    twin = dataclasses.replace(TWIN, contexts=1)
    log = columns(twin, episodes=1_600, noise=0.5)
    counts = np.zeros((twin.states, len(STEPS), twin.states + 1))
    np.add.at(counts, (log["here"], log["action"], log["there"]), 1)
    seen = counts.sum(2)
    table = twin.mdp().transition
    table = np.concatenate([table, 1 - table.sum(2, keepdims=True)], axis=2)
    often = seen > 100
    assert often.mean() > 0.5
    error = np.abs(counts[often] / seen[often][:, None] - table[often])
    assert error.max() < 5 * np.sqrt(0.1 * 0.9 / 100)


def test_settings_that_make_no_problem_are_refused() -> None:
    with pytest.raises(ConfigError, match="0 <= slip < 1"):
        Twin(slip=1.0)
