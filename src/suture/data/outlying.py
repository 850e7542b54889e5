"""Few values far from all others, by which a column would be scaled, and sensors that hung."""

import dataclasses

import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.findings import Finding, at, many
from suture.data.places import Names, column_name
from suture.spaces import Array, Box

SAMPLE = 1 << 14
BLOCK = 256
FEWEST = 20
"""Rows by which the usual range of a column is known."""
FAR = 20.0
"""A value lies so many usual ranges beyond its column's, and so many times as far as the next one."""
MOST = 0.5
"""Those values make up so much of the variance."""
EVENTS, MISTAKES = 3, 5
"""So many equal rewards are an event of the task, and more than so many large ones are too."""
LISTED = 5
HUNG = 30
"""Rows in a row that show one value."""
REPEATED, STILL = 1e-3, 0.2
"""Of a sensor that moves, the share of steps without a change: apart from where it hung, and of all."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Outlying:
    """A column of that name, the rows where it lies far out, and its usual range."""

    name: str
    values: Array
    rows: Array
    low: float
    high: float


def find_outlying(data: Dataset, found: list[Finding], *, actions: bool) -> None:
    """Values far outside their column's own quantiles that make up most of its variance.

    actions: whether to look at actions, which is for those whose bounds nobody states.
    """
    arrays = _vectors(data) | ({"action": data.action} if actions and data.action.ndim == 2 else {})
    columns = [each for name, array in arrays.items() for each in _columns(name, array, data.names)]
    what = "Standardised so, its usual values are nearly one and the same to a network"
    more = len(columns) - LISTED
    others = f" So it is with {many(more, 'other column')}." if more > 0 else ""
    found += [_finding(each, f"{what}.{others}") for each in columns[:LISTED]]
    if data.reward is not None:
        for each in _columns("reward", data.reward[:, None], data.names):
            rows = _no_events(each.values, each.rows, data)
            if len(rows):
                what = "Sums of rewards, and so the values that are learned, are decided by them alone"
                name = each.name if data.names.get("reward") else "reward"
                found.append(_finding(dataclasses.replace(each, name=name, rows=rows), f"{what}."))


def _finding(each: _Outlying, what: str) -> Finding:
    first, usual = int(each.rows[0]), np.delete(each.values, each.rows).std()
    message = (
        f"{each.name} lies far from all its other values in {many(len(each.rows), 'row')}, first "
        f"{each.values[first]:.6g} in row {first:,}; in 98 % of rows it is from {each.low:.4g} to "
        f"{each.high:.4g}. Its deviation is {each.values.std():.3g}, without them {usual:.3g}. {what} "
        "Correct what was not measured or is of another unit, or remove these episodes; where the values are "
        "true, put the column on another scale, such as a logarithm."
    )
    return at("outlying-values", "warning", each.rows, message)


def _vectors(data: Dataset) -> dict[str, Array]:
    """The observations that are no images and no choices, (N, columns) each, by their names."""
    leaves = spaces.leaves_of(data.observation_space)
    return {
        f"observation/{path}" if path else "observation": array.reshape(len(array), -1)
        for path, array in spaces.arrays_of(data.observation).items()
        if isinstance(leaf := leaves[path], Box) and not leaf.is_image
    }


def _columns(name: str, array: Array, names: Names) -> list[_Outlying]:
    """The columns that hold outlying values. Most are ruled out by a sample and their extremes."""
    if len(array) < FEWEST:
        return []
    sample = array[:: -(-len(array) // SAMPLE)]
    (low, high), (least, most), found = _quantiles(sample), _extremes(array), list[_Outlying]()
    for column in np.flatnonzero(np.maximum(low - least, most - high) > FAR * (high - low)):
        values = np.asarray(array[:, column], np.float64)
        usual = _usual(values, float(low[column]), float(high[column]))
        rows = np.zeros(0, np.int64) if usual is None else _far(values, *usual)
        if usual is not None and len(rows):
            found.append(_Outlying(column_name(names, name, int(column)), values, rows, *usual))
    return found


def _quantiles(values: Array) -> tuple[Array, Array]:
    """The 1st and the 99th percentile of each column, from within: one extreme row is never among them."""
    high = int(0.99 * (len(values) - 1))
    low = len(values) - 1 - high
    ranked = np.partition(values, (low, high), axis=0)
    return ranked[low].astype(np.float64), ranked[high].astype(np.float64)


def _extremes(array: Array) -> tuple[Array, Array]:
    """The least and the largest value of each column. Blocks of rows, for short rows one by one are slow."""
    whole = len(array) // BLOCK * BLOCK
    blocks, rest = array[:whole].reshape(-1, BLOCK * array.shape[1]), array[whole:]

    def each(over: np.ufunc) -> Array:
        rows = [over.reduce(blocks, 0).reshape(BLOCK, -1)] if whole else []
        return over.reduce(np.concatenate([*rows, rest]), 0)

    return each(np.minimum), each(np.maximum)


def _usual(values: Array, low: float, high: float) -> tuple[float, float] | None:
    """The usual range of a column; of one that is nearly always the same it is that of the other values."""
    if low < high:
        return low, high
    others = values[values != low]
    if len(others) < FEWEST:
        return None
    least, most = (float(end) for end in _quantiles(others))
    return min(low, least), max(high, most)


def _far(values: Array, low: float, high: float) -> Array:
    """The rows that lie far outside, with nothing in between, and make up most of the variance."""
    beyond = np.maximum(low - values, values - high) / (high - low)
    rows = np.flatnonzero(beyond >= FAR)
    rows = rows[np.argsort(-beyond[rows], kind="stable")]
    nearer = np.append(beyond[rows[1:]], beyond[beyond < FAR].max(initial=1.0)).clip(1.0)
    apart = np.flatnonzero(beyond[rows] >= FAR * nearer)
    rows = np.sort(rows[: apart[-1] + 1]) if len(apart) else rows[:0]
    kept = np.delete(values, rows)
    share = 1 - kept.var() * len(kept) / (values.var() * len(values)) if len(rows) else 0.0
    return rows if share >= MOST else rows[:0]


def _no_events(reward: Array, rows: Array, data: Dataset) -> Array:
    """Of outlying rewards those that are no events of the task: usual last rewards, or repeated ones."""
    last = data.episode_start[1:] - 1
    among = _columns("reward", reward[last, None], {}) if data.episodes < len(data) else []
    ends = last if not among else np.setdiff1d(last, last[among[0].rows])
    rows = np.setdiff1d(rows, ends) if data.episodes < len(data) else rows
    _, place, count = np.unique(reward[rows], return_inverse=True, return_counts=True)
    rows = rows[count[place] < EVENTS]
    return rows if len(rows) <= MISTAKES else rows[:0]


def find_hung(data: Dataset, found: list[Finding]) -> None:
    """Sensors that else never show one value twice in a row, but once did for long, while others moved."""
    inside = np.ones(max(len(data) - 1, 0), np.bool_)
    inside[data.episode_start[1:-1] - 1] = False
    for name, array in _vectors(data).items():
        still = (array[1:] == array[:-1]) & inside[:, None]
        share = still.mean(0) if len(still) else np.ones(array.shape[1])
        moving = np.flatnonzero(share <= STILL)
        for column in moving[share[moving] > 0]:
            changes = np.flatnonzero(np.diff(still[:, column], prepend=False, append=False))
            starts, stops = changes[::2], changes[1::2]
            long = stops - starts >= HUNG - 1
            if share[column] - (stops - starts)[long].sum() / len(still) > REPEATED:
                continue
            others = moving[moving != column]
            hung = [
                int(start)
                for start, stop in zip(starts[long], stops[long], strict=True)
                if len(others) and still[start:stop, others].mean() < 1 - MOST
            ]
            if hung:
                found.append(
                    _hung(column_name(data.names, name, int(column)), array[:, column], np.array(hung))
                )


def _hung(name: str, values: Array, rows: Array) -> Finding:
    message = (
        f"{name} hardly ever shows one value twice in a row, but stood still for {HUNG} steps and more in "
        f"{many(len(rows), 'place')}, first at {values[rows[0]]:.6g} from row {rows[0]:,} on, while others "
        "moved. Where the sensor hung, cut the episodes there or remove them; where it was so, nothing need "
        "be done."
    )
    return at("stuck-sensor", "warning", rows, message)
