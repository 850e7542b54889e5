"""The five steps as a finite problem: certificates, exact answers, and what stitching gives by overlap."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.envs.composite.certificate import STEPS, never_shown, stitched
from suture.envs.composite.twin import SETS, Twin, front
from suture.envs.finite import optimal
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
    }  # fmt: skip


def test_no_episode_shows_more_than_its_part_and_all_together_hold_the_whole() -> None:
    log = columns(TWIN, episodes=400)
    scan = never_shown(log["episode"], log["before"], log["after"], log["reward"])
    assert scan.holds
    assert scan.longest == 2, "the task's own episodes show the last two steps"
    assert log["reward"].sum() > 20
    path = stitched(log["episode"], log["here"], log["there"], TWIN.state(np.arange(4), 0), log["reward"])
    assert path.holds
    assert path.length >= len(STEPS) * TWIN.length


@pytest.mark.parametrize("missing", ["A", "B", "C", "task"])
def test_without_one_set_there_is_no_path(missing: str) -> None:
    sets = tuple(name for name in SETS if name != missing)
    log = columns(TWIN, episodes=300, sets=sets)
    path = stitched(log["episode"], log["here"], log["there"], TWIN.state(np.arange(4), 0), log["reward"])
    assert path.episodes == ()
    assert not path.holds


@pytest.mark.parametrize(
    ("stages", "reward", "expected"),
    [
        ([(0, 1), (1, 2), (2, 3)], 0.0, {"longest": 3, "apart": 0, "early": 0}),
        ([(0, 1), (1, 0), (3, 4)], 0.0, {"longest": 2, "apart": 1, "early": 0}),
        ([(2, 3), (3, 4), (4, 5)], 1.0, {"longest": 3, "apart": 0, "early": 1}),
        ([(4, 5)], 1.0, {"longest": 1, "apart": 0, "early": 0}),
        ([(0, 2)], 0.0, {"longest": 2, "apart": 0, "early": 0}),
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
