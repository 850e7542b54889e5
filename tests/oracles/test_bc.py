"""Cloning reaches the log's frequencies; filtered cloning reads the best episodes, row by row."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making.canonical import LOGGED, probabilities, solve
from making.sets import dataset_of
from scipy import stats

from suture.algorithms.base import Batch, Spec
from suture.algorithms.bc import BC, FilteredBC
from suture.data.dataset import Dataset
from suture.envs.tabular import canonical_behaviour
from suture.errors import DataRefused
from suture.nets.distributions import Gaussian, Mixture, TanhGaussian
from suture.nets.policies import Head
from suture.spaces import Box, Discrete


def episodes(lengths: tuple[int, ...], returns: tuple[float, ...]) -> Dataset:
    """Episodes with these returns, all of each in its last row."""
    data = dataset_of(lengths)
    reward = np.zeros(len(data), np.float32)
    reward[data.episode_start[1:] - 1] = returns
    return dataclasses.replace(data, reward=reward)


def kept(data: Dataset, top: float) -> list[int]:
    """The episodes of which a row is read; either all of its rows are, or none."""
    read = FilteredBC(top=top).rows(data)
    shares = [read[data.episode_index == episode].mean() for episode in range(data.episodes)]
    assert set(shares) <= {0.0, 1.0}
    return list(np.flatnonzero(shares))


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        (0.05, [1]),
        (0.1, [1]),
        (0.11, [1, 3]),
        (0.5, [1, 3]),
        (0.51, [0, 1, 3]),
        (0.8, [0, 1, 3]),
        (1.0, [0, 1, 2, 3]),
    ],
)
def test_the_best_episodes_are_kept_until_they_hold_the_share(top: float, expected: list[int]) -> None:
    """Returns 2, 9, -5, 4 over 3, 1, 2 and 4 rows: by rank they hold 1, 5, 8 and 10 rows of 10."""
    assert kept(episodes((3, 1, 2, 4), (2.0, 9.0, -5.0, 4.0)), top) == expected


def test_of_equal_returns_the_earlier_episode_is_kept() -> None:
    assert kept(episodes((2, 2, 2), (1.0, 1.0, 1.0)), 0.5) == [0, 1]


def test_a_share_of_whole_episodes_is_not_exceeded_by_a_rounding() -> None:
    """0.07 * 100 is 7.000000000000001 in floating point, and 7 rows are enough."""
    assert 0.07 * 100 > 7
    assert kept(episodes((1,) * 100, tuple(range(100))), 0.07) == list(range(93, 100))


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(-5, 5)), min_size=1, max_size=12),
    st.floats(0.01, 1.0),
)
def test_no_dropped_episode_is_better_and_none_is_kept_in_vain(
    drawn: list[tuple[int, int]], top: float
) -> None:
    lengths, returns = (np.array(column) for column in zip(*drawn, strict=True))
    chosen = np.isin(np.arange(len(drawn)), kept(episodes(tuple(lengths), tuple(returns)), top))
    assert returns[chosen].min() >= returns[~chosen].max(initial=-99)
    share = top * lengths.sum() - 1e-6
    assert lengths[chosen].sum() >= share
    worst = np.flatnonzero(chosen & (returns == returns[chosen].min()))[-1]
    assert lengths[chosen].sum() - lengths[worst] < share


def test_a_log_without_rewards_has_no_best_episodes() -> None:
    with pytest.raises(DataRefused, match="has no rewards"):
        FilteredBC().rows(dataclasses.replace(dataset_of((3, 3)), reward=None))


def test_the_clone_of_the_canonical_log_has_its_frequencies() -> None:
    found = probabilities(BC(hidden=()).policy(solve(BC(hidden=()), steps=1_500)))
    np.testing.assert_allclose(found[LOGGED], canonical_behaviour()[LOGGED], atol=1e-3)


@pytest.mark.parametrize("head", ["gaussian", "tanh_gaussian", "deterministic", "mixture"])
def test_each_head_reaches_its_likeliest_fit(head: Head) -> None:
    """Two ways to act, 7 to 3 in one state and 3 to 7 in the other: moments in closed form, or both ways."""
    rng, state, noise = np.random.default_rng(0), np.arange(400) % 2, np.array([0.05, 0.1])
    way = np.where(rng.random(400) < np.where(state, 0.3, 0.7), 0.6, -0.6)[:, None]
    action = (way + rng.normal(0, noise, (400, 2))).astype(np.float32)
    algorithm, batch = (
        BC(hidden=(), head=head),
        Batch(observation=jnp.asarray(state), action=jnp.asarray(action)),
    )
    spec = Spec(observation=Discrete(2), action=Box((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))
    policy = algorithm.policy(solve(algorithm, batch=batch, spec=spec, steps=400))
    found, fitted = policy(jnp.arange(2)), np.arctanh(action) if head == "tanh_gaussian" else action
    mean = np.stack([fitted[state == which].mean(0) for which in (0, 1)])
    if isinstance(found, Mixture):
        np.testing.assert_allclose(found.mode(), [[0.6, 0.6], [-0.6, -0.6]], atol=0.03)
        drawn = [
            stats.norm(sign * 0.6, noise).logpdf(action).sum(1) + np.log(np.where(state, 1 - share, share))
            for sign, share in ((1, 0.7), (-1, 0.3))
        ]
        ours, of_the_source = policy(batch.observation).log_prob(batch.action), np.logaddexp(*drawn)
        assert float(ours.mean()) > of_the_source.mean()
        return
    np.testing.assert_allclose(
        found.base.mean if isinstance(found, TanhGaussian) else found.mode(), mean, atol=2e-3
    )
    if isinstance(found, TanhGaussian):
        spread = np.stack([fitted[state == which].std(0) for which in (0, 1)])
        np.testing.assert_allclose(np.exp(found.base.log_std), spread, rtol=5e-3)
    if isinstance(found, Gaussian):
        np.testing.assert_allclose(
            np.exp(found.log_std), np.sqrt(np.square(action - mean[state]).mean(0)), rtol=5e-3
        )


def test_kept_episodes_count_by_their_rows() -> None:
    """Two good episodes, one of 3 rows with choice 1 and one of 1 row with choice 0: 3 to 1, not 1 to 1."""
    data = episodes((3, 1, 4), (5.0, 6.0, -1.0))
    choice = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    read = np.flatnonzero(FilteredBC(top=0.5).rows(data))
    algorithm = FilteredBC(hidden=())
    batch = Batch(observation=jnp.zeros(len(read), jnp.int32), action=jnp.asarray(choice[read]))
    state = solve(algorithm, batch=batch, spec=Spec(observation=Discrete(1), action=Discrete(2)), steps=1_500)
    logits = np.asarray(algorithm.policy(state)(jnp.zeros(1, jnp.int32)).logits[0])  # type: ignore[attr-defined]
    assert logits[1] - logits[0] == pytest.approx(np.log(3.0), abs=5e-3)
