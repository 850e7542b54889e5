"""What the gate found in a log: an id, how grave, how often, where first, and what to do."""

import dataclasses
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from suture.data.places import Places
from suture.spaces import Array

Severity: TypeAlias = Literal["info", "warning", "error"]
FIRST = 5
DONE = "Nothing need be done."
"""The remedy of what is told so that nobody wonders."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found in a log.

    id: stable, kebab-case.   severity: "error" means that training on it would be wrong.
    count: rows (or episodes, or columns, as the message says) concerned.   rows: the first of them.
    message: what, where, expected, found, and what to do.
    """

    id: str
    severity: Severity
    count: int
    rows: tuple[int, ...] = ()
    message: str

    def located(self, places: Places | None) -> "Finding":
        """The finding with the places of its first rows in the file, where they are known."""
        if places is None or not self.rows or self.count == len(places.numbers):
            return self
        more = self.count > len(self.rows)
        said = f"{self.message} In the file: {places.say(self.rows, more=more)}{'' if more else '.'}"
        return dataclasses.replace(self, message=said)

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "rows": list(self.rows)}


def first_rows(mask_or_rows: Array) -> tuple[int, ...]:
    """The first few rows of a boolean mask or of an array of row numbers."""
    rows = np.flatnonzero(mask_or_rows) if mask_or_rows.dtype == bool else mask_or_rows
    return tuple(int(row) for row in rows[:FIRST])


def at(id: str, severity: Severity, mask_or_rows: Array, message: str) -> Finding:
    """A finding at the rows of a boolean mask, or at the given row numbers; they are its count."""
    count = int(mask_or_rows.sum()) if mask_or_rows.dtype == bool else len(mask_or_rows)
    return Finding(id=id, severity=severity, count=count, rows=first_rows(mask_or_rows), message=message)


def share(count: int, total: int) -> str:
    """'812 of 100,000 (0.8 %)'."""
    percent = 100 * count / max(total, 1)
    return f"{count:,} of {total:,} ({'< 0.1' if 0 < percent < 0.1 else f'{percent:.3g}'} %)"


def share_of(mask: Array) -> str:
    """`share` of the rows of a boolean mask."""
    return share(int(mask.sum()), len(mask))


def many(count: int, thing: str) -> str:
    """'1 row', '12 rows'."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def option(name: str, value: object) -> str:
    """How to say a field of `Reading`: '--ends time-limit (in Python: Reading(ends="time-limit"))'.

    Capitals stand for what the user fills in: option("action_bounds", ("LOW", "HIGH")). A tuple of pairs is
    typed LOW:HIGH for each.
    """
    values = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    typed = "" if value is True else "".join(f" {_typed(part)}" for part in values)
    return f"--{name.replace('_', '-')}{typed} (in Python: Reading({name}={_written(value)}))"


def _typed(value: object) -> str:
    return ":".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)


def _written(value: object) -> str:
    if isinstance(value, tuple):
        parts = [_written(part) for part in cast("tuple[object, ...]", value)]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    return f'"{value}"' if isinstance(value, str) and not value.isupper() else str(value)
