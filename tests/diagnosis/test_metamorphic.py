"""What must not change the diagnosis, and what must."""

import dataclasses
import functools

import numpy as np
import pytest
from making.gridworld import KINDS, make_log
from making.logs import built, changed, walk_log

from suture.data.dataset import Dataset
from suture.diagnosis.diagnose import Diagnosis, diagnose
from suture.spaces import Array


@functools.cache
def walk() -> Dataset:
    """Forty cut episodes of a continuous system: nothing in it ends, so rewards may be shifted."""
    log = walk_log((50,) * 40, seed=3)
    ends = np.arange(2000) % 50 == 49
    return built(changed(log, terminal=np.zeros(2000, bool), timeout=ends))


@functools.cache
def told(kind: str) -> Diagnosis:
    return diagnose(walk() if kind == "walk" else make_log(kind))  # type: ignore[arg-type]


def data_of(kind: str) -> Dataset:
    return walk() if kind == "walk" else make_log(kind)  # type: ignore[arg-type]


def probabilities(found: Diagnosis) -> Array:
    return np.array(list(found.regime.probabilities.values()))


def with_reward(data: Dataset, reward: Array) -> Dataset:
    return dataclasses.replace(data, reward=reward.astype(np.float32))


@pytest.mark.parametrize("kind", [*KINDS, "walk"])
@pytest.mark.parametrize("scale", [2.0**-10, 2.0**12])
def test_the_scale_of_rewards(kind: str, scale: float) -> None:
    data = data_of(kind)
    found = diagnose(with_reward(data, scale * np.asarray(data.reward)))
    np.testing.assert_allclose(probabilities(found), probabilities(told(kind)), atol=1e-6)


@pytest.mark.parametrize("shift", [-64.0, 64.0])
def test_a_shift_of_rewards_where_nothing_ends(shift: float) -> None:
    found = diagnose(with_reward(walk(), np.asarray(walk().reward) + shift))
    np.testing.assert_allclose(probabilities(found), probabilities(told("walk")), atol=0.02)
    one, other = found.statistics.stitching, told("walk").statistics.stitching
    assert one is not None
    assert other is not None
    assert one.greatest.plan == pytest.approx(other.greatest.plan + 100 * shift, rel=1e-3)
    assert one.achieved == pytest.approx(other.achieved, abs=0.01)


@pytest.mark.parametrize("kind", [*KINDS, "walk"])
def test_the_order_of_episodes(kind: str) -> None:
    data = data_of(kind)
    found = diagnose(data.take_episodes(np.random.default_rng(0).permutation(data.episodes)))
    tolerance = 0.2 if kind == "walk" else 0.05  # the walk lies between two regimes, and shuffles are drawn
    np.testing.assert_allclose(probabilities(found), probabilities(told(kind)), atol=tolerance)
    one, other = found.statistics, told(kind).statistics
    assert one.returns is not None
    assert other.returns is not None
    assert one.returns.positive_variance == pytest.approx(other.returns.positive_variance)
    assert one.behaviour.entropy == pytest.approx(other.behaviour.entropy, abs=0.02)
    assert one.support is not None
    assert other.support is not None
    assert one.support.junction_rate == pytest.approx(other.support.junction_rate, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_that_is_written_twice(kind: str) -> None:
    data = make_log(kind)
    found = diagnose(data.take_episodes(np.tile(np.arange(data.episodes), 2)))
    assert found.regime.label == kind
    assert found.statistics.support is not None
    assert found.statistics.support.seen_again == 1
    one, other = found.statistics.stitching, told(kind).statistics.stitching
    assert one is not None
    assert other is not None
    assert (one.achieved, one.best) == (
        pytest.approx(other.achieved, abs=0.05), pytest.approx(other.best, abs=0.2),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["mixed", "walk"])
def test_the_same_log_and_seed_give_the_same_answer(kind: str) -> None:
    assert diagnose(data_of(kind)) == told(kind)
    assert diagnose(data_of(kind), seed=1) != told(kind)


def test_the_names_of_choices() -> None:
    data = make_log("mixed")
    renamed = dataclasses.replace(data, action=np.array([2, 0, 3, 1], np.int32)[np.asarray(data.action)])
    np.testing.assert_allclose(probabilities(diagnose(renamed)), probabilities(told("mixed")), atol=0.02)


def test_units_of_observations() -> None:
    data, scale = walk(), np.array([1.0, 1024.0, 2.0**-9], np.float32)
    seen, after = np.asarray(data.observation), np.asarray(data.next_observation)
    other = dataclasses.replace(data, observation=seen * scale, next_observation=after * scale)
    np.testing.assert_allclose(probabilities(diagnose(other)), probabilities(told("walk")), atol=0.05)


def test_losing_good_episodes_changes_the_regime() -> None:
    data = make_log("mixed")
    assert data.returns is not None
    poor = data.take_episodes(np.flatnonzero(data.returns == 0))
    assert diagnose(poor).regime.label == "random"
    good = data.take_episodes(np.flatnonzero((data.returns > 0) & (data.lengths < 20)))
    assert diagnose(good).regime.probabilities["mixed"] < 0.5


@pytest.mark.parametrize("episodes", [1, 3])
def test_a_few_episodes_are_not_enough(episodes: int) -> None:
    found = diagnose(make_log("mixed").take_episodes(np.arange(episodes)))
    assert found.regime.label == "insufficient"
    assert found.recommendation[0].evidence.startswith("Not enough data")
