"""Bounds of actions as people state them: one pair for every dimension, or a pair for each."""

import math
import re
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from suture.errors import ConfigError

Pair: TypeAlias = tuple[float, float]
Bounds: TypeAlias = Pair | tuple[Pair, ...]
NEAR = 0.1
LARGEST = 1e38
"""Of a bound, in size: the range between two of them still fits into float32."""
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
TYPED = re.compile(rf"observed|{NUMBER}(?::{NUMBER})?(?:,{NUMBER}(?::{NUMBER})?)*")


def check(bounds: Any, where: str) -> None:
    """Raise `ConfigError` for anything but (low, high), or one such pair for each dimension, low < high."""
    pairs: Any = (
        bounds if isinstance(bounds, tuple) and any(isinstance(b, tuple) for b in bounds) else (bounds,)
    )
    for pair in pairs:
        numbers = isinstance(pair, tuple) and all(
            isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
            for value in cast("tuple[Any, ...]", pair)
        )
        if not numbers or len(pair) != 2 or not pair[0] < pair[1]:
            raise ConfigError(
                f"{where} must be (low, high) with low < high, both at most {LARGEST:g} in size, or one such "
                f"pair for each dimension, such as ((0, 100), (0, 1)); found {bounds!s:.200}."
            )


def is_per_dimension(bounds: Bounds) -> bool:
    """Whether each dimension has a pair of its own."""
    return isinstance(bounds[0], tuple)


def arrays(bounds: Bounds, width: int, where: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lower and upper bounds of `width` dimensions, (width,) float32 each.

    Raises `ConfigError` where the bounds are stated for another number of dimensions.
    """
    if not is_per_dimension(bounds):
        low, high = cast(Pair, bounds)
        return np.full(width, low, np.float32), np.full(width, high, np.float32)
    if len(bounds) != width:
        raise ConfigError(
            f"{where} states bounds of {len(bounds)} dimensions; an action has {width}. State one pair for "
            "each, in the order of the action's columns."
        )
    low, high = np.asarray(bounds, np.float32).T
    return low, high


def parse(text: str) -> Bounds | Literal["observed"]:
    """Bounds as they are typed: '-1,1', '0:100,0:1' or 'observed'."""
    parts = [part for part in re.split(r"[,\s]+", text) if part]
    try:
        if parts == ["observed"]:
            return "observed"
        if parts and all(part.count(":") == 1 for part in parts):
            return tuple(cast(Pair, tuple(map(float, part.split(":")))) for part in parts)
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    if numbers and len(numbers) % 2 == 0:
        return tuple(zip(numbers[::2], numbers[1::2], strict=True))
    raise ConfigError(
        "--action-bounds takes LOW HIGH for every dimension, LOW:HIGH for each of them (such as 0:100 0:1), "
        f"or observed; found {text!r}."
    )


def guessed(low: NDArray[Any], high: NDArray[Any]) -> Bounds:
    """Round bounds that fit what was observed, (width,) each: a guess for people to correct."""
    pairs = tuple(_guess(float(least), float(most)) for least, most in zip(low, high, strict=True))
    return pairs[0] if len(set(pairs)) == 1 else pairs


def _guess(low: float, high: float) -> Pair:
    bottom, top = -_rounded(-low), _rounded(high)
    if low < 0 < high and 0.5 <= -low / high <= 2:
        bottom, top = -max(-bottom, top), max(-bottom, top)
    elif 0 <= low <= high / 2:
        bottom = 0.0
    return _plain(bottom), _plain(top if top > bottom else bottom + 1)


def _rounded(value: float) -> float:
    """The next of 1, 2, 5, 10 ... where it is near, otherwise two digits, never below the value."""
    if value == 0:
        return 0.0
    unit = 10.0 ** math.floor(math.log10(abs(value)))
    for step in (1, 2, 5, 10):
        if value > 0 and value <= step * unit <= value * (1 + NEAR):
            return step * unit
    return math.ceil(value / unit * 10) * unit / 10


def _plain(value: float) -> float:
    """A whole number without its point, others in four digits."""
    return int(value) if value == int(value) else float(f"{value:.4g}")
