"""Images moved at random, anew for every update: learned from as if the camera stood a little elsewhere.

Source: Kostrikov et al. 2020 (arXiv:2004.13649): an image is padded by repeating its border, and a part of
its own size is cut out; the next observation is moved by a draw of its own. Whoever is asked about one
observation within an update, online or target networks, sees the same image.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from suture.algorithms.base import Batch
from suture.keys import Key
from suture.nets.encoder import Observation
from suture.spaces import Box, Dict, Space


def shifts(key: Key, count: int, pixels: int) -> Int[Array, "count 2"]:
    """How far each row of a batch moves, down and right, -pixels to pixels.

    That of row i depends on the key and on i, and not on how many rows there are.
    """

    def shift(row: Array) -> Array:
        return jax.random.randint(jax.random.fold_in(key, row), (2,), -pixels, pixels + 1)

    return jax.vmap(shift)(jnp.arange(count))


def shifted(image: Array, shift: Int[Array, "batch 2"]) -> Array:
    """Images moved, (batch, *window, height, width, channels); all of a window alike.

    Output pixel (y, x) is input pixel (y + down, x + right), or the nearest one that there is.
    """
    height, width = image.shape[-3:-1]

    def one(image: Array, shift: Array) -> Array:
        rows = jnp.clip(jnp.arange(height) + shift[0], 0, height - 1)
        columns = jnp.clip(jnp.arange(width) + shift[1], 0, width - 1)
        image = image.at[..., rows, :, :].get(mode="promise_in_bounds")
        return image.at[..., columns, :].get(mode="promise_in_bounds")

    return jax.vmap(one)(image, shift)


def cropped(batch: Batch, space: Space, pixels: int, key: Key) -> Batch:
    """The batch with every image moved; all images of one observation alike.   space: of observations."""

    def moved(observation: Observation, which: int) -> Observation:
        shift = shifts(jax.random.fold_in(key, which), len(batch.action), pixels)
        return _moved(observation, space, shift)

    following = batch.next_observation
    return dataclasses.replace(
        batch,
        observation=moved(batch.observation, 0),
        next_observation=None if following is None else moved(following, 1),
    )


def smallest_side(space: Space) -> int | None:
    """Pixels of the shortest side of any image in an observation; None where there is no image."""
    if isinstance(space, Dict):
        sides = [side for _, inner in space.items if (side := smallest_side(inner)) is not None]
        return min(sides, default=None)
    return min(space.shape[:2]) if isinstance(space, Box) and space.is_image else None


def _moved(observation: Observation, space: Space, shift: Array) -> Observation:
    if isinstance(space, Dict):
        named = cast("Mapping[str, Any]", observation)
        return {name: _moved(named[name], inner, shift) for name, inner in space.items}
    is_image = isinstance(space, Box) and space.is_image
    return shifted(cast("Array", observation), shift) if is_image else observation
