"""Finite problems against known answers: the canonical problem's fixed points, and D5's self-loop."""

import numpy as np
import pytest

from suture.envs import tabular
from suture.errors import ConfigError
from suture.evaluation.rollout import rollout


def test_canonical_behaviour_value() -> None:
    _, value, start = tabular.evaluate(tabular.canonical(), tabular.canonical_behaviour())
    np.testing.assert_allclose(value, [0.88068, 0.84676, 0.87560, 0.92671], atol=1e-5)
    assert start == pytest.approx(0.88068, abs=1e-5)


def test_canonical_optimum_and_in_support_optimum() -> None:
    mdp, behaviour = tabular.canonical(), tabular.canonical_behaviour()
    assert tabular.optimal(mdp)[2] == pytest.approx(11.10809, abs=1e-5)
    _, greedy, start = tabular.optimal(mdp, allowed=behaviour > 0)
    assert greedy.tolist() == [1, 0, 0, 2]
    assert start == pytest.approx(5.84339, abs=1e-5)


def test_one_step_greedy_on_the_behaviours_values() -> None:
    mdp, behaviour = tabular.canonical(), tabular.canonical_behaviour()
    quality = np.where(behaviour > 0, tabular.evaluate(mdp, behaviour)[0], -np.inf)
    assert tabular.evaluate(mdp, np.eye(3)[quality.argmax(axis=1)])[2] == pytest.approx(4.5, abs=1e-9)


def test_self_loop_is_worth_100_and_what_a_mistaken_time_limit_makes_of_it() -> None:
    """D5."""
    assert tabular.evaluate(tabular.self_loop(), np.ones((1, 1)))[2] == pytest.approx(100.0)
    from_start, temporal_difference = tabular.self_loop_mistaken(100)
    assert from_start == pytest.approx(63.397, abs=1e-3)
    assert temporal_difference == pytest.approx(50.251, abs=1e-3)


def test_self_loop_log_says_done_at_one_length_only() -> None:
    """D5: the log that the gate must read as cut by a time limit."""
    log = tabular.sample_log(
        tabular.self_loop(), np.ones((1, 1)), episodes=5, horizon=20, seed=0, ends="done"
    )
    assert log.terminal is None
    assert log.timeout is None
    assert log.done is not None
    assert np.flatnonzero(log.done).tolist() == [19, 39, 59, 79, 99]


def test_sampled_log_follows_the_problem_and_the_behaviour_policy() -> None:
    mdp, behaviour = tabular.canonical(), tabular.canonical_behaviour()
    log = tabular.sample_log(mdp, behaviour, episodes=400, horizon=50, seed=1)
    assert not isinstance(log.observation, dict)
    assert not isinstance(log.next_observation, dict)
    assert log.next_observation is not None
    assert log.timeout is not None
    assert log.reward is not None
    assert log.episode is not None
    state, following = log.observation.argmax(axis=1), log.next_observation.argmax(axis=1)
    counts = np.zeros((4, 3, 4))
    np.add.at(counts, (state, log.action, following), 1)
    visits = counts.sum(axis=2)
    np.testing.assert_allclose(visits / visits.sum(axis=1, keepdims=True), behaviour, atol=0.03)
    seen = visits > 0
    assert not seen[1, 2]
    np.testing.assert_allclose((counts[seen].T / visits[seen]).T, mdp.transition[seen], atol=0.05)
    np.testing.assert_allclose(log.reward, mdp.reward[state, log.action], atol=1e-6)
    inner = ~log.timeout[:-1]
    np.testing.assert_array_equal(following[:-1][inner], state[1:][inner])
    np.testing.assert_array_equal(np.diff(log.episode)[inner], 0)
    np.testing.assert_array_equal(log.propensity, behaviour[state, log.action])


def test_what_a_row_of_probabilities_lacks_ends_the_episode() -> None:
    mdp = tabular.TabularMDP(np.full((1, 1, 1), 0.75), np.ones((1, 1)), 0.5, np.ones(1))
    assert tabular.evaluate(mdp, np.ones((1, 1)))[2] == pytest.approx(1 / (1 - 0.5 * 0.75))
    log = tabular.sample_log(mdp, np.ones((1, 1)), episodes=2000, horizon=40, seed=0)
    assert log.terminal is not None
    assert log.terminal.mean() == pytest.approx(0.25, abs=0.02)
    assert log.episode is not None
    assert log.terminal.sum() == 2000
    np.testing.assert_array_equal(np.flatnonzero(np.diff(log.episode)), np.flatnonzero(log.terminal)[:-1])


def test_rollout_of_the_canonical_problem_earns_what_the_model_says() -> None:
    best = np.array([1, 0, 0, 2])
    evaluation = rollout(
        lambda o: best[o.argmax(axis=-1)], "suture/Canonical-v0", episodes=60, seed=0, environments=60
    )
    policy = np.eye(3)[best]
    mdp = tabular.canonical()
    through = np.einsum("sa,sat->st", policy, mdp.transition)
    expected = sum(
        (mdp.start @ np.linalg.matrix_power(through, t)) @ (policy * mdp.reward).sum(axis=1)
        for t in range(100)
    )
    assert abs(evaluation.mean[0] - expected) < 4 * evaluation.standard_error[0]
    assert np.all(evaluation.lengths == 100)


def test_problems_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="asks for transition"):
        tabular.TabularMDP(np.ones((1, 2, 1)), np.ones((1, 1)), 0.9, np.ones(1))
    with pytest.raises(ConfigError, match=r"largest sum 1\.5"):
        tabular.TabularMDP(np.full((1, 1, 1), 1.5), np.ones((1, 1)), 0.9, np.ones(1))
