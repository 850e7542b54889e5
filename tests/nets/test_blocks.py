"""Means over blocks of rows are the means over all rows, gradients included; drawn actions and proposals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.probe import QUICK

from suture.nets.blocks import blocks_for, mean_over_blocks
from suture.nets.critics import ContinuousCritic, critic_for
from suture.nets.distributions import Categorical, Gaussian, TanhGaussian
from suture.nets.drawn import draw
from suture.nets.mlp import MLP
from suture.nets.proposals import propose
from suture.spaces import Box

KEY = jax.random.key(0)


def soft(net: tuple[Any, Any], features: Any, rows: Any) -> Any:
    """A mean over rows that is not linear in anything."""
    weight, scale = net
    return jax.nn.logsumexp(scale * jnp.tanh(features @ weight) * rows["factor"], axis=-1).mean()


@pytest.mark.parametrize("blocks", [1, 2, 12])
def test_blocks_change_neither_value_nor_gradients(blocks: int) -> None:
    rng = np.random.default_rng(0)
    weight, features, factor = (
        jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((3, 4), (12, 3), (12, 4))
    )
    arguments = (weight, jnp.float32(0.7)), features

    def in_blocks(net: Any, features: Any) -> Any:
        return 3.0 * mean_over_blocks(soft, blocks, net, features, {"factor": factor, "none": None})

    def whole(net: Any, features: Any) -> Any:
        return 3.0 * soft(net, features, {"factor": factor})

    ours, exact = (
        jax.value_and_grad(function, argnums=(0, 1))(*arguments) for function in (in_blocks, whole)
    )
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(in_blocks(*arguments), exact[0], atol=1e-6)


def test_rows_of_blocks_are_constants() -> None:
    def of_rows(factor: Any) -> Any:
        return mean_over_blocks(
            soft, 2, (jnp.ones((3, 4)), jnp.ones(())), jnp.ones((4, 3)), {"factor": factor}
        )

    np.testing.assert_array_equal(jax.grad(of_rows)(jnp.ones((4, 4))), 0.0)


@pytest.mark.parametrize(("batch", "samples", "expected"), [
    (256, 30, 16), (1024, 30, 64), (256, 3, 2), (12, 9, 1), (257, 30, 1), (1, 10_000, 1),
])  # fmt: skip
def test_blocks_divide_the_batch(batch: int, samples: int, expected: int) -> None:
    assert blocks_for(batch, samples) == expected


def test_many_actions_for_each_row_are_as_many_calls() -> None:
    """Values and gradients; the observation is encoded once."""
    box = Box((3,)), Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2)
    critic = critic_for(*box, (6, 6), 2, KEY)
    assert isinstance(critic, ContinuousCritic)
    rng = np.random.default_rng(0)
    seen = jnp.asarray(rng.normal(size=(7, 3)), jnp.float32)
    actions = jnp.asarray(rng.uniform(-1, 1, (5, 7, 2)), jnp.float32)

    def at_once(mlp: MLP, actions: Any) -> Any:
        return jnp.sin(mlp.of_two(seen, actions)[..., 0])

    def one_by_one(mlp: MLP, actions: Any) -> Any:
        rows = [mlp(jnp.concatenate([seen, action], -1))[..., 0] for action in actions]
        return jnp.sin(jnp.stack(rows, 1))

    def both(function: Any) -> Any:
        graded = jax.value_and_grad(lambda *given: (function(*given) * weights).sum(), argnums=(0, 1))
        return jax.jit(graded, compiler_options=QUICK)(critic.mlp, actions)

    weights = jnp.asarray(rng.normal(size=(2, 5, 7)), jnp.float32)
    ours, exact = both(at_once), both(one_by_one)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_each_member_answers_its_own_action() -> None:
    box = Box((3,)), Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2)
    critic = critic_for(*box, (6,), 3, KEY)
    assert isinstance(critic, ContinuousCritic)
    rng = np.random.default_rng(0)
    seen = jnp.asarray(rng.normal(size=(7, 3)), jnp.float32)
    own = jnp.asarray(rng.uniform(-1, 1, (3, 7, 2)), jnp.float32)
    answers = critic.of_own(critic.encoder(seen), own)
    for member in range(3):
        np.testing.assert_allclose(answers[member], critic(seen, own[member])[member], atol=1e-6)


def test_choices_are_drawn_all_with_their_probabilities() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    drawn = draw(Categorical(logits), KEY)
    assert drawn.action.shape == drawn.log_prob.shape == (3, 5)
    np.testing.assert_array_equal(drawn.action[:, 0], [0, 1, 2])
    probability = np.asarray(jax.nn.softmax(logits))
    np.testing.assert_allclose(drawn.weight, probability.T, atol=1e-6)
    np.testing.assert_allclose(drawn.mean(drawn.action), (probability * [0, 1, 2]).sum(1), atol=1e-6)


def policy(mean: float, log_std: float) -> TanhGaussian:
    """Of one dimension, alike in 20,000 rows."""
    return TanhGaussian(Gaussian(jnp.full((20_000, 1), mean), jnp.full((20_000, 1), log_std)))


def test_samples_are_reparameterised_and_independent() -> None:
    drawn = draw(policy(0.3, -1.0), KEY, 4)
    raw = np.arctanh(np.asarray(drawn.action, np.float64))[..., 0]
    np.testing.assert_allclose(np.corrcoef(raw), np.eye(4), atol=0.03)
    np.testing.assert_allclose(drawn.mean(jnp.ones((4, 20_000))), 1.0, atol=1e-6)
    slope = jax.grad(lambda mean: draw(policy(mean, -1.0), KEY, 4).action.mean())(0.3)
    np.testing.assert_allclose(slope, (1 - np.tanh(raw) ** 2).mean(), rtol=1e-4)


def test_proposals_are_of_three_kinds_with_their_own_densities() -> None:
    here, after = policy(0.5, -1.0), policy(-0.5, 0.0)
    proposals = propose(here, after, KEY, 2)
    assert proposals.action.shape == (20_000, 6, 1)
    action, density = np.asarray(proposals.action), np.asarray(proposals.log_density)
    np.testing.assert_allclose(density[:, :2], -np.log(2), atol=1e-6)
    assert np.abs(np.histogram(action[:, :2], 10, (-1, 1))[0] / 4_000 - 1).max() < 0.06
    for columns, source in ((slice(2, 4), here), (slice(4, 6), after)):
        for column in range(*columns.indices(6)):
            np.testing.assert_allclose(density[:, column], source.log_prob(action[:, column]), atol=2e-2)
    np.testing.assert_allclose(np.arctanh(action[:, 2:4]).mean(), 0.5, atol=0.02)
    np.testing.assert_allclose(np.arctanh(action[:, 4:6]).mean(), -0.5, atol=0.05)
