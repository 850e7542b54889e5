"""One dtype per kind of column, decided by stated rules; and what is no finite number.

Floats, integers and booleans become float32. Unsigned bytes of shape (height, width, channels) stay
bytes. Choices, where a space says so, become int32. A column without axes becomes one of length 1.
Anything else (objects, text, dates, complex numbers) is refused.
"""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from suture import spaces
from suture.data.findings import Finding, at, share_of
from suture.data.places import Names
from suture.errors import DataRefused
from suture.spaces import Array, Box, Discrete, Space, Tree

EXACT_INTEGERS = 1 << 24
REMEDIES = {
    "observation": "Fill in what was not measured (by the last value that was, say), leave the column out, "
    "or remove these episodes",
    "action": "Fill in what was done, or remove these episodes",
    "reward": "Give these steps their reward (0 where nothing was earned), or remove their episodes; a step "
    "alone cannot be dropped, for what follows would be joined to what went before",
    "flag": "Write 1 where an episode ended so and 0 elsewhere",
    "probability": "Fill in how likely the action was, or leave the column out",
}
"""What to do about a number that is absent (an empty cell, or NaN), by what it is."""


def remedy(column: str) -> str:
    """What to do where numbers of a column of a log are absent, such as reward or next_observation/camera."""
    name = column.partition("/")[0].removeprefix("next_")
    kinds = {"terminal": "flag", "timeout": "flag", "done": "flag"}
    return REMEDIES.get(kinds.get(name, name), REMEDIES["probability"])


def refuse(id: str, message: str) -> DataRefused:
    """The error for a log from which no dataset can be formed."""
    return DataRefused(message, (Finding(id=id, severity="error", count=1, message=message),))


def need_numbers(name: str, array: Array) -> None:
    """Refuse a column that does not hold real numbers (D12)."""
    if array.dtype.kind not in "fiub":
        raise refuse(
            "not-numbers",
            f"Column {name} has dtype {array.dtype}, expected real numbers. Convert it to floats or "
            "integers, or leave it out; objects are never read.",
        )


def as_flags(name: str, column: Array | None, rows: int) -> NDArray[np.bool_]:
    """A column of flags as booleans, (rows,); all false where it is absent. Refuses all but 0 and 1."""
    if column is None:
        return np.zeros(rows, np.bool_)
    need_numbers(name, column)
    if column.size != rows:
        shape = list(column.shape)
        raise refuse(f"{name}-shape", f"Column {name} must hold one flag a row, found the shape {shape}.")
    flags = column.reshape(rows)
    wrong = ~((flags == 0) | (flags == 1))
    if wrong.any():
        message = (
            f"{share_of(wrong)} values of {name} are no flags, 0 or 1 (or false and true), first "
            f"{flags[wrong][0]:g}. {remedy('done')}; a value that is neither could hide an end."
        )
        raise DataRefused(message, (at("flags", "error", wrong, message),))
    return np.asarray(flags == 1)


def settle_tree(name: str, tree: Tree, declared: Space | None, found: list[Finding]) -> Tree:
    """Every array of a tree in its settled dtype, with a row axis and at least one more."""
    leaves = {} if declared is None else spaces.leaves_of(declared)

    def settle(tree: Any, path: str) -> Any:
        if isinstance(tree, dict):
            items = cast("dict[str, Any]", tree).items()
            return {key: settle(inner, f"{path}/{key}" if path else key) for key, inner in items}
        return _settle_array(f"{name}/{path}" if path else name, tree, leaves.get(path), found)

    return settle(tree, "")


def observation_space(tree: Tree, declared: Space | None) -> Space:
    """The space of a settled tree: choices where declared, boxes elsewhere."""
    choices = {} if declared is None else spaces.leaves_of(declared)

    def walk(tree: Any, path: str) -> Space:
        if isinstance(tree, dict):
            items = cast("dict[str, Any]", tree).items()
            return spaces.Dict.of({k: walk(inner, f"{path}/{k}" if path else k) for k, inner in items})
        leaf = choices.get(path)
        return leaf if isinstance(leaf, Discrete) else Box(tuple(tree.shape[1:]), tree.dtype.name)

    return walk(tree, "")


def _settle_array(name: str, array: Array, declared: Box | Discrete | None, found: list[Finding]) -> Array:
    need_numbers(name, array)
    width = int(np.prod(array.shape[1:], dtype=np.int64))
    if not width or (isinstance(declared, Discrete) and width > 1):
        expected = "one choice" if isinstance(declared, Discrete) else "at least one number"
        raise refuse(
            "observation-shape", f"{name} must hold {expected} a row, found the shape {list(array.shape)}."
        )
    if isinstance(declared, Discrete):
        return to_choices(name, array.reshape(-1), declared.n, found)
    if array.dtype == np.uint8 and array.ndim == 4:
        return array
    return to_float32(name, array.reshape(-1, 1) if array.ndim == 1 else array, found)


def to_choices(name: str, array: Array, n: int, found: list[Finding]) -> Array:
    """Labels 0 to n - 1 as int32, (N,). Labels beyond are an error."""
    wrong = ~((array >= 0) & (array < n) & (array == np.trunc(array)))
    if wrong.any():
        message = f"{share_of(wrong)} values of {name} are no labels from 0 to {n - 1}."
        found.append(at("labels", "error", wrong, f"{message} Relabel them 0, 1, 2 …"))
        array = np.where(wrong, 0, array)
    return array.astype(np.int32)


def to_float32(name: str, array: Array, found: list[Finding]) -> Array:
    """The array as float32; what overflows or is rounded beyond float32's exact integers is found (D12)."""
    if array.dtype == np.float32:
        return array
    with np.errstate(over="ignore", under="ignore"):
        cast32 = array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        over = _any_per_row(np.isinf(cast32) & np.isfinite(array))
        if over.any():
            message = f"{share_of(over)} rows of {name} are too large for float32 (3.4e38)."
            found.append(at("overflow", "error", over, f"{message} Rescale or mend the column."))
    elif array.dtype.kind in "iu" and array.size:
        over = _any_per_row((array > EXACT_INTEGERS) | (array.astype(np.int64) < -EXACT_INTEGERS))
        if over.any():
            message = f"{share_of(over)} integers of {name} lose digits in float32."
            found.append(at("rounded-integers", "warning", over, f"{message} Subtract an offset or rescale."))
    return cast32


def find_non_finite(
    name: str, array: Array, found: list[Finding], *, where: Array | None = None, names: Names | None = None
) -> None:
    """Report NaN and infinities of a settled column, with columns, counts and first rows (D1)."""
    if array.dtype.kind != "f":
        return
    bad = ~np.isfinite(array)
    if where is not None:
        bad[~where] = False
    if not bad.any():
        return
    rows = _any_per_row(bad)
    columns = np.flatnonzero(bad.reshape(len(bad), -1).any(0))
    known, more = (names or {}).get(name.removeprefix("next_"), ()), " …" if len(columns) > 5 else ""
    if known:
        named = f"{name} ({', '.join(repr(known[column]) for column in columns[:5])}{more})"
    elif array.ndim > 1 and array.shape[1:] != (1,):
        named = f"{name} (column {', '.join(map(str, columns[:5]))}{more})"
    else:
        named = name
    message = (
        f"{share_of(rows)} rows of {named} hold NaN or infinity, first row "
        f"{int(np.flatnonzero(rows)[0]):,}. {remedy(name)}: training on them ends in NaN."
    )
    found.append(at("non-finite", "error", rows, message))


def _any_per_row(mask: Array) -> NDArray[np.bool_]:
    return np.asarray(mask.reshape(len(mask), -1).any(1))
