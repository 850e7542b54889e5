"""Columns whose values stand for something: why an episode ended, which choice was taken.

They become flags and numbers of choices here, so that whatever reads a table after this sees nothing else.
"""

import dataclasses
from typing import Any

import polars as pl

from suture.config import nearest
from suture.data.findings import Finding, many
from suture.data.formats.cells import Source
from suture.data.formats.schema import FLAGS, Reason, Schema
from suture.errors import FormatError

SHOWN = 5
FEW = 0.2
MEND = (
    "All other cells are numbers, so mend these: write decimals as the others are (12.5, not 12,5), fill in "
    "what was not measured, or remove the episode. A column may also be taken out of the schema."
)
ENCODE = "Encode the text as numbers (one column per category), or take these columns out of the schema."


def columns(schema: Schema) -> tuple[str, ...]:
    """The columns whose values stand for something."""
    action = schema.action if schema.action_values else ()
    return tuple(dict.fromkeys((*(reason.column for reason in schema.reasons.values()), *action)))


def plain(schema: Schema) -> Schema:
    """The schema of the table that `decode` makes."""
    flags: dict[str, Any] = {role: _flag(reason) for role, reason in schema.reasons.items()}
    return dataclasses.replace(schema, **flags, action_values=())


def decode(table: pl.LazyFrame, schema: Schema, path: str) -> pl.LazyFrame:
    """The table with flags and numbers of choices in the place of what stands for them.

    An action that is not listed becomes empty: `check` refuses it.
    """
    kinds, made = table.collect_schema(), list[pl.Expr]()
    for reason in schema.reasons.values():
        said, values = _said(reason.column, kinds, reason.values, path)
        made.append(said.is_in(values).fill_null(value=False).cast(pl.Float32).alias(_flag(reason)))
    for name in schema.action if schema.action_values else ():
        said, values = _said(name, kinds, schema.action_values, path)
        choices = [float(choice) for choice in range(len(values))]
        made.append(said.replace_strict(values, choices, default=None, return_dtype=pl.Float64).alias(name))
    return table.with_columns(made) if made else table


def check(table: pl.LazyFrame, schema: Schema, source: Source) -> list[Finding]:
    """Refuse actions that are not listed, with their lines; say which values end episodes."""
    kinds, listed = table.collect_schema(), schema.action_values
    for name in schema.action if listed else ():
        said, values = _said(name, kinds, listed, source.path)
        found = table.select(
            said.alias("said"), (~said.is_in(values)).fill_null(value=False).alias("wrong")
        ).collect()
        if found["wrong"].any():
            first = found["said"].filter(found["wrong"])[0]
            raise FormatError(
                f"{source.path}: {name!r} holds what action_values does not list, in "
                f"{source.where(found['wrong'].to_numpy())}, first {first!r:.40}."
                f"{nearest(str(first), map(str, listed))} Mend these cells, or add the choice to "
                "action_values."
            )
    by_column: dict[str, dict[str, Reason]] = {}
    for role, reason in schema.reasons.items():
        by_column.setdefault(reason.column, {})[role] = reason
    return [_reasons(table, name, roles, source) for name, roles in by_column.items()]


def _flag(reason: Reason) -> str:
    return f"{reason.column} is {' or '.join(map(str, reason.values))}"


def _said(name: str, kinds: pl.Schema, values: tuple[Any, ...], path: str) -> tuple[pl.Expr, list[Any]]:
    """What a column says, without blanks around it, and the listed values in its type. Nothing is empty."""
    kind, column = kinds[name], pl.col(name)
    if kind.is_nested() or kind == pl.Binary:
        raise FormatError(f"{path}: column {name!r} must hold one text or number a row, found {kind}.")
    if not (kind.is_numeric() or kind == pl.Boolean):
        text = column.cast(pl.String).str.strip_chars()
        return pl.when(text != "").then(text), [str(value).strip() for value in values]
    try:
        return column.cast(pl.Float64), [float(value) for value in values]
    except ValueError as error:
        raise FormatError(
            f"{path}: column {name!r} holds numbers, but the schema lists "
            f"{', '.join(map(repr, values))}. List the numbers that it holds."
        ) from error


def _reasons(table: pl.LazyFrame, name: str, roles: dict[str, Reason], source: Source) -> Finding:
    """Which values of a column end episodes, how often; a warning where one of them never does."""
    kinds = table.collect_schema()
    said = _said(name, kinds, (), source.path)[0].alias("said")
    counts = dict(table.select(said).collect()["said"].drop_nulls().value_counts(sort=True).iter_rows())
    parts, absent, rows = list[str](), list[str](), 0
    for role, reason in roles.items():
        each = {value: counts.pop(value, 0) for value in _said(name, kinds, reason.values, source.path)[1]}
        rows += sum(each.values())
        absent += [repr(value) for value, count in each.items() if not count]
        parts.append(f"{role} where it is {_counted(each)}")
    message = f"{name!r} says why episodes end: {'; '.join(parts)}."
    if counts:
        message += f" Other values end nothing: {_counted(counts)}."
    if absent:
        message += f" It never holds {', '.join(absent)}: see whether it is spelt so."
    else:
        message += " Where a value is under the wrong name, mend the schema; otherwise nothing need be done."
    severity = "warning" if absent else "info"
    return Finding(id="ends-by-values", severity=severity, count=rows, message=message)


def _counted(counts: dict[Any, int]) -> str:
    """'fell' (1 row), 'time_limit' (12 rows), and no more than some."""
    parts = [f"{value!r:.40} ({many(count, 'row')})" for value, count in counts.items()]
    return ", ".join(parts[:SHOWN]) + (", …" if len(parts) > SHOWN else "")


def advice(schema: Schema, name: str, texts: list[str], share: float) -> str:
    """What to do about text where numbers must be, by the role of its column.

    texts: what it holds, the first ones.   share: of the rows that hold text.
    """
    example = ", ".join(f'"{text}"' for text in texts[:SHOWN])
    for role in FLAGS:
        if getattr(schema, role) == name:
            return (
                "Flags are 1 on the last row of an episode that ended so and 0 elsewhere. Where the column "
                f'says why it ended, list the values that mean {role}: "{role}": {{"column": "{name}", '
                f'"is": [{example}]}}.'
            )
    if name in schema.action and schema.action_type == "discrete":
        return f'List what it holds in the order of the choices 0, 1, 2 …: "action_values": [{example}].'
    return MEND if share <= FEW else ENCODE
