"""Where things lie in an episode of the composite task, and which layouts no log shows."""

import dataclasses
from typing import Literal, TypeAlias

import numpy as np

from suture.errors import ConfigError

Layouts: TypeAlias = Literal["train", "held-out", "any"]
CELLS, HELD_OUT = 10, (2, 7)
"""Places of drawer and doorway fall into ten cells; two of them are kept out of every log."""
DRAWER, DOOR = (-0.13, 0.05), (-0.02, 0.12)
"""Range of the drawer's place along the cabinet (y), and of the doorway's along the wall (x), in metres."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """drawer, door: place in [0, 1] along its range.   block: (2,) offset of the block in the drawer's way.

    key: (2,) offset of the key in the drawer, in metres.
    """

    drawer: float
    door: float
    block: tuple[float, float]
    key: tuple[float, float]

    @property
    def drawer_y(self) -> float:
        return DRAWER[0] + self.drawer * (DRAWER[1] - DRAWER[0])

    @property
    def door_x(self) -> float:
        return DOOR[0] + self.door * (DOOR[1] - DOOR[0])


def held_out(place: float) -> bool:
    """Whether a place in [0, 1] lies in a part of its range that no log shows."""
    return min(int(CELLS * place), CELLS - 1) in HELD_OUT


def draw(generator: np.random.Generator, layouts: Layouts, *, drawer_below: float = 1.0) -> Layout:
    """A random layout.

    layouts: "train": neither drawer nor doorway stands in a held-out part; "held-out": both do.
    drawer_below: the drawer's place is less than this; 1 is no limit.
    """
    if layouts not in ("train", "held-out", "any"):
        raise ConfigError(f"layouts must be train, held-out or any, found {layouts!r}.")
    if not 0.0 < drawer_below <= 1.0 or (layouts == "held-out" and drawer_below <= HELD_OUT[0] / CELLS):
        raise ConfigError(f"No {layouts} layout has its drawer below {drawer_below}. Raise it, to at most 1.")

    def place(below: float) -> float:
        while True:
            one = below * float(generator.random())
            if layouts == "any" or held_out(one) == (layouts == "held-out"):
                return one

    drawer, door = place(drawer_below), place(1.0)
    block, key = generator.uniform(-1.0, 1.0, (2, 2)) * [[0.015, 0.025], [0.01, 0.02]]
    return Layout(drawer=drawer, door=door, block=(block[0], block[1]), key=(key[0], key[1]))
