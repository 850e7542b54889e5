"""What an action is: one of n choices, or a point between bounds; and which actions leave the bounds."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture.data import bounds
from suture.data.episodes import Episodes
from suture.data.findings import Finding, at, option, share_of
from suture.data.log import Reading
from suture.data.places import Names
from suture.data.values import need_numbers, refuse, remedy, to_choices, to_float32
from suture.errors import RefusedInput
from suture.spaces import Array, Box, Discrete, Space

MOST_CHOICES = 1000
FEW_VALUES = 64
NEAR = 0.99
LEAVES_A_LITTLE = 1.5
FAR = 5.0
UNUSED = 0.05
FEW_ROWS = 20
FEW_LISTED = 6
OBSERVED = f"pass {option('action_bounds', 'observed')} to accept the observed range"
STATED = f"pass {option('action_bounds', ('LOW', 'HIGH'))}"


def settle_actions(
    action: Array, declared: Space | None, choices: int | None, episodes: Episodes, reading: Reading,
    found: list[Finding], names: Names | None = None,
) -> tuple[Array, Space]:  # fmt: skip
    """Actions of N transitions, settled, and their space.

    declared: the space the file states.   choices: width of the logged action probabilities, if any.
    names: the file's names of columns.
    """
    named = (names or {}).get("action", ())
    need_numbers("action", action)
    flat = action.reshape(len(action), -1)
    if action.ndim > 2 or not flat.shape[1]:
        shape = list(action.shape)
        raise refuse("action-shape", f"Actions must be numbers in one row a step, found the shape {shape}.")
    if _are_choices(flat, declared, choices, reading, found):
        return _settle_choices(flat, declared, choices, found, named)
    settled = to_float32("action", flat, found)
    if not np.isfinite(settled).all():
        return settled, Box((flat.shape[1],))
    low, high = _bounds(flat, settled, declared, episodes, reading, found, named)
    space = Box((flat.shape[1],), low=tuple(map(float, low)), high=tuple(map(float, high)))
    return np.clip(settled, low, high) if _rounding_only(settled, low, high, flat.dtype) else settled, space


def require_one_choice(action: Array, space: Space, last: int, what: str, *, none: bool = False) -> None:
    """Refuse a log whose `last` dimensions of an action are not one choice: one high, the others low.

    what: the field that says so, named in the refusal.   none: all of them may be low as well.
    """
    if not isinstance(space, Box) or space.low is None or space.high is None or space.size < last:
        raise RefusedInput(f"{what}={last} is for bounded actions of at least {last} numbers, not {space}.")
    low, high = (np.asarray(bound, np.float32)[-last:] for bound in (space.low, space.high))
    chosen = np.asarray(action.reshape(len(action), -1)[:, -last:])
    is_high = np.isclose(chosen, high)
    odd = (~is_high & ~np.isclose(chosen, low)).any(1) | (is_high.sum(1) > 1)
    if not none:
        odd |= ~is_high.any(1)
    if odd.any():
        first = int(odd.argmax())
        raise RefusedInput(
            f"{what}={last} says that of the last {last} numbers of an action {'at most ' * none}one is high "
            f"and the others are low; in {int(odd.sum()):,} of {len(odd):,} rows it is not so, first in row "
            f"{first}: {chosen[first].tolist()}. Leave {what} out, or log the choice so."
        )


def _are_choices(
    flat: Array, declared: Space | None, choices: int | None, reading: Reading, found: list[Finding]
) -> bool:
    if reading.discrete is not None:
        if reading.discrete and flat.shape[1] != 1:
            raise refuse(
                "action-shape", f"Choices need one number a step, found {flat.shape[1]} (discrete=True)."
            )
        return reading.discrete
    if declared is not None:
        return isinstance(declared, Discrete)
    if reading.action_bounds is not None or flat.shape[1] != 1:
        return False
    if choices is not None or flat.dtype.kind in "iub":
        return True
    whole = bool(np.isfinite(flat).all()) and bool((flat == np.trunc(flat)).all()) and bool((flat >= 0).all())
    if not whole:
        return False
    values = np.unique(flat)
    if len(values) < 2 or len(values) > FEW_VALUES or values[-1] >= 2 * len(values):
        return False
    message = (
        f"All actions are whole numbers from {values[0]:g} to {values[-1]:g}: they are read as choices. "
        f"Pass {option('discrete', False)} where they are amounts."
    )
    found.append(Finding(id="actions-read-as-choices", severity="info", count=len(values), message=message))
    return True


def _settle_choices(
    flat: Array, declared: Space | None, choices: int | None, found: list[Finding], names: tuple[str, ...]
) -> tuple[Array, Space]:
    labels = flat[:, 0]
    known = np.isfinite(labels)
    if not known.all():
        message = f"{share_of(~known)} actions are NaN. {remedy('action')}."
        found.append(at("non-finite", "error", ~known, message))
        labels = np.where(known, labels, 0)
    logged = np.unique(labels)
    n = declared.n if isinstance(declared, Discrete) else choices
    if n is None:
        n = max(int(logged[-1]) + 1, 1)
        if n > max(MOST_CHOICES, 4 * len(logged)):
            raise refuse(
                "labels",
                f"Actions are {len(logged):,} labels up to {n - 1:,}: too sparse for choices 0 to n - 1. "
                "Relabel them 0, 1, 2 … (keep the table of names), or pass "
                f"{option('discrete', False)} where they are "
                "amounts.",
            )
    settled = to_choices("action", labels, n, found)
    taken = np.unique(settled)
    absent = n - len(taken)
    if absent:
        first = np.setdiff1d(np.arange(min(n, len(taken) + 5)), taken)[:5]
        listed = ", ".join(map(str, first)) + (" …" if absent > 5 else "")
        of = f" of {names[0]!r}" if names else ""
        counted = "relabel them where yours count from 1"
        if listed == "0":
            counted = "are yours numbered from 1? Then subtract 1, or a policy may choose what is none"
        message = (
            f"{absent:,} of {n:,} choices{of} were never taken: {listed}. Labels count from 0: {counted}; "
            "otherwise nothing need be done."
        )
        found.append(Finding(id="choices-never-taken", severity="warning", count=absent, message=message))
    return settled, Discrete(n)


def _bounds(
    flat: Array, settled: Array, declared: Space | None, episodes: Episodes, reading: Reading,
    found: list[Finding], names: tuple[str, ...],
) -> tuple[Array, Array]:  # fmt: skip
    width = flat.shape[1]
    observed = settled.min(0), settled.max(0)
    if reading.action_bounds == "observed":
        return observed
    if reading.action_bounds is not None:
        low, high = bounds.arrays(reading.action_bounds, width, "action_bounds")
    elif (stated := _stated(declared, width)) is not None:
        low, high = stated
    else:
        _find_scale(settled, observed, episodes, found, names)
        return _read_bounds(settled, observed, found)
    _find_unused(observed, (low, high), len(flat), found, names)
    _find_outside(settled, low, high, flat.dtype, episodes, found, names)
    return low, high


def _find_unused(
    observed: tuple[Array, Array], stated: tuple[Array, Array], rows: int, found: list[Finding],
    names: tuple[str, ...],
) -> None:  # fmt: skip
    """Dimensions that move, but within a small part of their stated range: of another unit, it seems."""
    used, width = observed[1] - observed[0], stated[1] - stated[0]
    little = np.flatnonzero((used > 0) & (used < UNUSED * width))
    if rows < FEW_ROWS or not len(little):
        return
    listed = ", ".join(
        f"{_dimension(names, column)} ({observed[0][column]:.4g} to {observed[1][column]:.4g} of "
        f"[{stated[0][column]:g}, {stated[1][column]:g}])"
        for column in little[:FEW_LISTED]
    ) + (" …" if len(little) > FEW_LISTED else "")
    apart = _each_stated(observed) if len(used) > 1 else STATED
    message = (
        f"Actions use less than {UNUSED:.0%} of their stated range in {listed}: a policy is scaled "
        f"over the whole of it. Where the range is another dimension's, {apart}; where it is right, nothing "
        "need be done."
    )
    found.append(Finding(id="action-range-unused", severity="warning", count=len(little), message=message))


def _each_stated(observed: tuple[Array, Array]) -> str:
    """How to state bounds, dimension by dimension, with a guess from what was observed."""
    guess: Any = bounds.guessed(*observed)
    if not bounds.is_per_dimension(guess):
        return STATED
    if len(guess) > FEW_LISTED:
        return f"pass {option('action_bounds', (('LOW', 'HIGH'),))}, one pair for each dimension in its order"
    said = option("action_bounds", guess)
    return f"state the bounds of each dimension: {said}, with the numbers that are true"


def _stated(declared: Space | None, width: int) -> tuple[Array, Array] | None:
    """The finite bounds that a file states, (width,) each."""
    if not isinstance(declared, Box) or declared.low is None or declared.high is None:
        return None
    if declared.size != width:
        raise refuse(
            "action-shape", f"The stated action space has {declared.size} dimensions, actions {width}."
        )
    with np.errstate(over="ignore"):
        low, high = (np.array(bound).astype(np.float32) for bound in (declared.low, declared.high))
    return (low, high) if np.isfinite(low).all() and np.isfinite(high).all() else None


def _tolerance(low: Array, high: Array, dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """What rounding may add to a bound: eight units of float32, four of a coarser storage dtype (D11)."""
    coarse = float(np.finfo(dtype).eps) * 4 if dtype.kind == "f" else 0.0
    return max(1e-6, coarse) * np.maximum(np.abs(low), np.abs(high)).astype(np.float64)


def _outside(action: Array, low: Array, high: Array, dtype: np.dtype[Any]) -> Array:
    slack = _tolerance(low, high, dtype)
    return (action < low - slack) | (action > high + slack)


def _rounding_only(action: Array, low: Array, high: Array, dtype: np.dtype[Any]) -> bool:
    return not _outside(action, low, high, dtype).any()


def _dimension(names: tuple[str, ...], column: int) -> str:
    """The name of an action's dimension, or its number."""
    return repr(names[column]) if column < len(names) else f"dimension {column}"


