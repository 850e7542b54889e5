"""The statistics against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.diagnosis import behaviour, dynamics, returns, support

amounts = st.lists(st.integers(-1000, 1000), min_size=2, max_size=40)


def test_a_coin_of_returns_has_known_spread() -> None:
    coin = np.array([1.0] * 3 + [0.0] * 7)
    assert returns.variation(coin) == pytest.approx(np.sqrt(0.7 / 0.3))
    assert returns.positive_variance(coin) == pytest.approx(0.3 * 0.7**2)
    assert returns.decile_lift(coin) == pytest.approx(0.7)
    assert returns.spread(coin) == pytest.approx(np.sqrt(0.21))
    assert returns.relative_improvement(coin) == pytest.approx(0.7 / 0.3)
    assert returns.relative_improvement(-coin) == pytest.approx(1), "the best is 0, the mean -0.3"


def test_equal_returns_have_no_spread_and_mean_zero_has_no_variation() -> None:
    same = np.full(5, 3.0)
    assert [returns.variation(same), returns.positive_variance(same), returns.spread(same)] == [0, 0, 0]
    assert returns.decile_lift(same) == 0
    assert returns.variation(np.array([-1.0, 1.0])) == float("inf")
    assert returns.relative_improvement(np.array([-1.0, 1.0])) == float("inf")
    assert returns.relative_improvement(same) == 0


@given(amounts, st.integers(1, 50), st.integers(-500, 500))
def test_spread_knows_neither_scale_nor_shift(values: list[int], scale: int, shift: int) -> None:
    one = np.array(values, float)
    for measure in (returns.positive_variance, returns.decile_lift, returns.spread):
        assert measure(scale * one + shift) == pytest.approx(measure(one), abs=1e-9)


@given(amounts)
def test_positive_variance_is_at_most_what_a_third_of_successes_gives(values: list[int]) -> None:
    assert 0 <= returns.positive_variance(np.array(values, float)) <= 4 / 27 + 1e-12


def test_reward_sparsity_is_the_share_of_the_commonest() -> None:
    assert returns.reward_sparsity(np.array([0, 0, 0, 1.0])) == 0.75


def test_a_cut_balance_is_worth_what_an_endless_one_is() -> None:
    reward, start = np.ones(100), np.array([0, 100])
    for cut in (1, 10, 100):
        value = returns.starting_values(reward[:cut], np.array([0, cut]), np.zeros(cut, bool), 0.99)
        assert value == pytest.approx([100.0])
    ended = np.arange(100) == 99
    assert returns.starting_values(reward, start, ended, 0.99) == pytest.approx([(1 - 0.99**100) / 0.01])


def test_a_cut_fragment_that_earned_nothing_goes_on_so() -> None:
    reward = np.array([1.0] + [0.0] * 19)
    assert returns.starting_values(reward, np.array([0, 20]), np.zeros(20, bool), 0.9) == pytest.approx([1.0])


def test_entropy_of_decided_and_of_uniform_actions() -> None:
    groups = np.repeat(np.arange(10), 400)
    decided = groups[:, None] % 4
    uniform = np.random.default_rng(0).integers(4, size=(4000, 1))
    assert behaviour.behaviour_entropy(decided, groups, 4) == 0
    assert behaviour.behaviour_entropy(uniform, groups, 4) == pytest.approx(1, abs=0.005)
    half = np.random.default_rng(0).integers(2, size=(4000, 1))
    assert behaviour.behaviour_entropy(half, groups, 4) == pytest.approx(0.5, abs=0.005)


def test_entropy_is_corrected_for_states_that_were_seen_rarely() -> None:
    """Four tosses of a coin show 0.54 nats on average, where there are 0.69."""
    groups, labels = np.repeat(np.arange(2000), 4), np.random.default_rng(0).integers(2, size=8000)
    assert behaviour.conditional_entropy(labels, groups, 2) > 0.58
    assert behaviour.conditional_entropy(labels, np.zeros(8000, int), 2) == pytest.approx(np.log(2), abs=1e-3)


def test_memory_of_actions() -> None:
    generator = np.random.default_rng(0)
    episode, groups = np.repeat(np.arange(40), 100), np.zeros(4000, int)
    fresh = generator.integers(4, size=(4000, 1))
    held = np.repeat(generator.integers(4, size=(40, 1)), 100, axis=0)
    assert behaviour.persistence(fresh, groups, episode, 4) < 0.005
    assert behaviour.persistence(held, groups, episode, 4) > 0.9
    across = np.arange(4000)[:, None] % 4
    assert behaviour.persistence(across, groups, np.arange(4000), 4) == 0  # no pair lies within an episode


def test_information_on_the_return() -> None:
    generator = np.random.default_rng(0)
    groups, action = np.repeat(np.arange(4), 1000), generator.integers(2, size=4000)
    told = behaviour.return_information(action, action.astype(float), groups, 2)
    assert told == pytest.approx(np.log(2), abs=0.005)
    assert behaviour.return_information(action, generator.random(4000), groups, 2) < 0.003


def test_information_by_chance_is_taken_off() -> None:
    """Eight visits to each of 500 states: what chance alone tells is a ninth of a nat."""
    generator = np.random.default_rng(0)
    groups, action = np.repeat(np.arange(500), 8), generator.integers(4, size=4000)
    assert behaviour.return_information(action, generator.random(4000), groups, 4) < 0.02


def test_information_is_what_the_state_does_not_tell_itself() -> None:
    groups = np.repeat(np.arange(2), 1000)
    assert behaviour.return_information(groups.copy(), groups.astype(float), groups, 2) == 0


@pytest.mark.parametrize(("kind", "double"), [("normal", 0.0), ("uniform", 0.0), ("two", 1.0)])
def test_clouds_of_actions(kind: str, double: float) -> None:
    generator = np.random.default_rng(0)
    action = {
        "normal": generator.standard_normal((1000, 2)),
        "uniform": generator.uniform(-1, 1, (1000, 2)),
        "two": generator.choice([-1.0, 1.0], (1000, 1)) * [1.0, 0.5]
        + 0.1 * generator.standard_normal((1000, 2)),
    }[kind]
    assert behaviour.action_modes(action, np.repeat(np.arange(4), 250)) == double


def test_two_choices_of_a_quarter_each_are_two_modes() -> None:
    action, groups = np.array([0, 1] * 20 + [2] * 38 + [3] * 2), np.repeat([0, 1], 40)
    assert behaviour.choice_modes(action, groups, 4) == 0.5


def test_action_bins_follow_bounds_or_what_is_observed() -> None:
    action = np.array([[-1.0], [0.0], [0.999], [1.0]])
    assert behaviour.action_bins(action)[:, 0].tolist() == [0, 4, 7, 7]
    wide = behaviour.action_bins(action, np.array([-2.0]), np.array([2.0]))
    assert wide[:, 0].tolist() == [2, 4, 5, 6]


def test_support_of_known_counts() -> None:
    assert support.seen_again(np.array([5, 5, 7, 8])) == 0.5
    assert support.effective_states(np.array([0, 0, 1, 1])) == pytest.approx(2)
    assert support.effective_states(np.zeros(9, int)) == pytest.approx(1)
    assert support.pairs_tried(np.array([5, 5, 5, 7]), np.array([0, 0, 2, 1]), 3) == 0.5


def test_junctions_need_two_episodes_and_two_actions() -> None:
    state = np.array([0, 0, 1, 1, 2, 2])
    action = np.array([0, 1, 0, 0, 0, 1])
    episode = np.array([0, 1, 0, 1, 0, 0])
    assert support.junction_rate(state, action, episode) == pytest.approx(1 / 3)


def test_starts_are_covered_where_three_episodes_pass() -> None:
    state, episode = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 0, 1])
    assert support.start_coverage(np.array([0, 1, -1, 0]), state, episode) == 0.5


def test_noise_of_a_coin_and_of_a_clock() -> None:
    pair, coin = np.zeros(4000, int), np.random.default_rng(0).integers(2, size=4000)
    assert dynamics.choice_noise(pair, coin) == pytest.approx(0.5, abs=0.005)
    assert dynamics.choice_noise(np.arange(10) % 5, np.arange(10) % 5) == 0
    assert dynamics.choice_noise(np.arange(5), np.arange(5)) == 0


def test_noise_of_a_linear_system_is_its_own_share() -> None:
    generator = np.random.default_rng(0)
    state, action = generator.standard_normal((8000, 1)), generator.standard_normal((8000, 1))
    moved, noise = 0.8 * state + 0.6 * action, generator.standard_normal((8000, 1))
    assert dynamics.neighbour_noise(state, action, moved) < 0.01
    assert dynamics.neighbour_noise(state, action, moved + noise) == pytest.approx(0.5, abs=0.06)
    assert dynamics.neighbour_noise(state, action, 0 * moved) == 0


def test_what_a_start_foretells_is_taken_off() -> None:
    """A quadratic of the start is foretold, a coin is not; whatever the scale and the shift."""
    generator = np.random.default_rng(0)
    start, coin = 3 * generator.standard_normal((200, 4)), generator.choice([-1.0, 1.0], 200)
    cost = np.square(start).sum(1)
    assert returns.beyond_start(start, 10 * cost + 5).std() < 0.05 * 10 * cost.std()
    assert returns.beyond_start(start, coin) == pytest.approx(coin - coin.mean())
    both = returns.beyond_start(start, cost + coin)
    assert np.corrcoef(both, coin)[0, 1] > 0.95
    many_starts = 3 * generator.standard_normal((1_500, 4))  # more than are fitted
    assert returns.beyond_start(many_starts, np.square(many_starts).sum(1)).std() < 1


def test_of_few_or_equal_starts_nothing_is_foretold() -> None:
    value = np.arange(4.0)
    assert returns.beyond_start(value[:, None], value).tolist() == (value - 1.5).tolist()
    same = np.ones((30, 2))
    assert returns.beyond_start(same, np.arange(30.0)).tolist() == (np.arange(30) - 14.5).tolist()


def test_what_moves_with_the_state_in_its_cell_is_decided() -> None:
    """A linear controller seen through one coarse cell; beside it a coin, which no trend explains."""
    generator = np.random.default_rng(0)
    state, cell = generator.standard_normal((4000, 3)), generator.integers(5, size=4000)
    coin = generator.choice([-1.0, 1.0], (4000, 1))
    action = np.concatenate([state @ np.array([[0.5], [-0.2], [0.1]]), coin], axis=1)
    rest = behaviour.without_trend(action, state, cell)
    assert rest[:, 0].std() < 0.02
    assert np.abs(rest[:, 1] - coin[:, 0]).max() < 0.3
    bins = [behaviour.action_bins(one, action.min(0), action.max(0)) for one in (action, rest)]
    before, after = ([behaviour.behaviour_entropy(one[:, [k]], cell, 8) for k in (0, 1)] for one in bins)
    assert before[0] > 0.7
    assert after[0] < 0.1
    assert after[1] == pytest.approx(before[1], abs=0.05)


def test_the_radius_of_actions_is_their_spread_in_a_state() -> None:
    """Cells of ten rows: noise of 0.3 about a mean of its own in each, whose spread is 1."""
    generator = np.random.default_rng(0)
    cell = np.repeat(np.arange(400), 10)
    action = generator.standard_normal((400, 2))[cell] + 0.3 * generator.standard_normal((4000, 2))
    assert behaviour.action_radius(action, action, cell) == pytest.approx(0.3 / np.sqrt(1.09), rel=0.05)
    alike = generator.standard_normal((4000, 2))
    assert behaviour.action_radius(alike, alike, cell) == pytest.approx(1, abs=0.03)
    assert behaviour.action_radius(np.ones((9, 1)), np.ones((9, 1)), np.arange(9)) == 0


@pytest.mark.parametrize("rows", [3, 9, 40])
def test_a_trend_is_not_seen_in_few_rows_of_many_dimensions(rows: int) -> None:
    """Twenty columns pass through nine points exactly; left out one at a time they foretell nothing."""
    generator = np.random.default_rng(0)
    cell = np.repeat(np.arange(40), rows)
    action = generator.standard_normal((40 * rows, 1))
    rest = behaviour.without_trend(action, generator.standard_normal((40 * rows, 20)), cell)
    assert rest.std() > 0.9 * action.std()
