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

from suture.config import nearest
from suture.data.findings import Finding, first_rows
from suture.data.formats import arrange, guard
from suture.data.formats.propose import describe, propose
from suture.data.formats.schema import Schema
from suture.data.log import Log
from suture.errors import FormatError, SchemaNeeded
from suture.spaces import Array, Box, Discrete, Space
from suture.storage.manifest import object_of, read_json

BATCH = 1 << 17
MAX_COLUMNS = 10_000
EMPTY = ["NA", "N/A", "null", "NULL", "None"]
WIDE = ("observation", "action", "action_probabilities")
MAX_CHOICES = 1 << 24


def read(path: Path, *, schema: Path | Schema | None = None, source: str | None = None) -> Log:
    """The log in a table.

    schema: what the columns mean, or the JSON file that says so.   source: the path to show to people.
    Raises `SchemaNeeded`, with a proposal, where there is no schema; `FormatError` where the columns and
    the schema disagree, a cell is missing, or a column that must hold numbers holds text.
    """
    source = source or str(path)
    table = scan(path)
    if schema is None:
        proposal, notes = propose(table)
        raise SchemaNeeded(describe(source, proposal, notes), proposal.to_json())
    if isinstance(schema, Path):
        schema = Schema.from_json(object_of(read_json(schema), str(schema)), str(schema))
    _check_columns(table, schema, source)
    try:
        return _log(scan(path, floats=schema.numbers), schema, source)
    except pl.exceptions.PolarsError as error:
        raise FormatError(f"{source} cannot be read as a table: {str(error).splitlines()[0]:.300}") from error


