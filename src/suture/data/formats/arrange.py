"""Rows of a table into episodes in time order, and what the order column reveals."""

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from suture.data.findings import Finding, at, many
from suture.data.formats.cells import Source
from suture.data.formats.schema import Schema
from suture.errors import FormatError
from suture.spaces import Array

MODAL_SHARE = 0.8
UNEVEN = 0.1
LONG = 1.5


def labels(series: pl.Series) -> Array:
    """A number per row that is equal where the label is equal, (rows,)."""
    if series.dtype.is_numeric() and not _is_wide(series.dtype):
        return series.to_numpy()
    return series.rank("dense").to_numpy()


def plain(series: pl.Series) -> Array:
    """A column as NumPy: numbers, instants (UTC, microseconds) or fixed-width text; never objects."""
    series = series.cast(pl.Float64) if series.dtype.is_decimal() else series
    if (series.dtype.is_numeric() and not _is_wide(series.dtype)) or series.dtype == pl.Boolean:
        return series.to_numpy()
    instants = _instants(series)
    if instants is not None:
        return instants.astype("datetime64[us]")
    return series.cast(pl.String).to_numpy().astype(str)


def ordered(series: pl.Series, source: Source) -> Array:
    """The order column as numbers: as they are, or microseconds where it holds dates or times.

    Empty cells, which only final states may have, come after all others.
    """
    if series.dtype.is_numeric():
        series = series.cast(pl.Float64) if _is_wide(series.dtype) else series
        if not (finite := series.is_finite().fill_null(True)).all():
            raise FormatError(
                f"{source.path}: the order column {series.name!r} is NaN or infinite in "
                f"{source.where(~finite.to_numpy())}. Fill it in, or drop the rows."
            )
        last = series.max()
        return series.fill_null(0 if last is None else last + 1).to_numpy()  # pyright: ignore
    instants = _instants(series)
    if instants is not None:
        return instants
    if series.dtype == pl.String:
        read = series.str.strip_chars().cast(pl.Float64, strict=False)
        if read.null_count() == series.null_count():
            return ordered(read, source)
    wrong = _no_instant(series)
    raise FormatError(
        f"{source.path}: the order column {series.name!r} holds neither numbers nor dates in "
        f"{source.where(wrong)}, first {str(series.filter(wrong)[0])!r:.60}. Name a step number or a time, "
        "or null to keep the file's order."
    )


def _is_wide(kind: pl.DataType) -> bool:
    """Whether NumPy has no such numbers, which would become objects."""
    return kind == pl.Int128 or kind.is_decimal()


def permutation(episode: Array, order: Array | None) -> Array | None:
    """The rows in episodes and in order, (rows,); None where they are so already.

    Episodes keep the order in which they first appear, rows of equal order the order of the file.
    """
    starts = np.flatnonzero(np.concatenate([[True], episode[1:] != episode[:-1]]))
    grouped = len(np.unique(episode[starts])) == len(starts)
    if grouped:
        group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(episode))))
    else:
        _, first, inverse = np.unique(episode, return_index=True, return_inverse=True)
        group = np.argsort(np.argsort(first))[inverse]
    if order is None:
        return None if grouped else np.argsort(group, kind="stable")
    if grouped and bool(np.all((order[1:] >= order[:-1]) | (group[1:] != group[:-1]))):
        return None
    return np.lexsort((order, group))


@dataclasses.dataclass(frozen=True, eq=False)
class Arranged:
    """Rows in episodes and in time.

    index: the file's row of each row, (rows,); None where they are so in the file.
    episode: a label per row, in the new order; None where flags divide the rows.
    gap: rows after which steps are missing, in the new order; None where there are none.
    """

    index: Array | None
    episode: Array | None
    gap: Array | None
    findings: tuple[Finding, ...]

    def put(self, column: Array) -> Array:
        """A column of the file in the new order."""
        return column if self.index is None else column[self.index]


