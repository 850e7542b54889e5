"""A proposal in the making: which role each column of a table's first rows has so far."""

from typing import Any

import polars as pl

from suture.data.formats import evidence, roles


class Draft:
    """Columns by name: what they are used as, what was left out and why, and what a person is told.

    head: the first rows.   numbers: its columns that hold numbers.   label: the column of episodes, if any.
    reasons: flags that a column of texts sets, as a schema names them.   choices: the texts of an action.
    """

    def __init__(self, head: pl.DataFrame):
        self.head = head
        self.numbers = {
            name: found for name in head.columns if (found := evidence.numbers(head[name])) is not None
        }
        self.meaning = {name: roles.whole(name) for name in head.columns}
        self.used: dict[str, str] = {}
        self.reasons: dict[str, dict[str, Any]] = {}
        self.choices: list[str] = []
        self.left: dict[str, list[str]] = {}
        self.notes: list[str] = []
        self.label: pl.Series | None = None

    def use(self, name: str, role: str) -> None:
        """Give a column its role."""
        self.used[name] = role

    def leave(self, name: str, why: str) -> None:
        """Give a column no role."""
        self.left.setdefault(why, []).append(name)

    def note(self, text: str) -> None:
        """Tell a person."""
        self.notes.append(text)

    def used_as(self, role: str) -> list[str]:
        """The columns of a role."""
        return [name for name, its in self.used.items() if its == role]

    def free(self) -> list[str]:
        """The columns that have neither a role nor been left out."""
        gone = {name for names in self.left.values() for name in names}
        return [name for name in self.head.columns if name not in self.used and name not in gone]

    def free_numbers(self) -> list[str]:
        """The free columns that hold numbers."""
        return [name for name in self.free() if name in self.numbers]

    def named(self, meaning: str) -> list[str]:
        """The free columns whose names as a whole have a meaning."""
        return [name for name in self.free() if self.meaning[name] == meaning]

    def is_whole(self, name: str) -> bool:
        """Whether a column of numbers holds whole ones."""
        return bool((self.numbers[name].drop_nulls() % 1 == 0).all())
