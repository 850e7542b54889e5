"""The conditional VAE and what moves its actions: the loss in float64, the limits, independent noise."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.parity import Plain, central_differences
from making.shaken import shaken

from suture.keys import key_for
from suture.nets.distributions import Gaussian, TanhGaussian
from suture.nets.vae import ConditionalVAE, Perturbation, PerturbedPolicy
from suture.spaces import Box

SEEN, ACTION = Box((3,)), Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2)


@functools.cache
def vae() -> ConditionalVAE:
    return shaken(ConditionalVAE(SEEN, ACTION, (8,), key_for(0, "init")), 0)


def rows(count: int) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    seen, action = rng.normal(size=(count, 3)), rng.uniform(-1, 1, (count, 2))
    return jnp.asarray(seen, jnp.float32), jnp.asarray(action, jnp.float32)


def test_the_noise_has_twice_as_many_dimensions_as_the_action() -> None:
    assert vae().latent == 4
    assert ConditionalVAE(SEEN, ACTION, (8,), key_for(0, "init"), latent=3).latent == 3


def test_loss_and_gradients_are_the_reference_s() -> None:
    """MSE over rows and dimensions plus half the mean KL over rows and dimensions of the noise."""
    seen, action = rows(7)
    x, a = np.asarray(seen, np.float64), np.asarray(action, np.float64)
    noise = np.asarray(jax.random.normal(key_for(0, "update"), (7, 4)), np.float64)
    encoder, decoder = Plain(vae().encoder), Plain(vae().decoder)

    def loss() -> float:
        mean, log_std = np.split(encoder(np.concatenate([x, a], 1)), 2, axis=1)
        log_std = np.clip(log_std, -4, 15)
        z = mean + np.exp(log_std) * noise
        kl = -0.5 * (1 + 2 * log_std - mean**2 - np.exp(2 * log_std)).mean()
        return float(((np.tanh(decoder(np.concatenate([x, z], 1))) - a) ** 2).mean() + 0.5 * kl)

    value, gradient = jax.value_and_grad(lambda net: net.loss(seen, action, key_for(0, "update")))(vae())
    assert float(value) == pytest.approx(loss(), rel=1e-5)
    for part, plain in (("encoder", encoder), ("decoder", decoder)):
        ours = [x for layer in getattr(gradient, part).layers for x in (layer.weight, layer.bias)]
        for one, other in zip(ours, central_differences(loss, plain.arrays), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


def test_noise_is_clipped_and_actions_stay_in_their_box() -> None:
    """With noise beyond +-0.5 the decoder would be asked for what it was rarely trained on."""
    seen, _ = rows(5)
    answer, plain = vae()(seen), Plain(vae().decoder)
    noise = np.clip(np.asarray(jax.random.normal(key_for(0, "act"), (5, 4)), np.float64), -0.5, 0.5)
    raw = plain(np.concatenate([np.asarray(seen, np.float64), noise], 1))
    np.testing.assert_allclose(answer.sample_raw(key_for(0, "act")), raw, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answer.sample(key_for(0, "act")), np.tanh(raw), rtol=1e-4, atol=1e-5)
    middle = np.tanh(plain(np.concatenate([np.asarray(seen, np.float64), 0 * noise], 1)))
    np.testing.assert_allclose(answer.mode(), middle, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answer.log_prob(answer.mode()), 0.0, atol=1e-6)
    assert not answer.has_density, "importance weights cannot be made of it"


def test_rows_and_draws_have_noise_of_their_own() -> None:
    net, seen = ConditionalVAE(SEEN, ACTION, (8,), key_for(0, "init"), latent=20), jnp.ones((6, 3))
    drawn = np.asarray(jax.vmap(net(seen).sample)(jax.random.split(key_for(0, "act"), 5))).reshape(30, 2)
    assert len(np.unique(drawn.round(6), axis=0)) == 30


def fitted(action: jax.Array, weight: float = 0.5) -> np.ndarray:
    """Samples of a VAE that has learned these actions (n, 1) of one state."""
    seen = jnp.ones((len(action), 1))
    net = ConditionalVAE(Box((1,)), Box((1,)), (32,), key_for(0, "init"), latent=2, weight=weight)

    def step(k: Any, net: Any) -> Any:
        gradient = jax.grad(lambda net: net.loss(seen, action, key_for(0, "update", k)))(net)
        return jax.tree.map(lambda p, g: p - 0.3 * g, net, gradient)

    net = jax.jit(lambda net: jax.lax.fori_loop(0, 3_000, step, net))(net)
    return np.asarray(net(seen).sample(key_for(0, "act")))[:, 0]


def test_it_learns_two_ways_to_act_where_a_mean_is_neither() -> None:
    """The log acts at +-0.6; after training, most samples are near one of them, of both signs."""
    drawn = fitted(jnp.where(jnp.arange(256) % 2 == 0, 0.6, -0.6)[:, None])
    assert (np.abs(np.abs(drawn) - 0.6) < 0.25).mean() > 0.6
    assert 0.2 < (drawn > 0).mean() < 0.8


def test_what_varies_little_is_reduced_to_its_mean() -> None:
    """A variance of 0.06 lies below weight / 4 = 0.125, and above 0.0125."""
    action = 0.1 + 0.25 * jax.random.normal(key_for(0, "bootstrap"), (256, 1))
    narrow, wide = fitted(action), fitted(action, weight=0.05)
    assert narrow.std() < 0.02
    assert wide.std() > 0.08
    assert narrow.mean() == pytest.approx(0.1, abs=0.05)


def test_actions_are_moved_by_no_more_than_the_box() -> None:
    """As the formula says: clip(a + size * tanh(net(s, a)))."""
    seen, _ = rows(5)
    net = shaken(Perturbation(SEEN, ACTION, (8,), key_for(1, "init")), 1)
    moved, still = PerturbedPolicy(vae(), net, 0.05)(seen), PerturbedPolicy(vae(), net, 0.0)(seen)
    proposed = np.asarray(vae()(seen).sample(key_for(0, "act")), np.float64)
    answer = Plain(net.mlp)(np.concatenate([np.asarray(seen, np.float64), proposed], 1))
    exact = np.clip(proposed + 0.05 * np.tanh(answer), -1, 1)
    np.testing.assert_allclose(moved.sample(key_for(0, "act")), exact, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(still.sample(key_for(0, "act")), proposed, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(still.mode(), vae()(seen).mode(), rtol=1e-5, atol=1e-6)
    wide = PerturbedPolicy(vae(), net, 30.0)(seen).sample(key_for(0, "act"))
    assert np.abs(wide).max() <= 1


def test_actions_before_their_tanh() -> None:
    """Exact where the distribution has a tanh; elsewhere arctanh of the action, within +-0.95."""
    base = Gaussian(jnp.array([[0.3, 20.0]]), jnp.array([[0.0, 0.0]]))
    raw = TanhGaussian(base).sample_raw(key_for(0, "act"))
    np.testing.assert_array_equal(raw, base.sample(key_for(0, "act")))
    assert float(raw[0, 1]) > 15, "arctanh(tanh) would have lost it"
    bare = Gaussian(jnp.array([[0.3, 2.0]]), jnp.full((1, 2), -9.0))
    np.testing.assert_allclose(bare.sample_raw(key_for(0, "act")), np.arctanh([[0.3, 0.95]]), atol=5e-3)
