"""Where things lie in an episode of the composite task, and which layouts no log shows."""

import dataclasses
from typing import Literal, TypeAlias

import numpy as np

from suture.errors import ConfigError

Layouts: TypeAlias = Literal["train", "held-out", "any"]
DRAWER, DOOR = (-0.13, 0.05), (-0.02, 0.12)
"""Range of the drawer's place along the cabinet (y), and of the doorway's along the wall (x), in metres."""
PLACES: dict[Layouts, tuple[tuple[float, float], ...]] = {
    "train": ((0.0, 0.3), (0.7, 1.0)), "held-out": ((0.4, 0.6),), "any": ((0.0, 1.0),),
}  # fmt: skip
"""Parts of its range in which each of the two may stand.

In no log does either stand in the middle four tenths (72 mm of the drawer's range, 56 mm of the doorway's).
In a held-out layout both do, at least 18 and 14 mm from where any log shows them, and up to 36 and 28 mm.
"""


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


def shown(place: float) -> bool:
    """Whether a place in [0, 1] lies in a part of its range that logs show."""
    return any(low <= place <= high for low, high in PLACES["train"])


def check(layouts: str) -> None:
    """Raises ConfigError where there are no such layouts."""
    if layouts not in PLACES:
        raise ConfigError(f"layouts must be one of {', '.join(PLACES)}, found {layouts!r}.")


def draw(generator: np.random.Generator, layouts: Layouts, *, share: float = 1.0) -> Layout:
    """A random layout.

    layouts: "train", "held-out" or "any", as `PLACES` has them.
    share: the drawer stands in this share of its places, counted from the lower end; 1 is no limit.
    """
    check(layouts)
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"The drawer's share of places must be above 0 and at most 1, found {share}.")
    drawer, door = (_place(PLACES[layouts], part * float(generator.random())) for part in (share, 1.0))
    block, key = generator.uniform(-1.0, 1.0, (2, 2)) * [[0.015, 0.025], [0.01, 0.02]]
    return Layout(drawer=drawer, door=door, block=(block[0], block[1]), key=(key[0], key[1]))


def _place(parts: tuple[tuple[float, float], ...], along: float) -> float:
    """The place that has a share `along` of the parts' length below it."""
    rest = along * sum(high - low for low, high in parts)
    for low, high in parts:
        if rest < high - low:
            return low + rest
        rest -= high - low
    return parts[-1][1]
