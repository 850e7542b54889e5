"""Frozen dataclasses as configuration: bounds per field, strict JSON, helpful refusals.

A field carries its bounds, meaning, unit and source:

    @dataclass(frozen=True)
    class IQL(Algorithm):
        expectile: float = bounded(0.7, above=0.5, below=1.0, help="level of the value expectile")

`check(config)` raises `ConfigError` where a value leaves its bounds. Values that are not plain Python
numbers (traced values of a sweep) are let through: the sweep checks them before it traces.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from suture.errors import ConfigError

FORMAT = 1
OWN = "own choice"
"""The source of a field whose meaning or default was not published elsewhere."""
Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a field accepts, and how it is explained. `traced`: may differ between members of a sweep."""

    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    help: str = ""
    unit: str = ""
    source: str = ""
    traced: bool = False

    def accepts(self, value: float) -> bool:
        """Whether a value lies within every bound."""
        return (
            (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
        )

    def __str__(self) -> str:
        named = {">": self.above, "<": self.below, ">=": self.at_least, "<=": self.at_most}
        return " and ".join(f"{sign} {limit:g}" for sign, limit in named.items() if limit is not None)


def bounded(
    default: Any,
    *,
    above: float | None = None,
    below: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    help: str = "",
    unit: str = "",
    source: str = "",
    traced: bool | None = None,
) -> Any:
    """A dataclass field with bounds. Floats may be swept inside one program unless `traced=False`."""
    if traced is None:
        traced = isinstance(default, float)
    bounds = Bounds(
        above=above, below=below, at_least=at_least, at_most=at_most,
        help=help, unit=unit, source=source, traced=traced,
    )  # fmt: skip
    return dataclasses.field(default=default, metadata={"bounds": bounds})


def bounds_of(field: "dataclasses.Field[Any]") -> Bounds:
    """The bounds of a field; empty ones where none were declared."""
    return field.metadata.get("bounds", Bounds())


def fields_of(config: Any) -> "dict[str, dataclasses.Field[Any]]":
    """Field name -> field, of a configuration or its class, in declaration order."""
    return {field.name: field for field in dataclasses.fields(config)}


def types_of(kind: type) -> dict[str, Any]:
    """Field name -> resolved type."""
    hints = typing.get_type_hints(kind)
    return {name: hints[name] for name in fields_of(kind)}


def check(config: Any) -> None:
    """Raise `ConfigError` for the first field whose value has the wrong type or leaves its bounds."""
    kinds = types_of(type(config))
    for name, field in fields_of(config).items():
        value, where = getattr(config, name), f"{type(config).__name__}.{name}"
        _check_value(where, value, kinds[name], bounds_of(field))


def _check_value(where: str, value: Any, kind: Any, bounds: Bounds) -> None:
    origin = typing.get_origin(kind)
    if origin is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise ConfigError(f"{where} must be one of {', '.join(map(repr, choices))}, found {value!r}.")
    elif origin in (types.UnionType, typing.Union):
        if value is not None:
            _check_value(where, value, next(k for k in typing.get_args(kind) if k is not type(None)), bounds)
    elif origin is tuple:
        if not isinstance(value, tuple):
            raise ConfigError(f"{where} must be a tuple, found {value!r}.")
        for item in typing.cast("tuple[Any, ...]", value):
            _check_value(where, item, typing.get_args(kind)[0], bounds)
    elif kind is float and hasattr(value, "dtype"):
        return  # a traced value: the sweep checked its members
    elif kind in (float, int, bool, str):
        accepted = (int, float) if kind is float else (kind,)
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(f"{where} must be of type {kind.__name__}, found {value!r}.")
        if kind in (float, int) and not bounds.accepts(typing.cast(float, value)):
            raise ConfigError(f"{where} must be {bounds}, found {value!r}.")
        if kind is float and not math.isfinite(typing.cast(float, value)):
            raise ConfigError(f"{where} must be finite, found {value!r}.")


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """' Did you mean x?' where a known name is close, capitals or not, otherwise the list of them."""
    names = list(known)
    alike = {known.casefold(): known for known in reversed(names)}
    close = difflib.get_close_matches(name, names, n=1)
    close = close or [alike[found] for found in difflib.get_close_matches(name.casefold(), alike, n=1)]
    return f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(names)}."


def to_json(config: Any) -> dict[str, Any]:
    """A configuration as JSON-able values (tuples become lists)."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return to_json(value)
        if isinstance(value, tuple):
            return [plain(item) for item in typing.cast("tuple[Any, ...]", value)]
        return value

    return {name: plain(getattr(config, name)) for name in fields_of(config)}


def from_json(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """The configuration of class `kind` that `to_json` wrote. Unknown keys are refused."""
    kinds = types_of(kind)
    for name in values:
        if name not in kinds:
            raise ConfigError(f"{kind.__name__} has no field {name!r}.{nearest(name, kinds)}")
    return kind(**{name: _parse(kinds[name], value) for name, value in values.items()})


def _parse(kind: Any, value: Any) -> Any:
    if isinstance(value, list):
        inner = typing.get_args(kind)
        return tuple(_parse(inner[0] if inner else Any, item) for item in typing.cast("list[Any]", value))
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return from_json(typing.cast("type[Any]", kind), typing.cast("Mapping[str, Any]", value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def replace(config: Config, **changes: Any) -> Config:
    """A copy with some fields changed; an unknown field is refused with the nearest name."""
    known = fields_of(config)
    for name in changes:
        if name not in known:
            raise ConfigError(f"{type(config).__name__} has no field {name!r}.{nearest(name, known)}")
    return dataclasses.replace(typing.cast(Any, config), **changes)
