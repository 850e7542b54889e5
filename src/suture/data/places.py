"""How a person finds a column or a row of a table again: by its name, by its line in the file."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from suture.spaces import Array

Names: TypeAlias = Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
    """Where rows stand in the file that they were read from.

    numbers: (rows,).   unit: "line" of a text, whose header is line 1 (unless blank lines precede it), or
    "row" of a file without lines, counted from 0.
    """

    numbers: Array
    unit: Literal["line", "row"] = "line"

    def take(self, rows: Array) -> "Places":
        """The places of the given rows."""
        return Places(self.numbers[rows], self.unit)

    def say(self, rows: Sequence[int], *, more: bool = False) -> str:
        """'line 5', 'lines 5, 9' or, where there are `more`, 'lines 5, 9, …'."""
        listed = ", ".join(f"{int(self.numbers[row]):,}" for row in rows) + (", …" if more else "")
        return f"{self.unit}{'s' if len(rows) > 1 or more else ''} {listed}"


def column_name(names: Names, path: str, column: int) -> str:
    """The name that the file gives to a column of an array, quoted; otherwise 'observation[3]'."""
    known = names.get(path, ())
    return repr(known[column]) if column < len(known) else f"{path}[{column}]"
