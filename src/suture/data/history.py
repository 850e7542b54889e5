"""The last images of an episode as one, side by side in the channels, the oldest first.

At an episode's beginning its first image stands for those that there are none of. Source: Mnih et al. 2015.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from suture import spaces
from suture.spaces import Array, Box, Dict, Space, Tree

BACK = "back"
"""The column of how many rows, at least, belong to the same episode before a row."""


def stacked_space(space: Space, count: int) -> Space:
    """The space of observations whose images are the last `count`."""
    if isinstance(space, Dict):
        return Dict.of({name: stacked_space(inner, count) for name, inner in space.items})
    if count == 1 or not isinstance(space, Box) or not space.is_image:
        return space
    height, width, channels = space.shape
    return Box((height, width, count * channels), space.dtype)


def images_back(
    alone: Mapping[str, Any], path: str, index: Any, count: int, rows: Callable[[Any, Any], Any], numpy: Any
) -> Any:
    """The last `count` images of some rows, (*batch, height, width, count * channels).

    alone: columns by path, rows of an episode one after the other; with `BACK`.   path: of images; those that
    belong before the next observation's are the observation's.   rows(column, index): some of its rows.
    """
    back, before = rows(alone[BACK], index), path.removeprefix("next_")
    ahead = path != before
    steps = [numpy.minimum(step - ahead, back) for step in range(count - 1, 0, -1)]
    images = [rows(alone[before], index - step) for step in steps]
    return numpy.concatenate([*images, rows(alone[path], index)], axis=-1)


class History:
    """The last `count` images of every slot, while episodes are played.

    An image is what `Box.is_image` says, with a dimension of slots in front.
    """

    def __init__(self, count: int):
        self.count: int = count
        self._tree: Tree | None = None

    def after(self, observation: Tree, begun: Array) -> Tree:
        """What a policy is to see after an observation, (slots, ...).   begun: slots with a new episode."""
        if self.count == 1:
            return observation
        fresh = spaces.map_arrays(
            lambda new: np.concatenate([new] * self.count, -1) if _is_image(new) else new, observation
        )

        def pushed(first: Array, old: Array, new: Array) -> Array:
            if not _is_image(new):
                return new
            moved = np.concatenate([old[..., new.shape[-1] :], new], axis=-1)
            return np.where(begun.reshape(-1, 1, 1, 1), first, moved)

        before = fresh if self._tree is None else self._tree
        seen = self._tree = spaces.map_arrays(pushed, fresh, before, observation)
        return seen


def _is_image(array: Array) -> bool:
    return array.dtype == np.uint8 and array.ndim == 4
