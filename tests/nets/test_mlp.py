"""Perceptrons: initialisation, ensembles, layer norm, dropout, and the hand-written gradient of a product."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suture.nets.conv import ConvNet, in_patches
from suture.nets.critics import critic_for
from suture.nets.mlp import MLP, LayerNorm
from suture.spaces import Box, Discrete

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(7, 5)), jnp.float32)


@functools.cache
def network(
    *,
    hidden: tuple[int, ...] = (8, 8),
    members: int | None = None,
    layer_norm: bool = False,
    dropout: float = 0.0,
) -> MLP:
    """Five inputs, two outputs."""
    return MLP(5, hidden, 2, KEY, members=members, layer_norm=layer_norm, dropout=dropout)


def by_hand(mlp: MLP, x: Any, member: int | None = None) -> Any:
    """ReLU layers in NumPy."""
    pick = (lambda array: array) if member is None else (lambda array: array[member])
    x = np.asarray(x)
    for i, layer in enumerate(mlp.layers):
        x = x @ np.asarray(pick(layer.weight)) + np.asarray(pick(layer.bias))
        x = np.maximum(x, 0) if i < len(mlp.layers) - 1 else x
    return x


@pytest.mark.parametrize("members", [None, 3])
def test_weights_and_biases_begin_uniform_within_one_over_the_root_of_the_inputs(members: int | None) -> None:
    mlp = MLP(16, (64,), 300, KEY, members=members)
    for layer, inputs in zip(mlp.layers, (16, 64), strict=True):
        for numbers in (np.asarray(layer.weight), np.asarray(layer.bias)):
            scaled = np.sort(numbers.ravel()) * inputs**0.5
            assert scaled[0] >= -1
            assert scaled[-1] <= 1
            even = np.linspace(-1, 1, len(scaled))
            assert np.abs(scaled - even).max() < 3.5 / len(scaled) ** 0.5, "Kolmogorov and Smirnov's distance"


def test_initialisation_calls_no_lapack() -> None:
    """Several LAPACK calls at a time lock up XLA's CPU threads: a run would hang before its first step."""
    lowered = jax.jit(lambda key: MLP(5, (8, 8), 2, key, members=2)).lower(KEY).as_text()
    assert "lapack" not in lowered


def test_layers_of_a_network_and_members_of_an_ensemble_differ() -> None:
    mlp = network(members=3)
    weights = [np.asarray(layer.weight[i]) for layer in mlp.layers for i in range(3)]
    for i, one in enumerate(weights):
        assert all(one.shape != other.shape or np.abs(one - other).max() > 0.1 for other in weights[:i])


def test_a_network_is_its_layers() -> None:
    mlp = network()
    np.testing.assert_allclose(mlp(X), by_hand(mlp, X), atol=1e-5)
    assert mlp(X[0]).shape == (2,)
    np.testing.assert_allclose(mlp(X.reshape(7, 1, 5))[:, 0], mlp(X), atol=1e-6)


def test_an_ensemble_is_separate_networks() -> None:
    mlp = network(members=3)
    assert mlp(X).shape == (3, 7, 2)
    for member in range(3):
        np.testing.assert_allclose(mlp(X)[member], by_hand(mlp, X, member), atol=1e-5)


def test_a_loss_on_one_member_has_no_gradient_in_another() -> None:
    gradient = eqx.filter_grad(lambda net: net(X)[1].sum())(network(members=3))
    for leaf in jax.tree.leaves(gradient):
        assert np.abs(leaf[1]).max() > 0
        assert not np.any(leaf[0])
        assert not np.any(leaf[2])


@pytest.mark.parametrize("outputs", [2, 40])
@pytest.mark.parametrize("members", [None, 3])
def test_gradients_are_those_of_plain_products(members: int | None, outputs: int) -> None:
    mlp = MLP(5, (8, 40), outputs, KEY, members=members)

    def plain(net: MLP) -> Any:
        first, second, last = net.layers
        hidden = jax.nn.relu(jax.nn.relu(X @ first.weight + first.bias) @ second.weight + second.bias)
        return jnp.sin(hidden @ last.weight + last.bias).sum()

    ours = eqx.filter_grad(lambda net: jnp.sin(net(X)).sum())(mlp)
    for one, two in zip(*map(jax.tree.leaves, (ours, eqx.filter_grad(plain)(mlp))), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("members", [None, 2])
def test_without_hidden_layers_a_network_is_a_table(members: int | None) -> None:
    mlp = network(hidden=(), members=members)
    (layer,) = mlp.layers
    np.testing.assert_allclose(mlp(jnp.eye(5)), layer.weight + layer.bias, atol=1e-6)


def test_layer_norm_normalises_then_scales() -> None:
    norm = eqx.tree_at(lambda n: (n.scale, n.shift), LayerNorm(5), (jnp.full(5, 3.0), jnp.full(5, 0.5)))
    x = np.asarray(X)
    standard = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(X), 3 * standard + 0.5, atol=1e-5)


