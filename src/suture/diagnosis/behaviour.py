"""How the logged behaviour acts: its entropy, its modes, its memory, and what actions tell of returns.

Entropies are in nats and corrected for few samples (Miller & Madow 1955: + (cells - 1) / 2n), else a
state that was visited twice would seem decided. groups: (N,) the state cell of each row.
"""

import numpy as np

from suture.diagnosis.clusters import scaled
from suture.spaces import Array

BINS, LEAST, SHUFFLES = 8, 8, 2
RIDGES = (1e-3, 1e-2, 1e-1)
APART, MINOR = 4.5, 0.15


def conditional_entropy(labels: Array, groups: Array, count: int) -> float:
    """H(label | group) in nats, bounded by log(count).   labels: (N,) 0 to count - 1.   groups: (N,)."""
    if count < 2 or not len(labels):
        return 0.0
    _, place = np.unique(groups, return_inverse=True)
    size = np.bincount(place).astype(float)
    pairs, many = np.unique(place * count + labels, return_counts=True)
    own = pairs // count
    share = many / size[own]
    entropy = np.bincount(own, -share * np.log(share), len(size))
    entropy += (np.bincount(own, minlength=len(size)) - 1) / (2 * size)
    return float((size * np.minimum(entropy, np.log(count))).sum() / size.sum())


def action_bins(action: Array, low: Array | None = None, high: Array | None = None) -> Array:
    """Each action dimension in 8 equal bins between its bounds (or what was observed), (N, d) 0 to 7."""
    first = np.asarray(action.min(0) if low is None else low)
    last = np.asarray(action.max(0) if high is None else high)
    width = np.where(last > first, last - first, 1.0)
    return np.clip(np.floor(BINS * (action - first) / width), 0, BINS - 1).astype(np.int64)


def without_trend(action: Array, points: Array, groups: Array) -> Array:
    """Each action less what moves with the state inside its cell, (N, d): a coarse cell is not one state.

    points: (N, p) states.   groups: (N,) their cells. The trend is a ridge regression in each cell, with the
    penalty that errs least on rows left out one at a time; there is none where no penalty errs less than the
    cell's mean.   Source: ours; Hastie, Tibshirani & Friedman 2009, 7.10 (leaving one out in closed form).
    """
    rest, order = np.array(action, np.float64), np.argsort(groups, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if len(rows) < LEAST:
            continue
        centre, inner = rest[rows].mean(0), points[rows] - points[rows].mean(0, dtype=np.float64)
        outer = rest[rows] - centre
        least = np.square(outer * len(rows) / (len(rows) - 1)).mean(0)
        axes, scale, _ = np.linalg.svd(inner, full_matrices=False)
        along, strength = axes.T @ outer, np.square(scale)
        for ridge in RIDGES if strength.any() else ():
            shrunk = strength / (strength + ridge * strength.sum())
            hat = np.square(axes) @ shrunk + 1 / len(rows)
            errors = (outer - axes @ (shrunk[:, None] * along)) / np.maximum(1 - hat, 1e-6)[:, None]
            error = np.square(errors).mean(0)
            better = error < least
            rest[np.ix_(rows, better)] = (centre + errors)[:, better]
            least = np.minimum(least, error)
    return rest


def behaviour_entropy(bins: Array, groups: Array, count: int) -> float:
    """H(A | S) / log|A|, in [0, 1]: 0 decided, 1 uniform. Several dimensions: the mean over them.

    bins: (N, d) 0 to count - 1.   Source: the estimated action stochasticity of arXiv:2111.13461.
    """
    if count < 2:
        return 0.0
    each = [conditional_entropy(column, groups, count) for column in bins.T]
    return float(np.mean(each) / np.log(count)) if each else 0.0


def action_radius(action: Array, rest: Array, groups: Array) -> float:
    """How far actions of one state lie apart, over how far all do (root mean squares), 0 to 1 or so.

    action: (N, d).   rest: (N, d), the same less what moves with the state (`without_trend`).   groups: (N,).
    Near 0: one action is known for each state, and any other is outside the support.
    """
    points, near = scaled(action, action), scaled(rest, action)
    if not points.shape[1]:
        return 0.0
    _, place, size = np.unique(groups, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(place, column) / size for column in near.T.astype(np.float64)], axis=1)
    apart = np.square(near - means[place]).sum(1) / np.maximum(1 - 1 / size[place], 0.5)
    return float(np.sqrt(apart.mean() / np.square(points).sum(1).mean()))