def _find_outside(
    action: Array, low: Array, high: Array, dtype: np.dtype[Any], episodes: Episodes,
    found: list[Finding], names: tuple[str, ...],
) -> None:  # fmt: skip
    """Actions beyond stated bounds (D10); nothing is ever clipped but rounding."""
    outside = _outside(action, low, high, dtype)
    rows = np.asarray(outside.any(1))
    if not rows.any():
        return
    first = int(np.flatnonzero(rows)[0])
    column = int(np.flatnonzero(outside[first])[0])
    alike = bool((low == low[0]).all() and (high == high[0]).all())
    stated = STATED if alike or len(low) == 1 else _each_stated((action.min(0), action.max(0)))
    message = (
        f"Actions leave the declared bounds {_interval(low, high)} in {share_of(rows)} steps, first at "
        f"{episodes.place(first)} ({_dimension(names, column)}: {action[first, column]:.4g}). Rescale them, "
        f"{stated}, or {OBSERVED}."
    )
    found.append(at("actions-out-of-bounds", "error", rows, message))


def _find_scale(
    action: Array, observed: tuple[Array, Array], episodes: Episodes, found: list[Finding],
    names: tuple[str, ...],
) -> None:  # fmt: skip
    """Without stated bounds: single actions, or one dimension, far larger than all others (D10)."""
    size = np.abs(action)
    largest = np.maximum(-observed[0], observed[1])
    for column in np.flatnonzero(largest > 0):
        moved = size[:, column][size[:, column] > 0]
        bulk = float(np.percentile(moved, 99))
        far = size[:, column] > np.float64(FAR * bulk)
        if len(moved) >= 100 and far.any():
            first = int(np.flatnonzero(far)[0])
            message = (
                f"{share_of(far)} actions lie far beyond all others: {_dimension(names, int(column))} stays "
                f"within {bulk:.4g} in 99 % of steps, first exception at {episodes.place(first)} "
                f"({action[first, column]:.4g}). Mend them, or {OBSERVED}."
            )
            found.append(at("action-outliers", "error", far, message))
    others = np.sort(largest)[:-1]
    if len(others) and NEAR * 0.9 <= others.max() <= 1 + 1e-6 and largest.max() >= FAR:
        column = int(largest.argmax())
        message = (
            f"Action {_dimension(names, column)} reaches {largest[column]:.4g}, all others stay within [-1, "
            f"1]. Where it is of another unit, {_each_stated(observed)}, or {OBSERVED}; where it was scaled "
            "by mistake, rescale it."
        )
        found.append(at("action-scale", "error", size[:, column] > 1, message))


