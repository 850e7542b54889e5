"""Two columns with a title and a footer: commands, algorithms."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def listing(title: str, rows: Iterable[tuple[str, str]], footer: str) -> RenderableType:
    """Names with one line each."""
    table = Table.grid(padding=(0, 3))
    for name, text in rows:
        table.add_row(Text(f"  {name}", style="bold"), Text(text))
    return Group(Text(title), Text(), table, Text(), Text(footer))
