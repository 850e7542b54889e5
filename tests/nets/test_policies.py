"""Policies for every space: shapes, dtypes, ranges, and dropout only while training."""

import functools
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suture.nets.distributions import Categorical, Distribution
from suture.nets.encoder import encoder_for, has_images
from suture.nets.policies import LOG_STD_MAX, LOG_STD_MIN, Head, policy_for
from suture.spaces import Box, Dict, Discrete, Space

KEY = jax.random.key(0)
ROWS = 7
VECTOR = Box((5,))
IMAGE = Box((8, 8, 3), "uint8")
BOTH = Dict.of({"camera": IMAGE, "mode": Discrete(3), "pose": Box((2, 3))})
HEADS: tuple[Head, ...] = get_args(Head)


@functools.cache
def policy_of(space: Space, action: Space, head: Head, *, dropout: float = 0.0) -> Any:
    return policy_for(space, action, head, (8,), KEY, dropout=dropout)


def observations(space: Space, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    if isinstance(space, Dict):
        return {name: observations(inner, seed) for name, inner in space.items}
    if isinstance(space, Discrete):
        return jnp.asarray(rng.integers(space.n, size=ROWS))
    if space.is_image:
        return jnp.asarray(rng.integers(256, size=(ROWS, *space.shape)), jnp.uint8)
    return jnp.asarray(rng.normal(size=(ROWS, *space.shape)), jnp.float32)


def check(distribution: Distribution, shape: tuple[int, ...], kind: str) -> None:
    for action in (distribution.mode(), distribution.sample(KEY)):
        assert action.shape == shape
        assert np.dtype(action.dtype).kind == kind
    assert distribution.log_prob(distribution.mode()).shape == (ROWS,)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_acts(head: Head) -> None:
    policy = policy_of(VECTOR, Box((2,)), head)
    distribution = policy(observations(VECTOR))
    check(distribution, (ROWS, 2), "f")
    assert np.abs(distribution.mode()).max() <= 1


@pytest.mark.parametrize("space", [Box((2, 3)), Discrete(5), IMAGE, BOTH], ids=str)
def test_every_observation_is_encoded(space: Space) -> None:
    for action, shape, kind in ((Box((2,)), (ROWS, 2), "f"), (Discrete(3), (ROWS,), "i")):
        policy = policy_of(space, action, "gaussian")
        check(policy(observations(space)), shape, kind)
    one, two = (np.asarray(policy(observations(space, seed)).logits) for seed in (0, 1))
    assert np.abs(one - two).max() > 1e-3


def test_choices_are_categorical_whatever_the_head() -> None:
    for head in HEADS:
        assert isinstance(policy_of(VECTOR, Discrete(3), head)(observations(VECTOR)), Categorical)


def test_modes_stay_inside_and_log_stds_are_clipped() -> None:
    huge = 1e6 * observations(VECTOR)
    for head in HEADS:
        policy = policy_of(VECTOR, Box((2,)), head)
        assert np.abs(policy(huge).mode()).max() <= 1
    gaussian = policy_of(VECTOR, Box((2,)), "gaussian")
    for raw, clipped in ((99.0, LOG_STD_MAX), (-99.0, LOG_STD_MIN)):
        moved = eqx.tree_at(lambda p: p.log_std, gaussian, jnp.full(2, raw))
        np.testing.assert_array_equal(moved(huge).log_std, clipped)
    spread = np.asarray(policy_of(VECTOR, Box((2,)), "tanh_gaussian")(huge).base.log_std)
    assert set(np.unique(spread)) <= {LOG_STD_MIN, LOG_STD_MAX}


def test_a_gaussian_policy_starts_with_unit_spread() -> None:
    """IQL's reference: the log-std does not depend on the state and begins at 0."""
    distribution = policy_of(VECTOR, Box((2,)), "gaussian")(observations(VECTOR))
    np.testing.assert_array_equal(distribution.log_std, [0.0, 0.0])


@pytest.mark.parametrize("head", HEADS)
def test_dropout_acts_only_with_a_key(head: Head) -> None:
    policy = policy_of(VECTOR, Box((2,)), head, dropout=0.5)
    whole = policy_of(VECTOR, Box((2,)), head)
    seen = observations(VECTOR)
    np.testing.assert_array_equal(policy(seen).mode(), whole(seen).mode())
    assert np.abs(policy(seen, KEY).mode() - whole(seen).mode()).max() > 1e-4


def test_images_are_scaled_and_choices_are_one_hot() -> None:
    full = jnp.full((1, 8, 8, 3), 255, jnp.uint8)
    encoder: Any = encoder_for(IMAGE, KEY)
    np.testing.assert_allclose(encoder(full), encoder.net(jnp.ones((1, 8, 8, 3))), atol=1e-6)
    np.testing.assert_array_equal(encoder_for(Discrete(3), KEY)(jnp.array([2, 0])), np.eye(3)[[2, 0]])
    assert has_images(BOTH)
    assert not has_images(Dict.of({"pose": Box((2, 3)), "mode": Discrete(2)}))


def test_a_dictionary_is_its_parts_side_by_side() -> None:
    encoder = encoder_for(Dict.of({"b": Discrete(2), "a": Box((2,))}), KEY)
    features = encoder({"b": jnp.array([1]), "a": jnp.array([[7.0, 8.0]])})
    np.testing.assert_array_equal(features, [[7, 8, 0, 1]])
