"""The network of QT-Opt's paper: the action meets the picture's map half-way through the convolutions.

Source: Kalashnikov et al. 2018 (arXiv:1806.10293); sizes and paddings as in the authors' tensor2robot.
"""

import dataclasses
import math
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.errors import ConfigError
from suture.keys import Key
from suture.nets.critics import Critic
from suture.nets.encoder import Encoder, Observation, encoder_for
from suture.nets.mlp import MLP, LayerNorm, noise
from suture.spaces import Box, Space, arrays_of, leaves_of

CHANNELS, CONTEXT, DENSE = 64, 256, (64, 64)
SHRUNK = 2 * 3 * 3
"""Pixels along a side of what becomes one place of the map: the first stride, then two poolings."""
ALONE, TOGETHER, LAST = 6, 6, 3
"""Convolutions of the picture alone (after the first), with the action, and at the end, without padding."""


class Convolution(eqx.Module):
    """Convolution to 64 channels, layer norm over those of each place if there is one, ReLU.

    padded: with zeros, so that no places are lost at the edges.
    """

    kernel: Float[Array, "width width inputs outputs"]
    bias: Float[Array, " outputs"]
    norm: LayerNorm | None
    stride: int = eqx.field(static=True)
    padded: bool = eqx.field(static=True)

    def __init__(
        self,
        noise: Float[Array, "width width inputs outputs"],
        *,
        stride: int = 1,
        padded: bool = True,
        layer_norm: bool = False,
    ):
        """From noise in [-1, 1]; the kernel's variance is 2 / its inputs (He et al. 2015)."""
        self.kernel = noise * (6 / math.prod(noise.shape[:-1])) ** 0.5
        self.bias = jnp.zeros(CHANNELS)
        self.norm = LayerNorm(CHANNELS) if layer_norm else None
        self.stride, self.padded = stride, padded

    def __call__(
        self, x: Float[Array, "images height width inputs"]
    ) -> Float[Array, "images rows columns outputs"]:
        pads, strides = "SAME" if self.padded else "VALID", (self.stride, self.stride)
        layout = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, self.kernel, strides, pads, dimension_numbers=layout) + self.bias
        return jax.nn.relu(self.norm(x) if self.norm else x)


