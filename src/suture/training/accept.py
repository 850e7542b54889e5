"""What a policy accepts as an observation: the arrays of its data, and nothing that would be bent to fit."""

from typing import Any, cast

import numpy as np

from suture import spaces
from suture.errors import RefusedInput
from suture.spaces import Array, Box, Discrete, Space


def is_single(observation: Any, space: Space) -> bool:
    """Whether this is one observation, not a batch. `RefusedInput` where names or shapes do not fit."""
    leaves = spaces.leaves_of(space)
    found = {path: _array(path, value).shape for path, value in spaces.arrays_of(observation).items()}
    if found.keys() != leaves.keys():
        expected, given = ", ".join(leaves) or "one array", ", ".join(found) or "one array"
        raise RefusedInput(f"The policy takes an observation of {expected}; found {given}.")
    batches = set[int | None]()
    for path, leaf in leaves.items():
        shape = leaf.shape if isinstance(leaf, Box) else ()
        if found[path] != shape and found[path][1:] != shape:
            raise RefusedInput(
                f"The policy takes observations of shape {list(shape)}{_at(path)}, alone or with one batch "
                f"dimension in front; found {list(found[path])}."
            )
        batches.add(None if found[path] == shape else found[path][0])
    if len(batches) > 1:
        sizes = ", ".join(sorted("none" if size is None else str(size) for size in batches))
        raise RefusedInput(
            f"The parts of the observation differ in their batch dimension ({sizes}). Give all of them the "
            "same one, or none."
        )
    return batches.pop() is None


def as_stored(observation: Any, space: Space) -> Any:
    """An observation in the dtypes of the data.

    Where the data are floats, other floats and integers are cast. Where they are bytes or choices, integers
    of any dtype are, if they are in range; floats are refused, for the cast would cut them. NaN and infinity
    are refused.
    """
    leaves = spaces.leaves_of(space)

    def walk(tree: Any, path: str) -> Any:
        if isinstance(tree, dict):
            named = cast("dict[str, Any]", tree)
            return {name: walk(inner, f"{path}/{name}" if path else name) for name, inner in named.items()}
        return _stored(_array(path, tree), path, leaves[path])

    return walk(observation, "")


def _stored(array: Array, path: str, leaf: Box | Discrete) -> Array:
    if isinstance(leaf, Box) and leaf.dtype.startswith("float"):
        return _as_floats(array, path, leaf.dtype)
    choice = isinstance(leaf, Discrete)
    dtype = np.dtype(np.int32 if isinstance(leaf, Discrete) else leaf.dtype)
    low, high = (0, leaf.n - 1) if isinstance(leaf, Discrete) else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    expected = f"choices from {low} to {high}" if choice else f"{dtype} values from {low} to {high}"
    if array.dtype.kind not in "iub":
        remedy = "Number the choices as in the log." if choice else (
            f"Give the values as they were recorded, such as (image * 255).round().astype({str(dtype)!r}) "
            "for a camera whose values lie in [0, 1]."
        )  # fmt: skip
        raise RefusedInput(f"The policy takes {expected}{_at(path)}; found {array.dtype} values. {remedy}")
    wrong = (array < low) | (array > high)
    if wrong.any():
        count, first = f"{int(wrong.sum()):,} of {wrong.size:,}", array[wrong].flat[0]
        remedy = "Number the choices as in the log." if choice else "Give the values as they were recorded."
        raise RefusedInput(
            f"The policy takes {expected}{_at(path)}; {count} are others, the first {first}. {remedy}"
        )
    return array.astype(dtype)


def _as_floats(array: Array, path: str, dtype: str) -> Array:
    if array.dtype.kind not in "fiub":
        raise RefusedInput(
            f"The policy takes {dtype} values{_at(path)}; found {array.dtype} values. Convert them."
        )
    with np.errstate(over="ignore"):
        stored = array.astype(dtype)
    if not np.isfinite(stored).all():
        count = int((~np.isfinite(stored)).sum())
        raise RefusedInput(
            f"The observation{_at(path)} holds NaN or infinity in {count:,} of {stored.size:,} values. The "
            f"policy knows finite {dtype} alone; mend the sensor, or do not act on this observation."
        )
    return stored


def _array(path: str, value: Any) -> Array:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise RefusedInput(
            f"The observation{_at(path)} is no array: {error}. Give one of numbers."
        ) from error


def _at(path: str) -> str:
    return f" at {path!r}" if path else ""
