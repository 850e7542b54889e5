"""From an observation to a feature vector. `encoder_for` is the only place that asks what it is."""

import abc
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key
from suture.nets.conv import ConvNet
from suture.spaces import Box, Dict, Discrete, Space

Observation: TypeAlias = Array | Mapping[str, "Observation"]


class Encoder(eqx.Module):
    """Maps a batch of observations to `size` features."""

    size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def __call__(self, observation: Observation) -> Float[Array, "*batch features"]:
        raise NotImplementedError


class Flatten(Encoder):
    """A numeric array, flattened: nothing to learn."""

    size: int = eqx.field(static=True)
    rank: int = eqx.field(static=True)

    def __call__(self, observation: Observation) -> Float[Array, "*batch features"]:
        x = jnp.asarray(observation, jnp.float32)
        return x.reshape(*x.shape[: x.ndim - self.rank], self.size)


class OneHot(Encoder):
    """One of n choices as a unit vector."""

    size: int = eqx.field(static=True)

    def __call__(self, observation: Observation) -> Float[Array, "*batch features"]:
        return jax.nn.one_hot(observation, self.size)


class Image(Encoder):
    """Bytes scaled to [0, 1], then a convolutional network."""

    net: ConvNet
    size: int = eqx.field(static=True)

    def __init__(self, shape: tuple[int, ...], key: Key):
        self.net = ConvNet(shape, key)
        self.size = self.net.size

    def __call__(self, observation: Observation) -> Float[Array, "*batch features"]:
        return self.net(jnp.asarray(observation, jnp.float32) / 255.0)


class Concatenate(Encoder):
    """The features of each named part, side by side."""

    parts: dict[str, Encoder]
    size: int = eqx.field(static=True)

    def __call__(self, observation: Observation) -> Float[Array, "*batch features"]:
        named = cast("Mapping[str, Observation]", observation)
        return jnp.concatenate([part(named[name]) for name, part in self.parts.items()], axis=-1)


class Elsewhere(Encoder):
    """Nothing: the network that holds it looks through the encoder of another one (`through`)."""

    size: int = eqx.field(static=True)

    def __call__(self, observation: Observation) -> Float[Array, "*batch features"]:
        raise RuntimeError("This network has no encoder of its own: ask it through that of the critics.")


Encoded = TypeVar("Encoded", bound=eqx.Module)
"""A network with an `encoder`."""


def without_encoder(net: Encoded) -> Encoded:
    """The network with nothing in its encoder's place."""
    return eqx.tree_at(_encoder, net, Elsewhere(_encoder(net).size))


def through(net: Encoded, other: eqx.Module) -> Encoded:
    """The network with another's encoder in the place of its own."""
    return eqx.tree_at(_encoder, net, _encoder(other))


def _encoder(net: Any) -> Encoder:
    return net.encoder


def encoder_for(space: Space, key: Key) -> Encoder:
    """The encoder of an observation space."""
    if isinstance(space, Dict):
        keys = jax.random.split(key, len(space.items))
        parts = {name: encoder_for(inner, k) for (name, inner), k in zip(space.items, keys, strict=True)}
        return Concatenate(parts=parts, size=sum(part.size for part in parts.values()))
    if isinstance(space, Discrete):
        return OneHot(size=space.n)
    return Image(space.shape, key) if space.is_image else Flatten(size=space.size, rank=len(space.shape))


def has_images(space: Space) -> bool:
    """Whether a convolutional network will be part of the encoder."""
    if isinstance(space, Dict):
        return any(has_images(inner) for _, inner in space.items)
    return isinstance(space, Box) and space.is_image