def pooled(
    x: Float[Array, "images height width channels"], width: int
) -> Float[Array, "images rows columns channels"]:
    """The largest of each width x width places, none of which is below 0; zeros fill up the edges.

    As a maximum over two dimensions: on a CPU XLA's gradient of a window's maximum takes five to fifteen
    times as long.
    """
    gaps = [-side % width for side in x.shape[1:3]]
    x = jnp.pad(x, ((0, 0), *((gap // 2, gap - gap // 2) for gap in gaps), (0, 0)))
    images, height, columns, channels = x.shape
    return x.reshape(images, height // width, width, columns // width, width, channels).max((2, 4))


class Trunk(eqx.Module):
    """From a picture to the map that the action is added to: an eighteenth of each side, rounded up."""

    convolutions: tuple[Convolution, ...]

    def __init__(self, channels: int, key: Key, *, layer_norm: bool = False):
        key_first, key_others = jax.random.split(key)
        first = noise(key_first, (6, 6, channels, CHANNELS))
        others = noise(key_others, (ALONE, 5, 5, CHANNELS, CHANNELS))
        self.convolutions = (
            Convolution(first, stride=2, layer_norm=layer_norm),
            *(Convolution(one, layer_norm=layer_norm) for one in others),
        )

    def __call__(self, picture: Array) -> Float[Array, "*batch rows columns channels"]:
        """picture: bytes, (*batch, height, width, channels)."""
        x = jnp.asarray(picture, jnp.float32).reshape(-1, *picture.shape[-3:]) / 255.0 - 0.5
        first, *others = self.convolutions
        x = pooled(first(x), 3)
        for convolution in others:
            x = convolution(x)
        x = pooled(x, 3)
        return x.reshape(*picture.shape[:-3], *x.shape[1:])


class Head(eqx.Module):
    """From the map, and the action with the observation's numbers, to a value.

    The paper has a linear layer to 256 for each part of an action and for each number, and adds what they
    answer: that is one linear layer of all of them side by side, so no parts need be told apart.
    """

    context: MLP
    together: tuple[Convolution, ...]
    last: tuple[Convolution, ...]
    dense: MLP

    def __init__(self, sides: list[int], numbers: int, key: Key, *, layer_norm: bool = False):
        """sides: the map's, in places.   numbers: how many there are, the action's among them."""
        key_context, key_dense, key_kernels = jax.random.split(key, 3)
        self.context = MLP(numbers, (CONTEXT,), CHANNELS, key_context, layer_norm=layer_norm)
        sides, last = [-(-side // 2) for side in sides], 0
        while last < LAST and min(sides) >= 3:
            sides, last = [side - 2 for side in sides], last + 1
        kernels = noise(key_kernels, (TOGETHER + last, 3, 3, CHANNELS, CHANNELS))
        self.together = tuple(Convolution(one, layer_norm=layer_norm) for one in kernels[:TOGETHER])
        self.last = tuple(Convolution(one, padded=False, layer_norm=layer_norm) for one in kernels[TOGETHER:])
        self.dense = MLP(sides[0] * sides[1] * CHANNELS, DENSE, 1, key_dense, layer_norm=layer_norm)

    def __call__(
        self,
        places: Float[Array, "batch rows columns channels"],
        numbers: Float[Array, "*samples batch numbers"],
    ) -> Float[Array, "*samples batch"]:
        x = places + jax.nn.relu(self.context(numbers))[..., None, None, :]
        maps = x.reshape(-1, *x.shape[-3:])
        for convolution in self.together:
            maps = convolution(maps)
        maps = pooled(maps, 2)
        for convolution in self.last:
            maps = convolution(maps)
        return self.dense(maps.reshape(len(maps), -1)).reshape(x.shape[:-3])


class QTOptCritic(Critic):
    """QT-Opt's network: 1.24 million parameters at 472 x 472 pixels; members share the trunk, not the head.

    Many actions for each observation, (samples, batch, dimensions), give (members, samples, batch): the trunk
    runs once for each observation, and the head for each action, which is 0.17 of 4.4 billion multiplications
    at 472 pixels. It holds maps for all samples of a batch at once.

    Small pictures: the map is 3 x 3 at 48 pixels and 4 x 4 at 64, and 2 x 2 after its pooling. Of the last
    convolutions, which have no padding, only those are there that find 3 places along both sides: at 48 and
    64 pixels none, at 472 all three.

    The paper has batch norm after each layer. Here there is none; with `layer_norm`, convolutions have layer
    norm in its place, and the layers without pictures as in `MLP`.
    """

    picture: str = eqx.field(static=True)
    trunk: Trunk
    others: dict[str, Encoder]
    heads: tuple[Head, ...]

    @property
    def action_size(self) -> int:
        numbers = self.heads[0].context.layers[0].weight.shape[-2]
        return numbers - sum(part.size for part in self.others.values())

    def first(self) -> Self:
        return dataclasses.replace(self, heads=self.heads[:1])

    def __call__(self, observation: Observation, action: Array) -> Float[Array, " members *batch"]:
        named: dict[str, Any] = arrays_of(observation)
        numbers = [part(named[path]) for path, part in sorted(self.others.items())]
        numbers = [jnp.broadcast_to(one, (*action.shape[:-1], one.shape[-1])) for one in numbers]
        places, beside = self.trunk(named[self.picture]), jnp.concatenate([*numbers, action], axis=-1)
        return jnp.stack([head(places, beside) for head in self.heads])


def picture_of(observation: Space) -> tuple[str, Box]:
    """Path and space of an observation's one picture; ConfigError where it has none or several."""
    leaves = leaves_of(observation).items()
    pictures = [(path, leaf) for path, leaf in leaves if isinstance(leaf, Box) and leaf.is_image]
    if len(pictures) != 1:
        raise ConfigError(
            "network='paper' needs an observation with one picture (height, width, channels; uint8), "
            f"found {len(pictures)} in {observation}. Choose network='late'."
        )
    return pictures[0]


def qt_opt_critic(
    observation: Space, action: Box, members: int, key: Key, *, layer_norm: bool = False
) -> QTOptCritic:
    """The paper's critic of an observation with one picture; the rest of it stands beside the action.

    Raises ConfigError where the observation has no picture or several.
    """
    picture, space = picture_of(observation)
    key_trunk, *keys = jax.random.split(key, 1 + members)
    trunk = Trunk(space.shape[-1], key_trunk, layer_norm=layer_norm)
    sides = [-(-side // SHRUNK) for side in space.shape[:2]]
    # what is no picture has nothing to learn, and draws nothing from the key
    leaves = leaves_of(observation).items()
    others = {path: encoder_for(leaf, key) for path, leaf in leaves if path != picture}
    numbers = action.size + sum(part.size for part in others.values())
    heads = tuple(Head(sides, numbers, k, layer_norm=layer_norm) for k in keys)
    return QTOptCritic(picture, trunk, others, heads)