def test_layer_norm_makes_hidden_scales_irrelevant() -> None:
    for members in (None, 2):
        mlp = network(layer_norm=True, members=members)
        np.testing.assert_allclose(mlp(1e5 * X), mlp(2e5 * X), rtol=1e-3, atol=1e-4)


def test_dropout_needs_a_key_and_keeps_the_mean() -> None:
    mlp, whole = network(dropout=0.5, hidden=(8,)), network(hidden=(8,))
    np.testing.assert_array_equal(mlp(X), whole(X))
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: mlp(X, key)))(jax.random.split(KEY, 2_000)))
    assert np.abs(drawn[0] - drawn[1]).max() > 0.01
    assert (np.abs(drawn.mean(0) - np.asarray(whole(X))) < 5 * drawn.std(0) / 2_000**0.5 + 1e-6).all()


def test_dropout_drops_its_share() -> None:
    """All weights 1: every hidden unit that is kept adds the sum of its inputs, scaled up."""
    places = lambda m: [a for layer in m.layers for a in (layer.weight, layer.bias)]  # noqa: E731
    ones = [jnp.ones((5, 8)), jnp.zeros(8), jnp.ones((8, 2)), jnp.zeros(2)]
    mlp = eqx.tree_at(places, network(dropout=0.25, hidden=(8,)), ones)
    drawn = jax.jit(jax.vmap(lambda key: mlp(jnp.ones((1, 5)), key)[0, 0]))(jax.random.split(KEY, 2_000))
    kept = np.asarray(drawn) * 0.75 / 5
    np.testing.assert_allclose(kept, kept.round(), atol=1e-3)
    assert abs(kept.mean() / 8 - 0.75) < 0.02


def test_convolutions_see_where_things_are() -> None:
    net = ConvNet((8, 8, 1), KEY)
    image = np.zeros((2, 8, 8, 1), np.float32)
    image[0, 1, 1], image[1, 6, 6] = 1, 1
    features = net(jnp.asarray(image))
    assert features.shape == (2, net.size)
    assert np.abs(features[0] - features[1]).max() > 1e-3
    np.testing.assert_allclose(net(jnp.asarray(image).reshape(2, 1, 8, 8, 1))[:, 0], features, atol=1e-6)


@pytest.mark.parametrize("count", [1, 70, 64 * 20 + 3])
def test_a_batch_that_goes_through_in_parts_is_seen_as_its_pictures_are_alone(count: int) -> None:
    net = ConvNet((8, 8, 1), KEY)
    images = jnp.asarray(np.random.default_rng(count).uniform(size=(count, 8, 8, 1)), jnp.float32)
    total = lambda net, x: (net(x) * jnp.arange(net.size)).sum(-1)  # noqa: E731
    alone = jax.jit(jax.vmap(lambda one: total(net, one)))
    np.testing.assert_allclose(total(net, images), alone(images), rtol=1e-5)
    gradients = eqx.filter_grad(lambda net: total(net, images).mean())(net)
    expected = eqx.filter_grad(lambda net: jax.vmap(lambda one: total(net, one))(images).mean())(net)
    for found, wanted in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * float(jnp.abs(wanted).max()))


def test_a_layer_of_patches_is_a_convolution_whose_windows_do_not_overlap() -> None:
    net = ConvNet((10, 7, 3), KEY)
    image = np.random.default_rng(0).uniform(size=(2, 10, 7, 3)).astype(np.float32)
    grey = np.pad(image - 0.5, ((0, 0), (0, 2), (0, 1), (0, 0)))
    found = jax.lax.conv_general_dilated(
        jnp.asarray(grey), net.patches[0].weight.reshape(4, 4, 3, 32), (4, 4), "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    layer = net.patches[0](in_patches(jnp.asarray(image) - 0.5, 4), bias=False)
    np.testing.assert_allclose(layer, found, atol=1e-5)
    assert net(jnp.asarray(image)).shape == (2, net.size)


@pytest.mark.parametrize("action", [Box((2,)), Discrete(3)])
def test_both_critics_share_one_signature(action: Any) -> None:
    critic = critic_for(Box((5,)), action, (8,), 2, KEY)
    logged = jnp.zeros((7, 2)) if isinstance(action, Box) else jnp.asarray([0, 1, 2, 0, 1, 2, 0])
    q = critic(X, logged)
    assert q.shape == (2, 7)
    assert np.abs(q[0] - q[1]).max() > 1e-3
    if isinstance(action, Discrete):
        every: Any = critic.values(X)  # pyright: ignore[reportAttributeAccessIssue]
        np.testing.assert_array_equal(q, np.asarray(every)[:, np.arange(7), np.asarray(logged)])
    else:
        assert np.abs(critic(X, logged + 0.5) - q).max() > 1e-3