def scan(path: Path, *, floats: Sequence[str] = ()) -> pl.LazyFrame:
    """A table, opened lazily and locally: no addresses, no patterns, no compressed text.

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
            guard.check_declared(str(path), rows * len(table.collect_schema()), size)
        else:
            if re.search(rb"[\x00-\x08\x0e-\x1f]", head) or head.startswith(
                (b"x\x9c", b"x\xda", b"\x28\xb5")
            ):
                raise FormatError(f"{path} is no text, expected a CSV. Decompress or convert it first.")
            table = _csv(plain)
            found = table.collect_schema()
            integers = {name: pl.Float64 for name in floats if found[name].is_integer()}
            table = _csv(plain, integers) if integers else table
        columns = len(table.collect_schema())
    except (pl.exceptions.PolarsError, OSError) as error:
        said = str(error).splitlines()[0]
        raise FormatError(
            f"{path} is cut off or damaged ({size:,} bytes): {said:.200}. Restore it from its source."
        ) from error
    if columns > MAX_COLUMNS:
        raise FormatError(f"{path} has {columns:,} columns; at most {MAX_COLUMNS:,} are read.")
    return table


def _csv(path: Path, overrides: dict[str, Any] | None = None) -> pl.LazyFrame:
    return pl.scan_csv(
        path, glob=False, infer_schema_length=10_000, null_values=EMPTY, schema_overrides=overrides
    )


def _check_columns(table: pl.LazyFrame, schema: Schema, source: str) -> None:
    """Every column that the schema names must exist, and those of numbers must hold numbers."""
    kinds = table.collect_schema()
    wanted = dict.fromkeys((*schema.numbers, *schema.keys, *schema.action_probabilities))
    for name in wanted:
        if name not in kinds:
            raise FormatError(
                f"{source} has no column {name!r}, which the schema names.{nearest(name, kinds)}"
            )
    texts = [name for name in schema.numbers if not (kinds[name].is_numeric() or kinds[name] == pl.Boolean)]
    if not texts:
        return
    number = {name: pl.col(name).cast(pl.String).cast(pl.Float64, strict=False) for name in texts}
    bad = table.select(
        (pl.col(name).is_not_null() & number[name].is_null()).sum() for name in texts
    ).collect()
    counts = {name: int(bad[name].item()) for name in texts if bad[name].item()}
    if counts:
        listed = ", ".join(f"{name!r} in {count:,} rows" for name, count in counts.items())
        raise FormatError(
            f"{source}: columns that must hold numbers hold text: {listed}. Encode the text as numbers "
            "(one column per category), or take these columns out of the schema."
        )


def _log(table: pl.LazyFrame, schema: Schema, source: str) -> Log:
    keys = table.select(schema.keys).collect(engine="streaming")
    rows = keys.height if schema.keys else int(table.select(pl.len()).collect().item())
    if not rows:
        raise FormatError(f"{source} has a header but no rows.")
    columns = _numbers(table, schema, rows, source)
    keys = _filled(keys, schema, columns.get("final_state"), source)
    columns["episode"] = np.arange(rows) if schema.episode is None else arrange.labels(keys[schema.episode])
    order = None if schema.order is None else arrange.ordered(keys[schema.order], source)
    unknown = np.zeros(rows, bool) if schema.order is None else keys[schema.order].is_null().to_numpy()
    findings: tuple[Finding, ...] = ()
    kept = {name: arrange.plain(keys[name]) for name in schema.columns}
    if schema.episode is not None or order is not None:
        groups = columns["episode"] if schema.episode is not None else np.zeros(rows, np.int64)
        index = arrange.permutation(groups, order)
        if order is not None and schema.episode is not None:
            findings = arrange.gaps(groups, order, index, unknown=unknown, name=schema.order or "")
        if index is not None:
            columns = {name: array[index] for name, array in columns.items()}
            kept = {name: array[index] for name, array in kept.items()}
    _check_final_states(columns, source)
    if schema.episode is None and not {"terminal", "timeout", "done"} & set(columns):
        columns["terminal"] = np.ones(rows, bool)
    space = _action_space(schema, columns, source)
    required: dict[str, Any] = columns
    return Log(source=source, layout="table", action_space=space, columns=kept, findings=findings, **required)


def _filled(keys: pl.DataFrame, schema: Schema, final_state: Array | None, source: str) -> pl.DataFrame:
    """The columns kept as they are: empty cells are refused, but for the order and extras of final states."""
    empty: dict[str, int] = {}
    for name in schema.keys:
        mask = keys[name].is_null().to_numpy()
        if name != schema.episode and final_state is not None:
            mask = mask & ~final_state
        if mask.any():
            empty[name] = int(mask.sum())
    if empty:
        raise FormatError(f"{source}: {_cells(empty)} Every row needs its episode, order and split columns.")
    others = [name for name in schema.keys if name != schema.order]
    return keys.with_columns(pl.col(name).fill_null(strategy="forward") for name in others)


def _cells(counts: dict[str, int]) -> str:
    listed = ", ".join(f"{name!r} in {count:,} rows" for name, count in counts.items())
    return f"cells are empty: {listed}."


def _groups(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Column of the log -> columns of the table that hold its numbers."""
    single = {
        "reward": schema.reward, "terminal": schema.terminated, "timeout": schema.truncated,
        "done": schema.done, "propensity": schema.propensity,
    }  # fmt: skip
    groups = {"observation": schema.observation, "action": schema.action}
    if len(schema.action_probabilities) > 1:
        groups["action_probabilities"] = schema.action_probabilities
    return groups | {name: (column,) for name, column in single.items() if column}


def _numbers(table: pl.LazyFrame, schema: Schema, rows: int, source: str) -> dict[str, Array]:
    """Every column of numbers as float32, read in batches; rows with an empty action are final states."""
    groups, listed = _groups(schema), len(schema.action_probabilities) == 1
    arrays = {name: np.zeros((rows, len(columns)), np.float32) for name, columns in groups.items()}
    final_state, empty = np.zeros(rows, bool), dict.fromkeys(schema.numbers, 0)
    expressions = [pl.col(name).cast(pl.Float32, strict=False) for name in schema.numbers]
    if listed:
        expressions.append(_lists(schema.action_probabilities[0], table))
    start = 0
    for batch in table.select(expressions).collect_batches(chunk_size=BATCH, engine="streaming"):
        part = slice(start, start + batch.height)
        start = part.stop
        nulls = {
            name: batch[name].is_null().to_numpy() for name in schema.numbers if batch[name].null_count()
        }
        if schema.episode is not None and all(name in nulls for name in schema.action):
            final_state[part] = np.logical_and.reduce([nulls[name] for name in schema.action])
        for name, mask in nulls.items():
            empty[name] += int((mask if name in schema.observation else mask & ~final_state[part]).sum())
        for group, names in groups.items():
            block = arrays[group][part]
            block[:] = batch.select(names).to_numpy(order="fortran")
            for dimension, name in enumerate(names):
                if name in nulls:
                    block[nulls[name], dimension] = 0
        if listed:
            lists = _matrix(batch[schema.action_probabilities[0]], final_state[part], source)
            arrays.setdefault("action_probabilities", np.zeros((rows, lists.shape[1]), np.float32))
            _put(arrays["action_probabilities"], part, lists, source)
    counts = {name: count for name, count in empty.items() if count}
    if counts:
        raise FormatError(f"{source}: {_cells(counts)} Fill them, drop the rows, or leave the column out.")
    found = {name: array if name in WIDE else array[:, 0] for name, array in arrays.items()}
    return found | ({"final_state": final_state} if final_state.any() else {})


