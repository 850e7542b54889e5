"""The cells of a table as arrays of numbers, read in batches, and what is wrong with them.

Numbers become float32; whole ones that float32 cannot hold and those too large for it are found on the way.
"""

import dataclasses

import numpy as np
import polars as pl

from suture.data.findings import Finding, at, first_rows, many, share_of
from suture.data.formats.schema import FLAGS, Schema
from suture.data.places import Places
from suture.data.values import EXACT_INTEGERS, remedy
from suture.errors import FormatError
from suture.spaces import Array

BATCH = 1 << 17
EXACT_IN_FLOAT64 = 1 << 53
WIDE = ("observation", "action", "action_probabilities")


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """What refusals say about a table: the path that the user gave, and where its rows stand in the file."""

    path: str
    places: Places

    @property
    def rows(self) -> int:
        return len(self.places.numbers)

    def where(self, mask: Array) -> str:
        """'3 rows (lines 2, 5, 9)'."""
        count, first = int(mask.sum()), first_rows(mask)
        return f"{many(count, 'row')} ({self.places.say(first, more=count > len(first))})"


def number(name: str, kind: pl.DataType, *, decimal_comma: bool = False) -> pl.Expr:
    """A column as numbers, from numbers or from text; what is neither becomes empty."""
    column = pl.col(name)
    if kind == pl.String:
        column = column.str.strip_chars()
        column = column.str.replace(",", ".", literal=True) if decimal_comma else column
        return column.cast(pl.Float64, strict=False)
    return column.cast(pl.Float32) if kind == pl.Boolean else column