def _read_bounds(action: Array, observed: tuple[Array, Array], found: list[Finding]) -> tuple[Array, Array]:
    """Bounds by the evidence: [-1, 1] or a symmetric whole number where nearly touched, else the range."""
    low, high = observed
    largest = float(max(-low.min(), high.max()))
    if NEAR <= largest <= 1 + 1e-6 and float(low.min()) < 0:
        low, high = np.full_like(low, -1), np.full_like(high, 1)
    else:
        whole = np.ceil(np.maximum(-low, high) * (1 - 1e-6))
        touched = (low <= -NEAR * whole) & (high >= NEAR * whole) & (whole > 0)
        low, high = np.where(touched, -whole, low), np.where(touched, whole, high)
    beyond = np.asarray((np.abs(action) > 1 + 1e-6).any(1))
    if 1 + 1e-6 < largest <= LEAVES_A_LITTLE and float((np.abs(action) <= 1).mean()) >= 0.9:
        message = (
            f"No bounds are stated. Actions look like [-1, 1] but leave it in {share_of(beyond)} steps, "
            f"from {low.min():.4g} to {high.max():.4g}. Each dimension's observed range is taken as its "
            f"bounds; {STATED} if you know them."
        )
        found.append(at("action-bounds", "warning", beyond, message))
        return observed
    alike = bool((low == low[0]).all() and (high == high[0]).all())
    message = (
        f"No bounds are stated. From the range of the actions they are read as {_interval(low, high)}. "
        f"Where that is wrong, {STATED if alike else _each_stated(observed)}."
    )
    found.append(Finding(id="action-bounds-read", severity="info", count=len(low), message=message))
    return low, high


def _interval(low: Array, high: Array) -> str:
    """'[-1, 1]', or those of each dimension where they differ."""
    space = Box((len(low),), low=tuple(map(float, low)), high=tuple(map(float, high)))
    return str(space).partition(" in ")[2]
