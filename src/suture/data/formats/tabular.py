"""Tables of logged steps, CSV or Parquet, by a saved schema that says what each column means.

A row is a step; rows are grouped by episode and sorted by the order column; a row with an empty action
holds an episode's final state. Only the columns that the schema names are read, in batches, into float32:
memory is 4 bytes per row and column (twice that where rows must be sorted), besides a batch of text.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from suture.config import nearest
from suture.data.actions import MOST_CHOICES
from suture.data.bounds import arrays
from suture.data.findings import DONE, Finding, at, first_rows, many
from suture.data.formats import arrange, coded, guard, parquet
from suture.data.formats.cells import Cells, Source, check_flags, empty_cells, groups, number
from suture.data.formats.propose import describe, propose
from suture.data.formats.schema import Schema
from suture.data.formats.text import EMPTY, MAX_COLUMNS, SEPARATORS, Text, survey
from suture.data.log import Log
from suture.data.places import Places
from suture.errors import FormatError, SchemaNeeded
from suture.spaces import Array, Box, Discrete, Space
from suture.storage.manifest import object_of, read_json

MAX_CHOICES = 1 << 24
SPARSE = 4
LISTED = 40
NAMED = ("observation", "action", "reward")


def read(path: Path, *, schema: Path | Schema | None = None, source: str | None = None) -> Log:
    """The log in a table.

    schema: what the columns mean, or the JSON file that says so.   source: the path to show to people.
    Raises `SchemaNeeded`, with a proposal, where there is no schema; `FormatError` where the columns and
    the schema disagree, a cell is missing, or a column that must hold numbers holds text.
    """
    source = source or str(path)
    table, text = scan(path)
    try:
        if schema is None:
            proposal, notes = propose(table, source)
            raise SchemaNeeded(describe(source, notes), proposal)
        if isinstance(schema, Path):
            schema = Schema.from_json(object_of(read_json(schema), str(schema)), str(schema))
        where, plain = _source(table, text, source), coded.plain(schema)
        _check_names(table, schema, where)
        said = coded.check(table, schema, where)
        cells = Cells(plain, where, _check_columns(coded.decode(table, schema, source), text, plain, where))
        table, text = scan(path, text, floats=schema.numbers)
        return _log(coded.decode(table, schema, source), text, cells, schema, said)
    except pl.exceptions.PolarsError as error:
        wanted = schema.numbers if isinstance(schema, Schema) else ()
        fault = text.fault(wanted) if text else None
        said = fault or f"it cannot be read as a table ({str(error).splitlines()[0]:.300})."
        raise FormatError(f"{source}: {said}") from error


def scan(
    path: Path, text: Text | None = None, *, floats: Sequence[str] = ()
) -> tuple[pl.LazyFrame, Text | None]:
    """A table and how it is written, opened lazily and locally: no addresses, patterns, or compressed text.

    text: how a CSV is written, where that is known already.
    floats: columns whose integers are read as floats, for a CSV may turn from 1 to 1.5 anywhere.
    """
    size = guard.local_file(path)
    plain = path.resolve()
    with plain.open("rb") as file:
        head = file.read(1 << 16)
    try:
        if head.startswith(b"PAR1"):
            table = pl.scan_parquet(plain, glob=False, hive_partitioning=False)
            rows = int(table.select(pl.len()).collect().item())
            cells = rows * len(table.collect_schema())
            guard.check_declared(str(path), max(cells, parquet.unpacked_bytes(plain)), size)
        else:
            if re.search(rb"[\x00-\x08\x0e-\x1f]", head) or head.startswith(
                (b"x\x9c", b"x\xda", b"\x28\xb5")
            ):
                raise FormatError(f"{path} is no text, expected a CSV. Decompress or convert it first.")
            text = text or survey(path)
            table = _csv(plain, text)
            found = table.collect_schema()
            integers = {name: pl.Float64 for name in floats if found[name].is_integer()}
            table = _csv(plain, text, integers) if integers else table
        columns = len(table.collect_schema())
    except (pl.exceptions.PolarsError, OSError) as error:
        said = str(error).splitlines()[0]
        raise FormatError(
            f"{path} is cut off or damaged ({size:,} bytes): {said:.200}. Restore it from its source."
        ) from error
    if columns > MAX_COLUMNS:
        raise FormatError(f"{path} has {columns:,} columns; at most {MAX_COLUMNS:,} are read.")
    return table, text


def _csv(path: Path, text: Text, overrides: dict[str, Any] | None = None) -> pl.LazyFrame:
    def named(columns: list[str]) -> list[str]:  # Polars leaves the quotes in a name doubled
        return [name if '"' in name else column for name, column in zip(text.names, columns, strict=True)]

    quoted = any('"' in name for name in text.names)
    return pl.scan_csv(
        path, glob=False, infer_schema_length=10_000, null_values=list(EMPTY), schema_overrides=overrides,
        separator=text.separator, decimal_comma=text.decimal_comma, n_rows=text.rows if text.padded else None,
        with_column_names=named if quoted else None,
    )  # fmt: skip


def _source(table: pl.LazyFrame, text: Text | None, path: str) -> Source:
    if text is not None:
        return Source(path, Places(text.lines()))
    rows = int(table.select(pl.len()).collect().item())
    return Source(path, Places(np.arange(rows), "row"))


def _check_names(table: pl.LazyFrame, schema: Schema, source: Source) -> None:
    """Every column that the schema names must exist."""
    known = table.collect_schema().names()
    named = (*schema.numbers, *coded.columns(schema), *schema.keys, *schema.action_probabilities)
    absent = [name for name in dict.fromkeys(named) if name not in known]
    if absent:
        raise FormatError(_absent(absent, known, source))


def _check_columns(table: pl.LazyFrame, text: Text | None, schema: Schema, source: Source) -> frozenset[str]:
    """Columns of numbers must hold numbers. Returns those that hold whole ones by their type."""
    kinds = table.collect_schema()
    for name in (name for name in schema.numbers if kinds[name].is_nested() or kinds[name] == pl.Binary):
        raise FormatError(
            f"{source.path}: column {name!r} must hold one number a row, found {kinds[name]}. Write one "
            "column for each number, or take it out of the schema."
        )
    bad, mended = list[str](), dict[str, None]()
    for name in (name for name in schema.numbers if not _is_number(kinds[name])):
        if kinds[name] == pl.String:
            read = number(name, kinds[name], decimal_comma=text is not None and text.decimal_comma)
            wrong = pl.col(name).is_not_null() & read.is_null()
        else:
            wrong = pl.col(name).is_not_null()
        found = table.select(pl.col(name), wrong.alias("wrong")).collect()
        mask = found["wrong"].to_numpy()
        if mask.any():
            cells = [str(cell) for cell in found[name].filter(found["wrong"]).unique(maintain_order=True)]
            listed = ", ".join(f"{cell!r:.40}" for cell in cells[: coded.SHOWN])
            bad.append(f"{name!r} in {source.where(mask)}, first {listed}")
            mended[coded.advice(schema, name, cells, float(mask.mean()))] = None
    if bad:
        raise FormatError(
            f"{source.path}: columns that must hold numbers hold text: {'; '.join(bad)}. {' '.join(mended)}"
        )
    return frozenset(name for name in schema.numbers if kinds[name].is_integer())


def _absent(names: list[str], known: list[str], source: Source) -> str:
    """Which columns a table lacks, the nearest one it has, and all that it has."""
    close = nearest(names[0], known)
    close = close if close.startswith(" Did") else ""
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    which = f"column{'' if len(names) == 1 else 's'} {', '.join(map(repr, names[:LISTED]))}"
    return (
        f"{source.path} has no {which}, which the schema names.{close} "
        f"Its columns: {', '.join(known[:LISTED])}{more}."
    )


def _is_number(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind == pl.Boolean


def _log(
    table: pl.LazyFrame, text: Text | None, cells: Cells, stated: Schema, said: list[Finding]
) -> Log:  # fmt: skip
    """The log by the cells of a decoded table.   stated: the schema as given.   said: about its values."""
    schema, source = cells.schema, cells.source
    if not source.rows:
        raise FormatError(f"{source.path} has a header but no rows.")
    columns = cells.read(table, decimal_comma=text is not None and text.decimal_comma)
    check_flags(columns, schema, source)
    space = _action_space(stated, columns, source)
    keys = _filled(_keys(table, text, schema), schema, columns.get("final_state"), source)
    ends = [columns[name] > 0 for name in ("terminal", "timeout", "done") if name in columns]
    order = arrange.arrange(keys, schema, np.logical_or.reduce(ends) if ends else None, source)
    columns = {name: order.put(array) for name, array in columns.items()}
    columns |= {
        name: array for name, array in (("episode", order.episode), ("gap", order.gap)) if array is not None
    }
    places = source.places if order.index is None else source.places.take(order.index)
    _check_final_states(columns, source.path, places)
    if schema.episode is None and not ends:
        columns["terminal"] = np.ones(source.rows, bool)
    if schema.cost is not None:
        columns["reward"] = 0 - columns["reward"]
    required: dict[str, Any] = columns
    return Log(
        source=source.path, layout="table", action_space=space, places=places, schema=stated.to_json(),
        names={name: columns for name, columns in groups(schema).items() if name in NAMED},
        columns={name: order.put(arrange.plain(keys[name])) for name in schema.columns},
        findings=(*order.findings, *cells.findings(order.index), *said, *_said(schema, columns, text)),
        **required,
    )  # fmt: skip


def _keys(table: pl.LazyFrame, text: Text | None, schema: Schema) -> pl.DataFrame:
    """The columns kept as they are; NaN counts as empty."""
    try:
        keys = table.select(schema.keys).collect(engine="streaming")
    except pl.exceptions.ComputeError:
        if text is None:
            raise
        # A label or a time need not be a number because those of the first rows are.
        table = _csv(text.path, text, dict.fromkeys(schema.keys, pl.String))
        keys = table.select(schema.keys).collect(engine="streaming")
    return keys.with_columns(cs.float().fill_nan(None))


def _filled(keys: pl.DataFrame, schema: Schema, final_state: Array | None, source: Source) -> pl.DataFrame:
    """The columns kept as they are: empty cells are refused, but for the order and extras of final states."""
    empty: dict[str, Array] = {}
    for name in schema.keys:
        mask = keys[name].is_null().to_numpy()
        if name != schema.episode and final_state is not None:
            mask = mask & ~final_state
        if mask.any():
            empty[name] = mask
    if empty:
        raise FormatError(
            f"{source.path}: {empty_cells(empty, source)} Every row needs its episode, order and split "
            "columns."
        )
    others = [name for name in schema.keys if name != schema.order]
    return keys.with_columns(pl.col(name).fill_null(strategy="forward") for name in others)


def _check_final_states(columns: dict[str, Array], source: str, places: Places) -> None:
    """A row with an empty action must be the last of its episode."""
    if "final_state" not in columns:
        return
    last = np.append(columns["episode"][1:] != columns["episode"][:-1], True)
    wrong = columns["final_state"] & ~last
    if wrong.any():
        count, first = int(wrong.sum()), first_rows(wrong)
        raise FormatError(
            f"{source}: the action is empty in {many(count, 'row')} that are not the last of their episode "
            f"({places.say(first, more=count > len(first))}). Fill them in, or cut the episodes there."
        )


def _final_states(mask: Array) -> Finding:
    count, rows = int(mask.sum()), len(mask)
    message = (
        f"The action is empty in {many(count, 'row')} of {rows:,}: such a row holds only what was observed "
        "after its episode's last action. It is read as the next observation of the row before it (named "
        f"here), which leaves {rows - count:,} transitions. Where an action was taken, fill it in."
    )
    return at("final-states-read", "info", mask, message)


def _action_space(schema: Schema, columns: dict[str, Array], source: Source) -> Space:
    """The space of actions as the schema states it; discrete actions become integers on the way."""
    action = columns["action"]
    if schema.action_type == "continuous":
        if schema.action_bounds is None:
            return Box((action.shape[1],))
        low, high = arrays(schema.action_bounds, action.shape[1], "Schema.action_bounds")
        return Box((action.shape[1],), "float32", tuple(map(float, low)), tuple(map(float, high)))
    wrong = ~((action[:, 0] >= 0) & (action[:, 0] < MAX_CHOICES) & (action[:, 0] % 1 == 0))
    if wrong.any():
        raise FormatError(
            f"{source.path}: discrete actions must be integers from 0 on, below {MAX_CHOICES:,}; "
            f"{schema.action[0]!r} is not in {source.where(wrong)}, first {action[wrong][0, 0]:.15g}. "
            'Number the choices 0, 1, 2 …, or set action_type to "continuous" where they are amounts.'
        )
    columns["action"] = action[:, 0].astype(np.int32)
    most, taken = int(columns["action"].max()) + 1, len(np.unique(columns["action"]))
    most = max(most, len(schema.action_values))
    probabilities = columns.get("action_probabilities")
    if probabilities is not None:
        return Discrete(max(most, probabilities.shape[1]))
    if not schema.action_values and most > max(MOST_CHOICES, SPARSE * taken):
        raise FormatError(
            f"{source.path}: {schema.action[0]!r} holds {taken:,} choices numbered up to {most - 1:,}: too "
            "sparse for choices 0 to n - 1. Number them 0, 1, 2 … (and keep the table of names), or set "
            "action_type to "
            '"continuous" where they are amounts.'
        )
    return Discrete(most)


def _said(schema: Schema, columns: dict[str, Array], text: Text | None) -> list[Finding]:
    """What was read in a way that a person may not expect."""
    found: list[Finding] = []
    if text is not None and text.separator != ",":
        decimals = ", decimals written with a comma" if text.decimal_comma else ""
        message = f"Fields are separated by {SEPARATORS[text.separator]}s{decimals}. {DONE}"
        found.append(Finding(id="separator-read", severity="info", count=1, message=message))
    if "final_state" in columns:
        found.append(_final_states(columns["final_state"]))
    if schema.cost is not None:
        cost = -columns["reward"]
        message = (
            f"The reward is minus {schema.cost!r}, a cost: a policy is to make it small, and returns are "
            "sums of costs with the sign turned. Where large values are good, name the column as reward."
        )
        found.append(Finding(id="reward-is-minus-cost", severity="info", count=len(cost), message=message))
        if cost.max(initial=0) <= 0 and cost.min(initial=0) < 0:
            message = (
                f"{schema.cost!r} is a cost that is never positive: its reward is -cost, so that the most "
                "negative values are sought. Where negative numbers are the bad ones, name the column as "
                "reward."
            )
            found.append(
                Finding(id="cost-never-positive", severity="warning", count=len(cost), message=message)
            )
    return found
