"""Interquartile means, bootstrap intervals and probabilities of improvement, against plain definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from suture.evaluation import statistics

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12)


@pytest.mark.parametrize("count", [4, 8, 20])
def test_the_interquartile_mean_is_scipys_where_quarters_are_whole(count: int) -> None:
    values = np.random.default_rng(count).normal(size=(3, count))
    np.testing.assert_allclose(
        statistics.interquartile_mean(values), trim_mean(values, 0.25, axis=-1), rtol=1e-12
    )


@given(VALUES)
def test_in_between_values_count_in_part(values: list[float]) -> None:
    """Every value written four times makes quarters whole, and must not change the answer."""
    few = statistics.interquartile_mean(np.array(values))
    many = trim_mean(np.repeat(values, 4), 0.25)
    np.testing.assert_allclose(few, many, rtol=1e-9, atol=1e-9)


def test_an_outlier_moves_the_mean_and_not_the_interquartile_mean() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 1e6])
    assert statistics.interquartile_mean(values) < 4
    assert statistics.mean(values) > 1e5


def test_intervals_of_the_mean_cover_it() -> None:
    """20 seeds of 5 episodes: the interval holds the truth in about 95 of 100 experiments.

    The percentile bootstrap of few seeds is a little narrow; it must not be far off, nor trivially wide.
    """
    generator, hits, widths = np.random.default_rng(0), 0, list[float]()
    for experiment in range(100):
        returns = generator.normal(size=(20, 1)) + 0.5 * generator.normal(size=(20, 5))
        low, high = statistics.interval(statistics.mean, returns, seed=experiment)
        hits += low <= 0 <= high
        widths.append(high - low)
    assert 88 <= hits <= 99
    exact = 2 * 1.96 * np.sqrt((1 + 0.25 / 5) / 20)
    assert abs(np.mean(widths) / exact - 1) < 0.2


def test_seeds_are_resampled_and_not_their_episodes_alone() -> None:
    """Seeds that differ much and whose episodes are equal: the interval is as wide as the seeds are apart."""
    returns = np.repeat(np.array([[0.0], [10.0], [20.0]]), 4, axis=1)
    low, high = statistics.interval(statistics.mean, returns)
    assert low < 5
    assert high > 15


def test_one_seed_is_judged_by_its_episodes() -> None:
    low, high = statistics.interval(statistics.mean, np.random.default_rng(0).normal(size=(1, 400)))
    assert -0.2 < low < 0 < high < 0.2


def test_probability_of_improvement_by_hand() -> None:
    one, other = np.array([[1.0], [3.0], [5.0]]), np.array([[0.0], [3.0]])
    # 1 > 0, 3 > 0, 5 > 0, 5 > 3 win; 3 = 3 counts half; 1 < 3 loses.
    assert statistics.probability_of_improvement(one, other) == pytest.approx(4.5 / 6)
    assert statistics.probability_of_improvement(one, one) == pytest.approx(0.5)


def test_the_interval_of_improvement_covers_it() -> None:
    """Two settings of 20 seeds: P is known for normals; and of equal ones the interval holds one half."""
    generator, hits = np.random.default_rng(0), 0
    exact = (
        0.6382  # that a draw of N(0.5, 1) exceeds one of N(0, 1): the normal's distribution at 0.5 / sqrt 2
    )
    for experiment in range(60):
        one, other = generator.normal(0.5, 1, (20, 1)), generator.normal(0, 1, (20, 1))
        low, high = statistics.interval_of_improvement(one, other, seed=experiment)
        hits += low <= exact <= high
    assert 52 <= hits <= 60
    assert statistics.interval_of_improvement(one + 9, other) == (1.0, 1.0)