def arrange(keys: pl.DataFrame, schema: Schema, ends: Array | None, source: Source) -> Arranged:
    """The rows of a table in episodes and in time.

    keys: the columns of labels and order.   ends: rows at which a flag is set, (rows,); None without flags.
    """
    name = schema.order or ""
    order = None if schema.order is None else ordered(keys[name], source)
    if schema.episode is not None:
        groups = labels(keys[schema.episode])
        index = permutation(groups, order)
    elif ends is not None:
        groups, index = _divided(ends, order, name, source)
    else:
        index = None if order is None else permutation(np.zeros(source.rows, np.int8), order)
        bandit = schema.propensity is not None or bool(schema.action_probabilities)
        found = () if order is None or bandit else _recording(order, name, not keys[name].dtype.is_numeric())
        moved = _moved(np.zeros(source.rows, np.int8), order, index, name)
        return Arranged(index, np.arange(source.rows), None, (*moved, *found))
    found, gap, together = (), None, groups if schema.episode is not None else np.zeros(source.rows, np.int8)
    if order is not None:
        unknown, dates = keys[name].is_null().to_numpy(), not keys[name].dtype.is_numeric()
        found, gap = gaps(groups, order, index, unknown=unknown, name=name, dates=dates)
    labelled = None if schema.episode is None else groups if index is None else groups[index]
    return Arranged(index, labelled, gap, (*_moved(together, order, index, name), *found))


def _moved(groups: Array, order: Array | None, index: Array | None, name: str) -> Iterator[Finding]:
    """What was done to the order of the file, by its rows in the new order.

    groups: the label of each row within which rows were sorted.   index: `permutation`.
    """
    if index is None:
        return
    place = np.argsort(index)
    begins = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    first = np.unique(groups[begins], return_index=True)[1]
    resumed = np.delete(begins, first)
    if len(resumed):
        message = (
            f"Rows of one episode are apart in {many(len(resumed), 'place')}, others lie in between, "
            "as where several machines write one file: they were brought together. Where one label stands "
            "for several episodes, give them labels of their own; otherwise nothing need be done."
        )
        yield at("episodes-regrouped", "info", place[resumed], message)
    if order is None:
        return
    together = np.argsort(groups, kind="stable")
    values, same = order[together], groups[together][1:] == groups[together][:-1]
    late = np.sort(together[1:][same & (values[1:] < values[:-1])])
    if len(late):
        message = (
            f"{many(len(late), 'row')} came after a row whose {name!r} is later: the rows were sorted by it. "
            "Where the file's order is the true one, set order to null; otherwise nothing need be done."
        )
        yield at("rows-sorted", "info", place[late], message)


def _recording(order: Array, name: str, dates: bool) -> tuple[Finding, ...]:
    """Whether rows that are to be decisions of their own look like the steps of one recording."""
    usual = _usual(np.diff(np.sort(order)))
    if usual is None:
        return ()
    message = (
        "Every row is read as an episode of one step, for the schema names no column of episodes. But "
        f"{name!r} grows by {_step(usual, dates)} from row to row, as in a recording. Where the next row is "
        "what followed, add a column of labels (one label where all is one recording) and name it as episode."
    )
    return (Finding(id="steps-read-as-episodes", severity="warning", count=len(order), message=message),)


def _usual(steps: Array) -> float | None:
    """The common step of an order that grows evenly, by more than 0; None where it is irregular."""
    positive = steps[steps > 0]
    if not len(positive):
        return None
    usual = float(np.median(positive))
    even = np.abs(positive - usual) <= UNEVEN * usual
    return usual if even.mean() >= MODAL_SHARE else None


def _step(usual: float, dates: bool) -> str:
    return str(timedelta(microseconds=usual)) if dates else f"{usual:.12g}"


def _moment(value: np.number[Any], dates: bool) -> str:
    """A value of the order column; of instants the fraction of a second where there is one."""
    if not dates:
        return f"{value:.12g}"
    said = str(value.astype("datetime64[us]")).replace("T", " ").removeprefix("1970-01-01 ")
    return said.rstrip("0").rstrip(".") if "." in said else said


