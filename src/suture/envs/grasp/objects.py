"""What lies in the bin: objects of random shape, size, density, friction and colour."""

import colorsys
import dataclasses
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from suture.errors import ConfigError

Objects: TypeAlias = Literal["train", "held-out", "any"]
Sizes: TypeAlias = tuple[float, ...]
Part: TypeAlias = tuple[str, Sizes, tuple[float, float, float], tuple[float, float, float]]
"""A geom: MuJoCo's type and half sizes (metres), where its middle is, and where its z axis points."""
UP, ALONG = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)
CENTRE = (0.0, 0.0, 0.0)
FEWEST, MOST = 3, 6
DENSITY, FRICTION = (300.0, 1200.0), (0.9, 1.4)
"""kg per cubic metre, from foam to plastic; and the coefficient of sliding friction."""


def _box(generator: np.random.Generator) -> list[Part]:
    return [("box", _drawn(generator, (0.012, 0.012, 0.012), (0.022, 0.042, 0.022)), CENTRE, UP)]


def _cylinder(generator: np.random.Generator) -> list[Part]:
    return [("cylinder", _drawn(generator, (0.012, 0.012), (0.022, 0.042)), CENTRE, UP)]


def _ellipsoid(generator: np.random.Generator) -> list[Part]:
    return [("ellipsoid", _drawn(generator, (0.014, 0.014, 0.014), (0.022, 0.044, 0.022)), CENTRE, UP)]


def _capsule(generator: np.random.Generator) -> list[Part]:
    return [("capsule", _drawn(generator, (0.011, 0.015), (0.018, 0.03)), CENTRE, UP)]


def _tee(generator: np.random.Generator) -> list[Part]:
    """A bar and a stem that stands out from its middle."""
    bar, thick, stem, deep = _drawn(generator, (0.024, 0.009, 0.014, 0.010), (0.032, 0.012, 0.020, 0.014))
    return [
        ("box", (bar, thick, deep), (0.0, stem, 0.0), UP),
        ("box", (thick, stem, deep), (0.0, -thick, 0.0), UP),
    ]


def _dumbbell(generator: np.random.Generator) -> list[Part]:
    """Two balls on a bar."""
    ball, apart, bar = _drawn(generator, (0.014, 0.020, 0.006), (0.018, 0.028, 0.009))
    return [
        ("sphere", (ball,), (-apart, 0.0, 0.0), UP),
        ("sphere", (ball,), (apart, 0.0, 0.0), UP),
        ("cylinder", (bar, apart), CENTRE, ALONG),
    ]


SHAPES: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "box": _box, "cylinder": _cylinder, "ellipsoid": _ellipsoid,
    "capsule": _capsule, "T": _tee, "dumbbell": _dumbbell,
}  # fmt: skip
KINDS: dict[Objects, tuple[str, ...]] = {
    "train": ("box", "cylinder", "ellipsoid"),
    "held-out": ("capsule", "T", "dumbbell"),
    "any": tuple(SHAPES),
}
"""Which shapes are in logs, and which are only for evaluation."""


@dataclasses.dataclass(frozen=True)
class Thing:
    """One object.   density: kg per cubic metre.   colour: red, green, blue, each from 0 to 1."""

    shape: str
    parts: tuple[Part, ...]
    density: float
    friction: float
    colour: tuple[float, float, float]

    def xml(self, name: str) -> str:
        """The object as a free body of class `thing`, at the origin."""
        look = f'density="{self.density!r}" friction="{self.friction!r} .01 .001"'
        geoms = "".join(
            f'<geom class="thing" type="{kind}" size="{_text(size)}" pos="{_text(place)}"'
            f' zaxis="{_text(axis)}" rgba="{_text(self.colour)} 1" {look}/>'
            for kind, size, place, axis in self.parts
        )
        return f'<body name="{name}"><joint class="thing" type="free"/>{geoms}</body>'


def draw(generator: np.random.Generator, objects: Objects) -> list[Thing]:
    """Three to six random objects.   Raises ConfigError for a kind that `KINDS` has not."""
    if objects not in KINDS:
        raise ConfigError(f"objects must be one of {', '.join(KINDS)}, found {objects!r}.")
    count = int(generator.integers(FEWEST, MOST + 1))
    return [_thing(generator, KINDS[objects][generator.integers(len(KINDS[objects]))]) for _ in range(count)]


def _thing(generator: np.random.Generator, shape: str) -> Thing:
    parts = SHAPES[shape](generator)
    density, friction = _drawn(generator, *zip(DENSITY, FRICTION, strict=True))
    hue, strong, bright = _drawn(generator, (0.0, 0.5, 0.5), (1.0, 0.95, 1.0))
    return Thing(shape, tuple(parts), density, friction, colorsys.hsv_to_rgb(hue, strong, bright))


def _drawn(generator: np.random.Generator, low: Sizes, high: Sizes) -> Sizes:
    return tuple(generator.uniform(low, high).tolist())


def _text(numbers: Sizes) -> str:
    return " ".join(map(repr, numbers))
