"""A small convolutional network for images of 32 to 128 pixels."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.mlp import Linear, noise

CHANNELS, STRIDES, FEATURES = (32, 32, 32), (2, 2, 1), 128


class ConvNet(eqx.Module):
    """Three 3x3 convolutions (strides 2, 2, 1) with ReLU, then a linear layer to 128 features.

    Input: (*batch, height, width, channels) in [0, 1].
    """

    kernels: tuple[Float[Array, "3 3 inputs outputs"], ...]
    biases: tuple[Float[Array, " outputs"], ...]
    project: Linear
    size: int = eqx.field(static=True)

    def __init__(self, shape: tuple[int, ...], key: Key):
        height, width, channels = shape
        keys = jax.random.split(key, len(CHANNELS) + 1)
        initialise = jax.nn.initializers.he_normal()
        sizes = (channels, *CHANNELS)
        self.kernels = tuple(
            initialise(k, (3, 3, size_in, size_out), jnp.float32)
            for size_in, size_out, k in zip(sizes[:-1], sizes[1:], keys[:-1], strict=True)
        )
        self.biases = tuple(jnp.zeros(size) for size in CHANNELS)
        for stride in STRIDES:
            height, width = -(-height // stride), -(-width // stride)
        self.project = Linear(noise(keys[-1], (height * width * CHANNELS[-1] + 1, FEATURES)))
        self.size = FEATURES

    def __call__(self, x: Float[Array, "*batch height width channels"]) -> Float[Array, "*batch features"]:
        batch = x.shape[:-3]
        x = x.reshape(-1, *x.shape[-3:])
        for kernel, bias, stride in zip(self.kernels, self.biases, STRIDES, strict=True):
            layout = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=layout)
            x = jax.nn.relu(x + bias)
        return jax.nn.relu(self.project(x.reshape(*batch, -1)))
