"""What the values of a column show that it may be: a label of episodes, an order, a flag, a choice."""

import polars as pl

MOST_CHOICES = 256
FEW = 64
MOST_REASONS = 16
LEVELS = 8
PER_LEVEL = 10
DATES = 100
ROUNDING = 1e-6
PACE, PACED = 0.1, 0.9
"""How far a clock's steps are from the usual one, and how many of them."""


def numbers(series: pl.Series) -> pl.Series | None:
    """A column as floats; None where it holds anything but numbers (text that says numbers is numbers)."""
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return series.cast(pl.Float64)
    if series.dtype != pl.String or series.null_count() == len(series):
        return None
    read = series.str.strip_chars().cast(pl.Float64, strict=False)
    return read if read.null_count() == series.null_count() else None


def words(series: pl.Series) -> pl.Series:
    """Which cells of a column of text say no number."""
    return series.str.strip_chars().cast(pl.Float64, strict=False).is_null()


def moments(series: pl.Series) -> pl.Series | None:
    """A column of numbers, dates or times as floats; None where it holds neither."""
    if series.dtype == pl.String and numbers(series) is None:
        try:
            if series.head(DATES).str.to_datetime(strict=False).null_count():
                return None
            series = series.str.to_datetime(time_unit="us", strict=False)
        except pl.exceptions.PolarsError:
            return None
        return series.to_physical().cast(pl.Float64)
    if series.dtype.is_temporal():
        return series.to_physical().cast(pl.Float64)
    return numbers(series)


def is_flag(values: pl.Series) -> bool:
    """Whether a column of numbers holds nothing but 0 and 1 (and empty cells)."""
    return bool(values.drop_nulls().is_in([0.0, 1.0]).all())


def blocks(series: pl.Series) -> int:
    """How many runs of equal values a column consists of."""
    return len(series.rle())


def grows(values: pl.Series, label: pl.Series | None, *, strictly: bool = True) -> bool:
    """Whether values grow from row to row within each label, in the order of the file."""
    steps = _steps(values, label)
    return bool(((steps > 0) if strictly else (steps >= 0)).all())


def restarts(values: pl.Series, label: pl.Series) -> bool:
    """Whether values grow within each label and fall at the first row of another."""
    return grows(values, label) and not grows(values, None, strictly=False)


def disorder(values: pl.Series, label: pl.Series | None) -> int:
    """0 where values grow within each label, 1 where none falls, 2 where none occurs twice, 3 otherwise."""
    if grows(values, label):
        return 0
    if grows(values, label, strictly=False):
        return 1
    return 2 if label is not None and unique_within(values, label) else 3


def counts(values: pl.Series) -> bool:
    """Whether the different values count on by 1, in the order of the file."""
    steps = values.unique(maintain_order=True).diff().drop_nulls()
    return bool((steps == 1).all())


def begins_anew(values: pl.Series) -> int:
    """How often what counts evenly falls back to its lowest value; 0 where it also does something else."""
    steps = values.diff()
    lower = (steps < 0).fill_null(False)
    anew = bool((values.filter(lower) == values.min()).all())
    return int(lower.sum()) if anew and _equal(steps.filter(~lower).drop_nulls()) else 0


def even(values: pl.Series, label: pl.Series | None) -> bool:
    """Whether values always grow by the same amount within each label."""
    return _equal(_steps(values, label))


def paced(values: pl.Series, label: pl.Series) -> bool:
    """Whether values, put in order, grow within each label by nearly one amount, as a clock's do."""
    frame = pl.DataFrame({"label": label, "value": values}).sort("label", "value")
    steps = _steps(frame["value"], frame["label"])
    usual = float(steps.median() or 0) if len(steps) else 0.0  # pyright: ignore[reportArgumentType]
    near = (steps - usual).abs() <= PACE * usual
    return usual > 0 and int(near.sum()) >= PACED * len(steps)


def _equal(steps: pl.Series) -> bool:
    """Whether all steps are of one length, but for rounding, and upwards."""
    if not len(steps):
        return False
    least, most = float(steps.min()), float(steps.max())  # pyright: ignore[reportArgumentType]
    return least > 0 and most - least <= ROUNDING * most


def _steps(values: pl.Series, label: pl.Series | None) -> pl.Series:
    frame = pl.DataFrame({"value": values, "label": values.is_null() if label is None else label})
    step = pl.col("value").diff()
    chosen = frame.select(step if label is None else step.over("label"))
    return chosen["value"].drop_nulls()


def unique_within(values: pl.Series, label: pl.Series) -> bool:
    """Whether no value occurs twice within a label."""
    known = pl.DataFrame({"value": values, "label": label}).drop_nulls("value")
    return known.n_unique() == known.height


def constant_within(values: pl.Series, label: pl.Series) -> bool:
    """Whether a column that changes is constant within each of several labels."""
    frame = pl.DataFrame({"value": values, "label": label})
    counts = frame.group_by("label").agg(pl.col("value").n_unique(), pl.len().alias("rows"))
    return values.n_unique() > 1 and bool((counts["value"] == 1).all()) and bool((counts["rows"] > 1).any())


def pieces(flags: list[pl.Series]) -> pl.Series:
    """The number of rows before each one on which a flag is set: a label of what flags divide."""
    either = pl.DataFrame({str(n): flag.fill_null(0) for n, flag in enumerate(flags)}).max_horizontal()
    return either.shift(1).fill_null(0).cum_sum()


def set_inside(flags: pl.Series, label: pl.Series, moment: pl.Series | None) -> bool:
    """Whether a flag is set on a row that is not the last of its label.

    moment: what puts the rows of a label in order; None: the order of the file.
    """
    frame = pl.DataFrame({"flag": flags, "label": label}).with_row_index("row")
    frame = frame.with_columns(pl.col("row").alias("moment") if moment is None else moment.alias("moment"))
    frame = frame.sort("label", "moment", "row", nulls_last=True)
    last = (frame["label"] != frame["label"].shift(-1)).fill_null(True)
    return bool(((frame["flag"] == 1) & ~last).any())


def has_levels(values: pl.Series, label: pl.Series | None) -> bool:
    """Whether a column takes a few values only, many times each, and changes within an episode."""
    known = values.drop_nulls()
    levels = known.n_unique()
    repeated = 2 <= levels <= LEVELS and len(known) >= PER_LEVEL * levels
    return repeated and (label is None or not constant_within(values, label))


def are_choices(values: pl.Series, *, named: bool) -> bool:
    """Whether numbers are whole ones from 0 on that lie close together, and so most likely name choices.

    named: the column's name says that it names choices, so that some may be absent.
    """
    found = values.drop_nulls().unique()
    if not len(found) or not bool(((found >= 0) & (found % 1 == 0)).all()):
        return False
    most = float(found.max()) + 1  # pyright: ignore[reportArgumentType]
    if named:
        return most <= 4 * MOST_CHOICES
    return len(found) <= FEW and most <= 2 * len(found)