def groups(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Column of the log -> columns of the table that hold its numbers."""
    single = {
        "reward": schema.reward or schema.cost, "terminal": schema.terminated, "timeout": schema.truncated,
        "done": schema.done, "propensity": schema.propensity,
    }  # fmt: skip
    wide = {"observation": schema.observation, "action": schema.action}
    if len(schema.action_probabilities) > 1:
        wide["action_probabilities"] = schema.action_probabilities
    return wide | {name: (column,) for name, column in single.items() if column}


class Cells:
    """Reads the numbers of a table: `columns` by the names of a log, in the order of the file.

    Rows with an empty action are `final_state`, where there are episodes. Raises `FormatError` for other
    empty cells, with columns and lines.

    integers: the columns that hold whole numbers by their type in the file.
    """

    def __init__(self, schema: Schema, source: Source, integers: frozenset[str] = frozenset()):
        self.schema, self.source, self.integers = schema, source, integers
        rows, wide = source.rows, groups(schema)
        self.groups = wide
        # One column of choices is kept exactly: ids beyond 16,777,216 must not be mistaken for others.
        exact = np.float64 if schema.action_type == "discrete" else np.float32
        self.arrays: dict[str, Array] = {
            name: np.zeros((rows, len(columns)), exact if name == "action" else np.float32)
            for name, columns in wide.items()
        }
        self.final_state = np.zeros(rows, bool)
        self.empty: dict[str, Array] = {}
        self.rounded: dict[str, Array] = {}
        self.too_large: dict[str, Array] = {}
        self.example: dict[str, float] = {}

    def read(self, table: pl.LazyFrame, *, decimal_comma: bool = False) -> dict[str, Array]:
        """All columns of the log that hold numbers."""
        kinds, schema = table.collect_schema(), self.schema
        chosen = [number(name, kinds[name], decimal_comma=decimal_comma) for name in schema.numbers]
        if len(schema.action_probabilities) == 1:
            chosen.append(_lists(schema.action_probabilities[0], kinds))
        start = 0
        for batch in table.select(chosen).collect_batches(chunk_size=BATCH, engine="streaming"):
            part = slice(start, start + batch.height)
            start = part.stop
            if start > self.source.rows:
                break
            self._add(batch, part)
        if start != self.source.rows:
            raise FormatError(
                f"{self.source.path} changed while it was read: {self.source.rows:,} rows at first, then "
                f"{start:,}. Read it when it is complete."
            )
        self._refuse_empty()
        found = {name: array if name in WIDE else array[:, 0] for name, array in self.arrays.items()}
        return found | ({"final_state": self.final_state} if self.final_state.any() else {})

    def _add(self, batch: pl.DataFrame, part: slice) -> None:
        """The numbers of one batch of rows."""
        nulls = {
            name: batch[name].is_null().to_numpy() for name in self.schema.numbers if batch[name].null_count()
        }
        if self.schema.episode is not None and all(name in nulls for name in self.schema.action):
            self.final_state[part] = np.logical_and.reduce([nulls[name] for name in self.schema.action])
        for name, mask in nulls.items():
            missing = mask if name in self.schema.observation else mask & ~self.final_state[part]
            self._mark(self.empty, name, missing, part)
        for group, names in self.groups.items():
            block = self.arrays[group][part]
            kind = pl.Float64 if block.dtype == np.float64 else pl.Float32
            block[:] = batch.select(pl.col(names).cast(kind)).to_numpy(order="fortran")
            for dimension, name in enumerate(names):
                if name in nulls:
                    block[nulls[name], dimension] = 0
        self._find_inexact(batch, part)
        if len(self.schema.action_probabilities) == 1:
            lists = _matrix(
                batch[self.schema.action_probabilities[0]], self.final_state[part], part, self.source
            )
            whole = self.arrays.setdefault(
                "action_probabilities", np.zeros((self.source.rows, lists.shape[1]), np.float32)
            )
            _put(whole, part, lists, self.source)

    def _find_inexact(self, batch: pl.DataFrame, part: slice) -> None:
        """Whole numbers that lose digits in float32, and numbers that it cannot hold."""
        names = [n for group, names in self.groups.items() for n in names if self.arrays[group].itemsize == 4]
        largest = batch.select(pl.col(names).cast(pl.Float64).abs().max()).row(0)
        for name, most in zip(names, largest, strict=True):
            if most is None or not most > EXACT_INTEGERS:
                continue
            exact = batch[name].cast(pl.Float64).fill_null(0).to_numpy()
            with np.errstate(over="ignore"):
                stored = exact.astype(np.float32)
            large = np.isfinite(stored) & (np.abs(exact) > EXACT_INTEGERS)
            lost = large & ((stored != exact) | (np.abs(exact) > EXACT_IN_FLOAT64))
            if name not in self.integers:  # a measured number loses nothing that was measured
                lost &= np.abs(exact) <= EXACT_IN_FLOAT64
                lost &= bool((exact[large] == np.trunc(exact[large])).all())
            if lost.any():
                self.example.setdefault(name, float(exact[lost][0]))
            self._mark(self.rounded, name, lost, part)
            self._mark(self.too_large, name, np.isfinite(exact) & np.isinf(stored), part)

    def _mark(self, marks: dict[str, Array], name: str, mask: Array, part: slice) -> None:
        if mask.any():
            marks.setdefault(name, np.zeros(self.source.rows, bool))[part] = mask

    def _refuse_empty(self) -> None:
        if self.empty:
            advice = self._remedies()
            raise FormatError(f"{self.source.path}: {empty_cells(self.empty, self.source)} {advice}")

    def _remedies(self) -> str:
        """What to do about the empty cells, by what their columns are."""
        mended = dict[str, list[str]]()
        for group, names in self.groups.items():
            for name in (name for name in names if name in self.empty):
                mended.setdefault(remedy(group), []).append(repr(name))
        if len(mended) == 1:
            return f"{next(iter(mended))}."
        return " ".join(f"For {', '.join(names)}: {what}." for what, names in mended.items())

    def findings(self, index: Array | None) -> tuple[Finding, ...]:
        """What float32 does to the numbers.   index: the order into which the rows were put."""

        def placed(mask: Array) -> Array:
            return mask if index is None else mask[index]

        found: list[Finding] = []
        for name, mask in self.too_large.items():
            message = (
                f"{share_of(mask)} values of {name!r} are too large for float32 (3.4e38). Rescale or mend "
                "the column."
            )
            found.append(at("overflow", "error", placed(mask), message))
        for name, mask in self.rounded.items():
            value = self.example[name]
            message = (
                f"{share_of(mask)} values of {name!r} are whole numbers that lose digits in float32 "
                f"({value:.0f} becomes {np.float32(value):.0f}): different ones become equal. Subtract an "
                "offset, rescale, or leave the column out of the schema."
            )
            found.append(at("rounded-integers", "warning", placed(mask), message))
        return tuple(found)


def empty_cells(empty: dict[str, Array], source: Source) -> str:
    """'cells are empty: ...' with columns and lines."""
    listed = ", ".join(f"{name!r} in {source.where(mask)}" for name, mask in empty.items())
    return f"cells are empty: {listed}."


def check_flags(columns: dict[str, Array], schema: Schema, source: Source) -> None:
    """Refuse a column of flags that holds anything but 0 and 1 (or false and true)."""
    for role, name in zip(FLAGS, ("terminal", "timeout", "done"), strict=True):
        if name not in columns:
            continue
        flags = columns[name]
        wrong = ~((flags == 0) | (flags == 1))
        if wrong.any():
            raise FormatError(
                f"{source.path}: {getattr(schema, role)!r} is named as {role} and must hold flags, 0 or 1 "
                f"(or false and true); {source.where(wrong)} hold something else, first {flags[wrong][0]:g}. "
                f"A flag is 1 on the last row of an episode that ended so. Mend the column, or set {role} to "
                "null."
            )


def _lists(name: str, kinds: pl.Schema) -> pl.Expr:
    """A column of lists, from lists or from text such as [0.2,0.8] or [0.2 0.8]."""
    column = pl.col(name)
    if kinds[name] == pl.String:
        inner = column.str.replace_all(r"[\[\]()]", " ").str.strip_chars()
        column = inner.str.replace_all(r"[,;\s]+", ",").str.split(",")
    return column.cast(pl.List(pl.Float32), strict=False)


def _matrix(series: pl.Series, final_state: Array, part: slice, source: Source) -> Array:
    """Lists of one length as a matrix; the empty ones of final states become zeros."""
    lengths = series.list.len().fill_null(0).to_numpy()
    width = int(lengths.max(initial=0))
    values = series.explode(empty_as_null=False, keep_nulls=False).to_numpy()
    wrong = np.zeros(source.rows, bool)
    wrong[part] = (lengths != width) & ~((lengths == 0) & final_state)
    if values.size == int(lengths.sum()):
        wrong[np.repeat(np.arange(part.start, part.stop), lengths)[np.isnan(values)]] = True
    if wrong.any():
        raise FormatError(
            f"{source.path}: column {series.name!r} must hold one list of {width} numbers per row, such "
            f"as [0.2,0.8]; at least {source.where(wrong)} do not."
        )
    matrix = np.zeros((len(lengths), width), np.float32)
    matrix[lengths > 0] = values.reshape(-1, width) if width else 0
    return matrix


def _put(target: Array, part: slice, values: Array, source: Source) -> None:
    if values.shape[1] not in (0, target.shape[1]):
        raise FormatError(
            f"{source.path}: lists of action probabilities have {target.shape[1]} entries in some rows and "
            f"{values.shape[1]} in others; every action needs its own entry in every row."
        )
    target[part, : values.shape[1]] = values
