"""The arithmetic that the image benchmark counts by hand is what its encoders do."""

from typing import Any

import _arithmetic
import image_training
import jax
import jax.numpy as jnp
import pytest

from suture.algorithms.table import ALGORITHMS
from suture.keys import key_for
from suture.nets.encoder import Image
from suture.spaces import Box

SHAPE = image_training.PICTURE


@pytest.mark.parametrize("name", ["present", *image_training.OTHERS])
def test_encoders_multiply_as_often_as_is_said(name: str) -> None:
    other = image_training.OTHERS.get(name)
    net: Any = image_training.Convolutions(*other) if other else Image(SHAPE, key_for(0, "init"))
    pictures = jnp.zeros((2, *SHAPE), jnp.uint8)
    traced = _arithmetic._count(jax.make_jaxpr(net)(pictures).jaxpr)
    assert traced == 2 * 2 * image_training.multiplications(getattr(net, "net", net))[0]
    features = net(pictures)
    assert features.shape == (2, image_training.FEATURES)
    if isinstance(net, Image):
        assert jnp.allclose(features, image_training.whole(net, pictures), atol=1e-5)


@pytest.mark.parametrize("name", image_training.HEADS)
def test_no_update_does_with_less_than_the_limit_says(name: str) -> None:
    """And none with twice as much: passes that were forgotten, or counted twice, would show."""
    algorithm = ALGORITHMS[name](hidden=_arithmetic.HIDDEN)  # type: ignore[call-arg]
    spec = image_training.spec_of(Box(SHAPE, "uint8"))
    train, forward = image_training.PASSES[name]
    net = Image(SHAPE, key_for(0, "init")).net
    once, trained = image_training.multiplications(net)
    least = 2.0 * (image_training.HEADS[name] + train * trained + forward * once)
    assert least <= _arithmetic.performed(algorithm, spec, 4) / 4 < 2 * least
