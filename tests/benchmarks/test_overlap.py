"""Success against overlap: the exact sums against closed forms, and what is counted against what is exact."""

import importlib

import numpy as np
import overlap
import pytest
from scipy import stats

from suture.envs.composite.certificate import STEPS
from suture.envs.composite.collect import Recipe, collect
from suture.envs.composite.states import DRAWER_Y
from suture.envs.composite.twin import Twin

TWIN = Twin(contexts=4, length=3)


@pytest.mark.parametrize("limit", [14, 15, 16, 20, 60])
def test_success_is_the_negative_binomial_s(limit: int) -> None:
    """The best policy fails by slips alone."""
    mdp, needed = TWIN.mdp(), len(STEPS) * TWIN.length
    best = overlap.planned(mdp, np.ones(mdp.reward.shape, bool))
    expected = stats.nbinom.cdf(limit - needed, needed, 1 - TWIN.slip)
    assert overlap.success(mdp, best, limit) == pytest.approx(expected, abs=1e-12)


def test_what_nothing_tells_apart_is_chosen_at_random() -> None:
    mdp, support = TWIN.mdp(), TWIN.support(0.5)
    policy, recorded = overlap.planned(mdp, support), support.all(axis=1)
    worthless = ~recorded | ((TWIN.stage(np.arange(mdp.states)) == 0) & ~np.roll(recorded, -TWIN.length))
    np.testing.assert_allclose(policy[worthless], 1 / len(STEPS))
    assert (policy[~worthless].max(axis=1) == 1).all()


def test_planning_from_a_log_reaches_what_its_support_allows() -> None:
    row = overlap.row_of(Twin(contexts=4), 0.5, overlap.Settings(logs=1))
    assert row["from a log"] == pytest.approx(row["planning"], abs=0.02)
    assert 0.5 < row["planning"] < 0.52, "and a little chance where nothing is shown"
    assert row["cloning"] < 0.2
    assert row["values"][0] < row["values"][1] < row["values"][2]


def test_the_places_where_sets_meet_are_those_where_b_is_recorded() -> None:
    """Against what a log shows: B's drawers stand where the distance is 0, and reach the end of that."""
    pytest.importorskip("mujoco", reason="mujoco is an extra")
    overlap_physical = importlib.import_module("overlap_physical")
    log = collect(Recipe(episodes=200, seed=1, overlap=0.5, sets=("A", "B")), workers=1)
    assert isinstance(log.observation, np.ndarray)
    starts, own = log.observation, log.columns["set"] == "B"
    distance, near = overlap_physical.distance, overlap_physical.TOUCHING
    assert (distance(starts[own], 0.5) <= near).all()
    away = distance(starts[~own], 0.5)
    assert 0.3 < (away <= near).mean() < 0.7
    assert away[away > near].min() > 0.072 - 1e-6, "the gap between the two parts of the range"
    nearest = np.abs(starts[~own][:, None, DRAWER_Y] - starts[own][None, :, DRAWER_Y]).min(1)
    np.testing.assert_allclose(away, nearest, atol=0.01)
    assert (distance(starts[own], 0.25) > near).any()
    assert (distance(starts, 0.0) == np.inf).all()
    assert (distance(starts, 1.0) <= near).all()
