"""Rows of a table into episodes in time order, and what the order column reveals."""

import numpy as np
import polars as pl

from suture.data.findings import Finding, first_rows
from suture.errors import FormatError
from suture.spaces import Array

MODAL_SHARE = 0.8


def labels(series: pl.Series) -> Array:
    """A number per row that is equal where the label is equal, (rows,)."""
    if series.dtype.is_numeric():
        return series.to_numpy()
    return series.rank("dense").to_numpy()


def plain(series: pl.Series) -> Array:
    """A column as NumPy: numbers, instants (UTC, microseconds) or fixed-width text; never objects."""
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return series.to_numpy()
    instants = _instants(series)
    if instants is not None:
        return instants.astype("datetime64[us]")
    return series.cast(pl.String).to_numpy().astype(str)


def ordered(series: pl.Series, source: str) -> Array:
    """The order column as numbers: as they are, or microseconds where it holds dates or times.

    Empty cells, which only final states may have, come after all others.
    """
    if series.dtype.is_numeric():
        last = series.max()
        return series.fill_null(0 if last is None else last + 1).to_numpy()  # pyright: ignore
    instants = _instants(series)
    if instants is None:
        raise FormatError(
            f"{source}: the order column {series.name!r} holds neither numbers nor dates (such as "
            f"{str(series[0])!r:.60}). Name a step number or a time, or null to keep the file's order."
        )
    return instants


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


def gaps(
    episode: Array, order: Array, index: Array | None, *, unknown: Array, name: str
) -> tuple[Finding, ...]:
    """What is wrong with the order column: repeated values, and missing ones where it counts steps.

    index: `permutation`.   unknown: rows without an order of their own.   name: of the order column.
    Rows are numbered as in the sorted table. A time column may be irregular: only integers of which most
    follow each other by one common step are steps.
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
    positive = steps[inside & (steps > 0)]
    if len(positive) and np.issubdtype(order.dtype, np.integer):
        values, counts = np.unique(positive, return_counts=True)
        usual = int(values[counts.argmax()])
        missing = np.append(False, inside & (steps > usual))
        if missing.any() and counts.max() >= MODAL_SHARE * counts.sum():
            found.append(_missing(missing, name, usual))
    return tuple(found)


def _repeated(mask: Array, name: str) -> Finding:
    count = int(mask.sum())
    return Finding(
        id="order-duplicates", severity="warning", count=count, rows=first_rows(mask),
        message=f"{count:,} rows repeat the {name!r} of the row before them in the same episode; they were "
        "kept in the file's order. Remove repeated rows, or name a finer order column.",
    )  # fmt: skip


def _missing(mask: Array, name: str, usual: int) -> Finding:
    count = int(mask.sum())
    return Finding(
        id="order-gaps", severity="warning", count=count, rows=first_rows(mask),
        message=f"{name!r} grows by {usual} from row to row, but by more before {count:,} rows: steps are "
        "missing there, and the transitions across the gaps are no single steps. Give the parts different "
        "episode labels, or fill the gaps.",
    )  # fmt: skip


def _instants(series: pl.Series) -> Array | None:
    """Microseconds since 1970 (UTC), or None where the column holds no dates."""
    if series.dtype == pl.String:
        try:
            series = series.str.to_datetime(time_unit="us", strict=False)
        except pl.exceptions.PolarsError:
            return None
    if not series.dtype.is_temporal() or series.null_count():
        return None
    if series.dtype.base_type() in (pl.Date, pl.Datetime):
        series = series.cast(pl.Datetime("us", getattr(series.dtype, "time_zone", None)))
    return series.to_physical().cast(pl.Int64).to_numpy()
