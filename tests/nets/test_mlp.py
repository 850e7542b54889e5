"""Perceptrons: initialisation, ensembles, layer norm, dropout, and the hand-written gradient of a product."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suture.nets.conv import ConvNet
from suture.nets.critics import critic_for
from suture.nets.mlp import MLP, LayerNorm, orthogonal
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


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (64, 64), (1, 1), (3, 6, 4)])
def test_weights_are_orthogonal(shape: tuple[int, ...]) -> None:
    weight = np.asarray(orthogonal(jax.random.normal(KEY, shape), 2**0.5), np.float64)
    weight = weight if shape[-2] >= shape[-1] else np.swapaxes(weight, -1, -2)
    gram = np.swapaxes(weight, -1, -2) @ weight
    np.testing.assert_allclose(gram, np.broadcast_to(2 * np.eye(min(shape[-2:])), gram.shape), atol=1e-4)


def test_orthogonal_matrices_are_uniform() -> None:
    """Every element of a uniform orthogonal matrix of size n has mean 0 and mean square 1 / n."""
    draws = np.asarray(jax.jit(lambda n: orthogonal(n, 1.0))(jax.random.normal(KEY, (4000, 3, 3))))
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(np.square(draws).mean(0), 1 / 3, atol=0.03)


def test_initialisation_calls_no_lapack() -> None:
    """Several LAPACK calls at a time lock up XLA's CPU threads: a run would hang before its first step."""
    lowered = jax.jit(lambda key: MLP(5, (8, 8), 2, key, members=2)).lower(KEY).as_text()
    assert "while" in lowered
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
    np.testing.assert_allclose(mlp(jnp.eye(5)), mlp.layers[0].weight, atol=1e-6)


def test_layer_norm_normalises_then_scales() -> None:
    norm = eqx.tree_at(lambda n: (n.scale, n.shift), LayerNorm(5), (jnp.full(5, 3.0), jnp.full(5, 0.5)))
    x = np.asarray(X)
    standard = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(X), 3 * standard + 0.5, atol=1e-5)


def test_layer_norm_makes_hidden_scales_irrelevant() -> None:
    for members in (None, 2):
        mlp = network(layer_norm=True, members=members)
        np.testing.assert_allclose(mlp(1000 * X), mlp(2000 * X), rtol=1e-3, atol=1e-4)


def test_dropout_needs_a_key_and_keeps_the_mean() -> None:
    mlp, whole = network(dropout=0.5, hidden=(8,)), network(hidden=(8,))
    np.testing.assert_array_equal(mlp(X), whole(X))
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: mlp(X, key)))(jax.random.split(KEY, 2_000)))
    assert np.abs(drawn[0] - drawn[1]).max() > 0.01
    assert (np.abs(drawn.mean(0) - np.asarray(whole(X))) < 5 * drawn.std(0) / 2_000**0.5 + 1e-6).all()


def test_dropout_drops_its_share() -> None:
    """All weights 1: every hidden unit that is kept adds the sum of its inputs, scaled up."""
    places = lambda m: (m.layers[0].weight, m.layers[1].weight)  # noqa: E731
    mlp = eqx.tree_at(places, network(dropout=0.25, hidden=(8,)), (jnp.ones((5, 8)), jnp.ones((8, 2))))
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


def test_the_first_convolution_is_a_sum_over_its_window() -> None:
    net = ConvNet((8, 8, 1), KEY)
    assert [kernel.shape for kernel in net.kernels] == [(3, 3, 1, 32), (3, 3, 32, 32), (3, 3, 32, 32)]
    image = np.random.default_rng(0).uniform(size=(8, 8)).astype(np.float32)
    found = jax.lax.conv_general_dilated(
        jnp.asarray(image)[None, ..., None], net.kernels[0], (2, 2), "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    window = (image[0:3, 0:3, None] * np.asarray(net.kernels[0])[:, :, 0]).sum((0, 1))
    np.testing.assert_allclose(found[0, 0, 0], window, atol=1e-5)


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
