"""The logs that diagnoses are calibrated on are what they are called: measured with draws of their own."""

import _logs
import numpy as np
import pytest
from _worlds import FAMILIES

from suture.diagnosis.regime import regime_of
from suture.diagnosis.returns import starting_values
from suture.diagnosis.statistics import statistics_of

WORLDS = {world.name: world for worlds in FAMILIES.values() for world in worlds}
SEED = 1
"""Of behaviours whose first draw is too noisy for each of the three."""


def earned(world: _logs.World, acted: _logs.Behaviour, *, cut: bool = False) -> np.ndarray:
    """What 200 episodes earn, from chance (0) to the guide (1)."""
    none = np.zeros(200, np.bool_)
    low, high = _logs.ends_of_scale(world)
    played = _logs.play(world, acted, none, none | cut, np.random.default_rng(99))
    start = np.searchsorted(played["episode"], np.arange(201))
    values = starting_values(played["reward"], start, played["terminal"], _logs.DISCOUNT)
    return (values - low) / (high - low)


@pytest.mark.parametrize("name", ["doors", "three-on-springs"])
def test_behaviours_earn_what_their_regime_asks(name: str) -> None:
    world = WORLDS[name]
    assert earned(world, _logs.expert(world, np.random.default_rng(SEED))).mean() > 0.85
    whole = _logs.joinable(world, np.random.default_rng(SEED))
    assert earned(world, whole).mean() - earned(world, whole, cut=True).mean() > 0.15
    several = _logs.middling(world, 200, np.random.default_rng(SEED))
    policy = np.unique(several.quality, return_inverse=True)[1].ravel()
    means = np.bincount(policy, earned(world, several)) / np.bincount(policy)
    assert len(means) > 1
    assert 0.2 < means.min() <= means.max() < 0.9


@pytest.mark.parametrize("name", ["four-states", "eight-states"])
def test_one_controller_in_many_starts_is_one_controller(name: str) -> None:
    """Where an episode begins decides its return, and what is done varies within a coarse cell."""
    world, none = WORLDS[name], np.zeros(200, np.bool_)
    acted = _logs.behaviour(1.0, noise=0.05)
    columns = _logs.play(world, acted, none, none, np.random.default_rng(0))
    found = statistics_of(_logs.dataset_of(world, columns, rewarded=True, scale=1.0))
    assert found.stitching is not None
    assert found.stitching.deviation < 0.1
    assert found.behaviour.entropy < 0.45
    assert regime_of(found).probabilities["imitation"] > 0.9
