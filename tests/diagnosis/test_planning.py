"""Plans on the empirical model against the exact answers of the canonical problem, and on small graphs."""

import numpy as np
import pytest

from suture.diagnosis.cells import Cells
from suture.diagnosis.planning import greedy, model_of, optimum, pair_values, policy_value, worst
from suture.diagnosis.stitching import reach, start_groups, stitching_gain
from suture.envs.finite import canonical, canonical_behaviour
from suture.spaces import Array

DISCOUNT = 0.9


def cells(
    state: list[int], action: list[int], following: list[int], reward: list[float] | None, starts: list[int]
) -> Cells:
    """Rows by hand; `following` -1 is a termination."""
    after = np.array(following)
    return Cells(
        state=np.array(state), action=np.array(action), following=after,
        states=int(max(*state, *following)) + 1, actions=max(action) + 1, exact=True,
        reward=None if reward is None else np.array(reward, float),
        terminated=after < 0, usable=np.ones(len(state), bool), episode_start=np.array(starts),
        distance=np.zeros(len(state)),
    )  # fmt: skip


def canonical_cells() -> Cells:
    """Every logged transition of the canonical problem in proportion to its probability."""
    mdp, behaviour, rows = canonical(), canonical_behaviour(), list[tuple[int, int, int, float]]()
    for s, a, after in np.ndindex(mdp.transition.shape):
        count = round(200 * behaviour[s, a] * mdp.transition[s, a, after])
        rows += [(s, a, after, float(mdp.reward[s, a]))] * count
    state, action, following, reward = (list(column) for column in zip(*rows, strict=True))
    return cells(state, action, following, reward, [0, len(rows)])


def test_values_of_the_canonical_problem() -> None:
    model = model_of(canonical_cells())
    behaviour = policy_value(model, model.behaviour, DISCOUNT, 0.0)
    np.testing.assert_allclose(behaviour, [0.88068, 0.84676, 0.87560, 0.92671], atol=1e-5)
    one_step = policy_value(model, greedy(model, pair_values(model, behaviour, DISCOUNT)), DISCOUNT, 0.0)
    assert one_step[0] == pytest.approx(4.5, abs=1e-5)
    best = optimum(model, DISCOUNT, 0.0, tolerance=1e-9)
    assert best[0] == pytest.approx(5.84339, abs=1e-5)


def test_the_worst_plan_is_the_best_of_the_opposite() -> None:
    model = model_of(canonical_cells())
    low = worst(model, DISCOUNT, 0.0)
    assert np.all(low <= policy_value(model, model.behaviour, DISCOUNT, 0.0) + 1e-3)
    # to stay where moving is punished most: state 2 repeats action 1, which costs 0.2, for ever
    assert low[2] == pytest.approx(-2.0, abs=0.01)


def test_pairs_below_the_least_count_are_not_supported() -> None:
    data = cells([0, 0, 0], [0, 0, 1], [-1, -1, -1], [1.0, 1.0, 9.0], [0, 3])
    assert optimum(model_of(data), DISCOUNT, 0.0)[0] == 9
    assert optimum(model_of(data, least=2), DISCOUNT, 0.0)[0] == 1


def test_weights_count_rows_again() -> None:
    data = cells([0, 0], [0, 0], [-1, -1], [0.0, 3.0], [0, 2])
    assert model_of(data, np.array([1.0, 2.0])).reward.tolist() == [2.0]


def halves() -> Cells:
    """Two kinds of episodes: 0 to 1, which is a dead end for them, and 2 over 1 to the goal, which pays 1."""
    first, second = ([0, 1], [0, 0], [1, 3]), ([2, 1], [0, 1], [1, -1])
    state, action, following = (first[k] * 10 + second[k] * 10 for k in range(3))
    return cells(state, action, following, [0, 0] * 10 + [0, 1.0] * 10, list(range(0, 41, 2)))


def test_halves_are_joined() -> None:
    data = halves()
    values = np.array([0.0] * 10 + [DISCOUNT] * 10)
    found = stitching_gain(data, values, np.array([0] * 10 + [1] * 10), beyond=values, discount=DISCOUNT)
    first, second = found.groups
    assert (first.gain, first.sure_gain) == (pytest.approx(1), pytest.approx(1))
    assert (first.best, first.plan) == (0, pytest.approx(DISCOUNT))
    assert first.held == pytest.approx(DISCOUNT)
    assert second.gain == pytest.approx(0, abs=1e-9)
    assert found.gain == pytest.approx(0.5)
    assert found.greatest == first
    assert first.behaviour == pytest.approx(DISCOUNT / 2)
    assert first.one_step == pytest.approx(DISCOUNT)


def test_only_the_starts_that_count_are_judged() -> None:
    values = np.array([0.0] * 10 + [DISCOUNT] * 10)
    found = stitching_gain(halves(), values, np.array([0] * 10 + [-1] * 10), beyond=values, discount=DISCOUNT)
    assert (len(found.groups), found.gain, found.achieved) == (1, pytest.approx(1), 0)


def test_a_lucky_pair_is_not_surely_a_gain() -> None:
    """A step that one episode of many took promises much; half of the resamples lack it."""
    state = [0] * 20 + [1, 1]
    action, following = [0] * 20 + [0, 1], [2] * 19 + [1] + [2, -1]
    data = cells(state, action, following, [0.0] * 21 + [1.0], [*range(21), 22])
    values = np.array([0.0] * 20 + [0.9])
    found = stitching_gain(data, values, np.array([0] * 20 + [1]), beyond=values, discount=DISCOUNT)
    assert found.groups[0].gain > found.groups[0].sure_gain + 0.3


def test_what_no_episode_reaches_but_all_together_do() -> None:
    """0 to 1 is one episode, 1 to 2 another: 2 is a third of the visits and no single episode goes there."""
    found = reach(cells([0, 1, 2], [0, 0, 0], [1, 2, 2], None, [0, 1, 3]))
    assert (found.single, found.joined) == (pytest.approx((2 + 2) / 2 / 3), pytest.approx((3 + 2) / 2 / 3))
    assert found.gain == pytest.approx(1 / 5)
    one = cells([0, 1, 2], [0, 0, 0], [1, 2, 3], None, [0, 3])
    assert reach(one).gain == pytest.approx(0)


def test_starts_far_apart_are_groups_and_a_cloud_is_one() -> None:
    generator = np.random.default_rng(0)
    reference = generator.standard_normal((500, 2))
    apart: Array = np.repeat([[-2.0, 0.0], [2.0, 0.0]], 20, axis=0) + 0.01 * generator.standard_normal(
        (40, 2)
    )
    groups = start_groups(apart, reference)
    assert not set(groups[:20]) & set(groups[20:])
    assert set(start_groups(apart[:20], reference)) == {0}


def test_many_exact_starts_are_the_commonest_and_the_rest() -> None:
    exact = np.array([7] * 30 + list(range(20)))
    groups = start_groups(np.zeros((50, 0)), np.zeros((50, 0)), exact)
    assert groups.max() == 7
    assert set(groups[:30]) == {0}