def _divided(ends: Array, order: Array | None, name: str, source: Source) -> tuple[Array, Array | None]:
    """A label per row of the file, and the order of the rows, where flags alone divide them.

    Rows that lie in order between the flags stay; others are one recording that is sorted as a whole.
    """
    groups = _after(ends)
    if order is None or permutation(groups, order) is None:
        return groups, None
    index = np.argsort(order, kind="stable")
    repeated = np.append(order[index][1:] == order[index][:-1], False)
    if repeated.any():
        wrong = np.zeros(source.rows, bool)
        wrong[index] = repeated
        raise FormatError(
            f"{source.path}: no column labels the episodes, and rows are not in the order of {name!r} "
            "between the flags of ends; nor can the file be sorted by it, for it repeats in "
            f"{source.where(wrong)}. Name the column of episodes in the schema, or set order to null to keep "
            "the file's order."
        )
    groups[index] = _after(ends[index])
    return groups, index


def _after(ends: Array) -> Array:
    """The number of ends before each row, (rows,)."""
    return np.append(0, np.cumsum(ends)[:-1])


def gaps(
    episode: Array, order: Array, index: Array | None, *, unknown: Array, name: str, dates: bool = False
) -> tuple[tuple[Finding, ...], Array | None]:
    """What is wrong with the order column: repeated values, and missing ones where it counts evenly.

    index: `permutation`.   unknown: rows without an order of their own.   name: of the order column.
    dates: its values are microseconds.
    Returns the findings, and the rows after which steps are missing, (rows,), or None. Rows are numbered as
    in the sorted table. A time may be irregular: only where nearly all rows follow each other by one common
    step are longer ones gaps.
    """
    if index is not None:
        episode, order = episode[index], order[index]
    counted = ~unknown if index is None else ~unknown[index]
    inside = (episode[1:] == episode[:-1]) & counted[1:] & counted[:-1]
    steps = order[1:] - order[:-1]
    found: list[Finding] = []
    repeated = np.append(False, inside & (steps == 0))
    if repeated.any():
        found.append(_repeated(repeated, name))
    usual = _usual(steps[inside])
    long = inside & (steps > LONG * (usual or 0))
    if usual is None or not long.any():
        return tuple(found), None
    first = int(np.flatnonzero(long)[0])
    before, after = (_moment(value, dates) for value in order[first : first + 2])
    message = (
        f"{name!r} grows by {_step(usual, dates)} from row to row, but by more in "
        f"{many(int(long.sum()), 'place')}, first from {before} to {after}: steps are missing. The row "
        "before each gap counts as missing its next observation: it serves imitation and is not bootstrapped "
        "from. Fill the gaps, or give the parts episode labels of their own."
    )
    found.append(at("order-gaps", "warning", np.append(False, long), message))
    return tuple(found), np.append(long, False)


def _repeated(mask: Array, name: str) -> Finding:
    message = (
        f"{name!r} is that of the row before in {many(int(mask.sum()), 'row')} of the same episode; they "
        "were kept in the file's order. Remove repeated rows, or name a finer order column."
    )
    return at("order-duplicates", "warning", mask, message)


def _no_instant(series: pl.Series) -> Array:
    """Where a column that should hold dates holds none, (rows,)."""
    if series.dtype == pl.String:
        try:
            found = series.str.to_datetime(time_unit="us", strict=False).is_null().to_numpy()
        except pl.exceptions.PolarsError:
            found = np.zeros(0, bool)
        if found.any():
            return found
    return np.ones(len(series), bool)


def _instants(series: pl.Series) -> Array | None:
    """Microseconds since 1970 (UTC), or of a time since midnight; None where the column holds no dates."""
    if series.dtype == pl.String:
        try:
            series = series.str.to_datetime(time_unit="us", strict=False)
        except pl.exceptions.PolarsError:
            return None
    if not series.dtype.is_temporal() or series.null_count():
        return None
    if series.dtype.base_type() in (pl.Date, pl.Datetime):
        series = series.cast(pl.Datetime("us", getattr(series.dtype, "time_zone", None)))
    else:
        series = series.cast(pl.Duration("us"))
    return series.to_physical().cast(pl.Int64).to_numpy()