def _lists(name: str, table: pl.LazyFrame) -> pl.Expr:
    """A column of lists, from lists or from text such as [0.2,0.8] or [0.2 0.8]."""
    column = pl.col(name)
    if table.collect_schema()[name] == pl.String:
        inner = column.str.replace_all(r"[\[\]()]", " ").str.strip_chars()
        column = inner.str.replace_all(r"[,;\s]+", ",").str.split(",")
    return column.cast(pl.List(pl.Float32), strict=False)


def _matrix(series: pl.Series, final_state: Array, source: str) -> Array:
    """Lists of one length as a matrix; the empty ones of final states become zeros."""
    lengths = series.list.len().fill_null(0).to_numpy()
    width = int(lengths.max(initial=0))
    wrong = (lengths != width) & ~((lengths == 0) & final_state)
    values = series.explode(empty_as_null=False, keep_nulls=False).to_numpy()
    if wrong.any() or values.size != int(lengths.sum()) or np.isnan(values).any():
        raise FormatError(
            f"{source}: column {series.name!r} must hold one list of {width} numbers per row, such "
            f"as [0.2,0.8]; {int(wrong.sum()):,} rows of one batch of {len(wrong):,} do not."
        )
    matrix = np.zeros((len(lengths), width), np.float32)
    matrix[lengths > 0] = values.reshape(-1, width) if width else 0
    return matrix


def _put(target: Array, part: slice, values: Array, source: str) -> None:
    if values.shape[1] not in (0, target.shape[1]):
        raise FormatError(
            f"{source}: lists of action probabilities have {target.shape[1]} entries in some rows and "
            f"{values.shape[1]} in others; every action needs its own entry in every row."
        )
    target[part, : values.shape[1]] = values


def _check_final_states(columns: dict[str, Array], source: str) -> None:
    """A row with an empty action must be the last of its episode."""
    if "final_state" not in columns:
        return
    last = np.append(columns["episode"][1:] != columns["episode"][:-1], True)
    wrong = columns["final_state"] & ~last
    if wrong.any():
        raise FormatError(
            f"{source}: the action is empty in {int(wrong.sum()):,} rows that are not the last of their "
            f"episode (in order, first at rows {first_rows(wrong)}). Fill them in, or cut the episodes there."
        )


def _action_space(schema: Schema, columns: dict[str, Array], source: str) -> Space | None:
    """The declared space of actions; discrete actions become integers on the way."""
    action = columns["action"]
    if schema.action_type == "continuous":
        if schema.action_bounds is None:
            return None
        low, high = ((bound,) * action.shape[1] for bound in schema.action_bounds)
        return Box((action.shape[1],), "float32", low, high)
    wrong = (action[:, 0] < 0) | (action[:, 0] >= MAX_CHOICES) | (action[:, 0] % 1 != 0)
    if wrong.any():
        raise FormatError(
            f"{source}: discrete actions must be integers from 0 on, below {MAX_CHOICES:,}; "
            f"{int(wrong.sum()):,} rows of {schema.action[0]!r} are not, first {action[wrong][0, 0]:g}. "
            'Number the choices, or set action_type to "continuous".'
        )
    columns["action"] = action[:, 0].astype(np.int32)
    most = int(columns["action"].max()) + 1
    probabilities = columns.get("action_probabilities")
    return Discrete(most if probabilities is None else max(most, probabilities.shape[1]))