def persistence(bins: Array, groups: Array, episode: Array, count: int) -> float:
    """What the previous action tells of the next beside the state, I(A; A_before | S) / log|A|, in [0, 1].

    0 for actions drawn afresh each step, however wild. episode: (N,) so that no pair crosses an end.
    """
    inside = np.flatnonzero(episode[1:] == episode[:-1]) + 1
    if count < 2 or not len(inside):
        return 0.0
    gains = [
        _pair_information(column[inside], column[inside - 1], groups[inside], count) for column in bins.T
    ]
    return float(np.mean(gains) / np.log(count)) if gains else 0.0


def return_information(action: Array, value: Array, groups: Array, count: int, *, parts: int = 4) -> float:
    """I(A; G-bin | S) in nats: what a state's action tells of the episode's return, corrected for chance.

    action: (N,) 0 to count - 1.   value: (N,) the return of each row's episode, in up to 4 quantile bins.
    Near 0: filtering or conditioning on returns has nothing to hold on to. Source: arXiv:2206.01079.
    """
    edges = np.unique(np.quantile(value, np.linspace(0, 1, parts + 1)[1:-1]))
    return _pair_information(action, np.searchsorted(edges, value, side="left"), groups, count)


def _pair_information(one: Array, other: Array, groups: Array, count: int) -> float:
    """I(one; other | group) in nats, less what labels shuffled within each group give; at least 0."""
    _, place = np.unique(groups, return_inverse=True)
    wide = int(max(one.max(), other.max(), count - 1)) + 1
    by_group = np.argsort(place, kind="stable")
    generator, chance = np.random.default_rng(0), 0.0
    for _ in range(SHUFFLES):
        shuffled = np.empty_like(other)
        shuffled[by_group] = other[np.lexsort((generator.random(len(other)), place))]
        chance += _plain_information(one, shuffled, place, wide) / SHUFFLES
    return max(0.0, _plain_information(one, other, place, wide) - chance)


def _plain_information(one: Array, other: Array, place: Array, wide: int) -> float:
    """I(one; other | group) of plain counts.   labels below `wide`; place: (N,) groups from 0 on."""
    size = np.bincount(place)
    joint, n = np.unique((place * wide + one) * wide + other, return_counts=True)
    group = joint // wide**2
    margins = [
        np.bincount(own := np.unique(key, return_inverse=True)[1], n)[own]
        for key in (joint // wide, group * wide + joint % wide)
    ]
    return float((n * np.log(n * size[group] / (margins[0] * margins[1]))).sum()) / len(one)


def choice_modes(action: Array, groups: Array, count: int) -> float:
    """Share of visits in states where two choices or more are taken a quarter of the time each, in [0, 1]."""
    _, place, size = np.unique(groups, return_inverse=True, return_counts=True)
    pairs, n = np.unique(place * count + action, return_counts=True)
    own = pairs // count
    frequent = np.bincount(own, n >= 0.25 * size[own], len(size))
    return float(size[(frequent >= 2) & (size >= LEAST)].sum() / size.sum())


def action_modes(action: Array, groups: Array) -> float:
    """Share of visits in states whose actions fall into two separate clouds, in [0, 1].   action: (N, d).

    Along the direction of greatest variance the actions are cut in two where the parts' variances are
    least; they are two clouds if Ashman's D (distance over joint deviation) exceeds 4.5 and the smaller holds
    15 %. A Gaussian cut so has D = 2.7, a uniform 3.5. Source: Ashman et al. 1994 (AJ 108, 2348).
    """
    points = scaled(action, action)
    if not points.shape[1]:
        return 0.0
    order = np.argsort(groups, kind="stable")
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    parts = [part for part in np.split(order, cuts) if len(part) >= 2 * LEAST]
    double = sum(len(part) for part in parts if _two_clouds(points[part]))
    return double / len(action)


def _two_clouds(points: Array) -> bool:
    centred = points - points.mean(0)
    axis = np.linalg.svd(centred[:512], full_matrices=False)[2][0]
    line = np.sort(centred @ axis).astype(np.float64)
    n, total, squares = len(line), np.cumsum(line), np.cumsum(np.square(line))
    low = np.arange(1, n)
    high = n - low
    within = (squares[:-1] - total[:-1] ** 2 / low) + (
        squares[-1] - squares[:-1] - (total[-1] - total[:-1]) ** 2 / high
    )
    cut = int(within.argmin()) + 1
    if min(cut, n - cut) < MINOR * n:
        return False
    one, other = line[:cut], line[cut:]
    deviation = np.sqrt((one.var() + other.var()) / 2)
    return bool(other.mean() - one.mean() > APART * max(deviation, 1e-3))
