"""A small convolutional network for images of 16 to 128 pixels."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.mlp import Linear, noise

PATCHES, CHANNELS, FEATURES = (4, 2), (32, 64, 64), 256
"""Width of a patch of pixels, and of a patch of those; their features and the convolution's; a picture's."""
AT_ONCE, PARTS = 32, 16
"""Pictures that a CPU takes through the layers together; into how many parts a batch is cut at most."""


class ConvNet(eqx.Module):
    """Patches of 4x4 pixels, patches of 2x2 of these, a 3x3 convolution, a layer to 256 features; all ReLU.

    Patches do not overlap, so that all but the convolution are matrix products: on a CPU it trains three
    to four times as fast as three convolutions of strides 2, 2, 1, and QT-Opt grasped better with it
    (benchmarks/image_training.py, benchmarks/RESULTS.md). There a batch goes through them in parts, so that
    what lies between two layers stays in the cache.
    Input: (*batch, height, width, channels) in [0, 1]; sides that are no multiple of 8 are filled with grey.
    """

    patches: tuple[Linear, ...]
    kernel: Float[Array, "3 3 inputs outputs"]
    bias: Float[Array, " outputs"]
    project: Linear
    size: int = eqx.field(static=True)

    def __init__(self, shape: tuple[int, ...], key: Key):
        *sides, channels = shape
        *keys, key_kernel, key_project = jax.random.split(key, len(PATCHES) + 2)
        patches, size = list[Linear](), channels
        for patch, out, k in zip(PATCHES, CHANNELS[:-1], keys, strict=True):
            patches.append(Linear(noise(k, (patch * patch * size + 1, out))))
            sides, size = [-(-side // patch) for side in sides], out
        self.patches = tuple(patches)
        self.kernel = jax.nn.initializers.he_normal()(key_kernel, (3, 3, *CHANNELS[-2:]), jnp.float32)
        self.bias = jnp.zeros(CHANNELS[-1])
        self.project = Linear(noise(key_project, (sides[0] * sides[1] * CHANNELS[-1] + 1, FEATURES)))
        self.size = FEATURES

    def __call__(self, x: Float[Array, "*batch height width channels"]) -> Float[Array, "*batch features"]:
        batch = x.shape[:-3]
        x = x.reshape(-1, *x.shape[-3:])
        parts = min(PARTS, len(x) // AT_ONCE) if jax.default_backend() == "cpu" else 1
        x = jnp.concatenate([self.places(part) for part in jnp.array_split(x, max(1, parts))])
        return jax.nn.relu(self.project(x.reshape(*batch, -1)))

    def places(
        self, x: Float[Array, "images height width channels"]
    ) -> Float[Array, "images rows columns features"]:
        """What the convolution finds at each place, before the layer that joins them."""
        x = x - 0.5
        for patch, layer in zip(PATCHES, self.patches, strict=True):
            x = jax.nn.relu(layer(in_patches(x, patch)))
        layout = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, self.kernel, (1, 1), "SAME", dimension_numbers=layout)
        return jax.nn.relu(x + self.bias)


def in_patches(
    x: Float[Array, "images height width channels"], patch: int
) -> Float[Array, "images rows columns features"]:
    """Blocks of patch x patch pixels side by side; at the right and the bottom filled up with zeros."""
    height, width = (-side % patch for side in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), (0, height), (0, width), (0, 0)))
    images, height, width, channels = x.shape
    x = x.reshape(images, height // patch, patch, width // patch, patch, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(images, height // patch, width // patch, -1)
