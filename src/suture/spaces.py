"""What an observation or an action is: a tree of array specifications.

A space is `Box` (an array), `Discrete` (one of n choices) or `Dict` (named spaces). Arrays that belong to
a `Dict` space are dictionaries with the same keys; `map_arrays` walks both.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from suture.errors import FormatError, HostileFile

MOST = 2**31 - 1
"""Choices, or elements of an array, that a space may have."""

LISTED = 6
"""Dimensions whose bounds are printed one by one."""

Array: TypeAlias = NDArray[Any]
Tree: TypeAlias = Array | dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Box:
    """An array. `low`, `high`: per-element bounds, flattened, or None where none are known."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None

    @property
    def is_image(self) -> bool:
        """Unsigned bytes in three dimensions: height, width, channels."""
        return self.dtype == "uint8" and len(self.shape) == 3

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def is_finite(self) -> bool:
        """Whether no bound that is known is infinite."""
        return all(map(math.isfinite, [*(self.low or ()), *(self.high or ())]))

    @property
    def kind(self) -> str:
        """'box[3] float32', without the bounds."""
        return f"{'image' if self.is_image else 'box'}{list(self.shape)} {self.dtype}"

    def __str__(self) -> str:
        if self.low is None or self.high is None or not self.low:
            return self.kind
        bounds = [f"[{low:g}, {high:g}]" for low, high in zip(self.low, self.high, strict=True)]
        if len(set(bounds)) == 1:
            return f"{self.kind} in {bounds[0]}"
        more = " x ..." if len(bounds) > LISTED else ""
        return f"{self.kind} in {' x '.join(bounds[:LISTED])}{more}"


@dataclasses.dataclass(frozen=True)
class Discrete:
    """One of `n` choices, stored as an integer from 0 to n - 1."""

    n: int

    def __str__(self) -> str:
        return f"discrete({self.n})"


@dataclasses.dataclass(frozen=True)
class Dict:
    """Named spaces, in sorted order."""

    items: tuple[tuple[str, "Space"], ...]

    @staticmethod
    def of(spaces: "Mapping[str, Space]") -> "Dict":
        return Dict(tuple(sorted(spaces.items())))

    def __str__(self) -> str:
        return "{" + ", ".join(f"{name}: {space}" for name, space in self.items) + "}"


Space: TypeAlias = Box | Discrete | Dict


def to_json(space: Space) -> dict[str, Any]:
    """A space as JSON-able values."""
    if isinstance(space, Dict):
        return {"type": "dict", "items": {name: to_json(inner) for name, inner in space.items}}
    if isinstance(space, Discrete):
        return {"type": "discrete", "n": space.n}
    low, high = (None if b is None else list(b) for b in (space.low, space.high))
    return {"type": "box", "shape": list(space.shape), "dtype": space.dtype, "low": low, "high": high}


def from_json(values: Mapping[str, Any]) -> Space:
    """The space that `to_json` wrote; `FormatError` for anything else."""
    try:
        kind = values["type"]
        if kind == "dict":
            return Dict.of({str(name): from_json(inner) for name, inner in values["items"].items()})
        if kind == "discrete":
            return Discrete(_whole(values["n"], least=1))
        if kind == "box":
            return _box(values)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(f"A space is not readable: {error!r} in {dict(values)!r:.200}.") from error
    raise FormatError(f"A space must be of type box, discrete or dict, found {kind!r}.")


def _box(values: Mapping[str, Any]) -> Box:
    dtype, shape = np.dtype(str(values["dtype"])), tuple(_whole(length) for length in list(values["shape"]))
    if dtype.kind not in "fiub":
        raise ValueError(f"dtype {dtype}")
    if math.prod(shape) > MOST:
        raise ValueError(f"shape {list(shape)}")
    low, high = (None if values[b] is None else tuple(map(float, values[b])) for b in ("low", "high"))
    if any(bound is not None and len(bound) != math.prod(shape) for bound in (low, high)):
        raise ValueError(f"bounds that do not fit the shape {list(shape)}")
    if low is not None and high is not None and not all(map(float.__le__, low, high)):
        raise ValueError("a lower bound above the upper one")
    return Box(shape, dtype.name, low, high)


def _whole(value: Any, *, least: int = 0) -> int:
    """A whole number that is one in the file too: 3.7, "3" and true are none."""
    if type(value) is not int or not least <= value <= MOST:
        raise ValueError(f"{value!r:.40} where a whole number from {least} to {MOST} belongs")
    return value


def signature(space: Space) -> str:
    """A space in a line that does not change between versions, for the identity of stored state."""
    if isinstance(space, Dict):
        return "{" + ", ".join(f"{name}: {signature(inner)}" for name, inner in space.items) + "}"
    if isinstance(space, Discrete) or space.low is None or space.high is None:
        return str(space)
    return f"{space.kind} in [{min(space.low):g}, {max(space.high):g}]"


def map_arrays(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply `function` to each array of a tree (and to the arrays at the same place of `others`)."""
    if isinstance(tree, dict):
        return {
            name: map_arrays(function, inner, *(other[name] for other in others))
            for name, inner in cast("dict[str, Any]", tree).items()
        }
    return function(tree, *others)


def arrays_of(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Path ('', 'camera', 'arm/joint') -> array, in sorted order."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    found: dict[str, Any] = {}
    for name, inner in sorted(cast("dict[str, Any]", tree).items()):
        found |= arrays_of(inner, f"{prefix}/{name}" if prefix else name)
    return found


def tree_of(arrays: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The tree of arrays by their paths, none of which is ''.   where: named in the errors.

    Raises `HostileFile` where a path is an array as well as a group of arrays.
    """
    tree: dict[str, Any] = {}
    for path, array in arrays.items():
        *folders, leaf = path.split("/")
        place: Any = tree
        for folder in folders:
            place = place.setdefault(folder, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict) or leaf in place:
            raise HostileFile(f"{where}: {path!r:.200} is an array as well as a group, or lies in an array.")
        place[leaf] = array
    return tree


def space_of(tree: Any) -> Space:
    """The space of batched arrays (rows first), without bounds."""
    if isinstance(tree, dict):
        return Dict.of({name: space_of(inner) for name, inner in cast("dict[str, Any]", tree).items()})
    return Box(tuple(tree.shape[1:]), tree.dtype.name)


def leaves_of(space: Space) -> dict[str, Box | Discrete]:
    """Path -> leaf space, in the order of `arrays_of`."""
    if not isinstance(space, Dict):
        return {"": space}
    found: dict[str, Box | Discrete] = {}
    for name, inner in space.items:
        for path, leaf in leaves_of(inner).items():
            found[f"{name}/{path}" if path else name] = leaf
    return found
