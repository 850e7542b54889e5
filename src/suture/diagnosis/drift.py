"""Did the data change? Two logs column by column and all columns at once, with a null over whole episodes.

Rows of one episode are alike, so a test that counts them as independent calls every pair of logs different.
Here the labels "first log" and "second log" are exchanged between whole episodes instead.
"""

import dataclasses
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.spatial import KDTree

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.fingerprints import hash_episodes
from suture.data.places import column_name
from suture.diagnosis.statistics import Tell
from suture.errors import RefusedInput
from suture.spaces import Array, Discrete

ROWS, JOINT_ROWS, PERMUTATIONS, NEIGHBOURS, FEW_VALUES = 5_000, 1_000, 199, 5, 32
LEVEL, LARGE, MODERATE, LEAST_EPISODES = 0.05, 0.3, 0.1, 8
Measure: TypeAlias = Literal["kolmogorov-smirnov", "total variation"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shift:
    """One column. before, after: its means in the two logs.   mean_shift: in deviations of the first.

    distance: greatest difference of the distribution functions, or for choices half the summed difference
    of the shares; in [0, 1].   p_value: for the greatest standardised distance among all columns, so that 5 %
    of the unchanged pairs of logs are called changed in any column.
    """

    column: str
    before: float
    after: float
    mean_shift: float
    measure: Measure
    distance: float
    p_value: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drift:
    """Columns by distance, surest first.   shared: how many episodes of the second log are in the first too.
    joint: share of the nearest neighbours that are of the same log
    beyond what chance gives, in [0, 1], with its p-value.   verdict: in words.   changed: whether any did."""

    changed: bool
    verdict: str
    joint: float
    joint_p_value: float
    columns: tuple[Shift, ...]
    rows: tuple[int, int]
    episodes: tuple[int, int]
    shared: int

    def to_json(self) -> dict[str, Any]:
        """Every field; columns as a list."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, eq=False)
class _Columns:
    """names (d,), values (n, d), which are choices (d,), and each row's episode (n,)."""

    names: tuple[str, ...]
    values: Array
    episode: Array


def drift(before: Dataset, after: Dataset, *, seed: int = 0, tell: Tell = lambda what, share: None) -> Drift:
    """Compare two logs of the same spaces. At most 5,000 rows of each are compared, drawn at random.

    Raises RefusedInput where their observations or actions are of different kinds.
    """
    _require_alike(before, after)
    tell("reading", 0.0)
    one, other = (_columns(data, seed + k) for k, data in enumerate((before, after)))
    kept = [k for k, name in enumerate(one.names) if name in other.names]
    values = np.concatenate(
        [one.values[:, kept], other.values[:, [other.names.index(one.names[k]) for k in kept]]]
    )
    episode = np.concatenate([one.episode, other.episode + before.episodes])
    first = np.arange(before.episodes + after.episodes) < before.episodes
    labels = _permuted(first, seed)
    tell("columns", 0.2)
    distances, measures = _distances(values, episode, labels)
    p_values = _familywise(distances)
    tell("joint", 0.7)
    joint, joint_p = _joint(values, episode, labels, seed)
    mine = first[episode]
    shifts = [
        _shift(
            one.names[k], values[:, c][mine], values[:, c][~mine], measures[c], distances[0, c], p_values[c]
        )
        for c, k in enumerate(kept)
    ]
    shifts.sort(key=lambda shift: (shift.p_value > LEVEL, -shift.distance, shift.column))
    tell("done", 1.0)
    counts = before.episodes, after.episodes
    shared = int(np.isin(hash_episodes(after), hash_episodes(before)).sum())
    return Drift(
        changed=joint_p <= LEVEL or any(shift.p_value <= LEVEL for shift in shifts),
        verdict=_verdict(shifts, joint, joint_p, counts, shared), joint=joint, joint_p_value=joint_p,
        columns=tuple(shifts), rows=(len(one.values), len(other.values)), episodes=counts, shared=shared,
    )  # fmt: skip


def _require_alike(before: Dataset, after: Dataset) -> None:
    for what in ("observation", "action"):
        kinds = [
            {path: (type(leaf).__name__, getattr(leaf, "shape", ())) for path, leaf in leaves.items()}
            for leaves in (spaces.leaves_of(getattr(data, f"{what}_space")) for data in (before, after))
        ]
        if kinds[0] != kinds[1]:
            first, second = (getattr(data, f"{what}_space") for data in (before, after))
            raise RefusedInput(
                f"The logs cannot be compared: {what}s of {before.source or 'the first'} are {first}, of "
                f"{after.source or 'the second'} {second}. Compare logs of one task, with the same columns."
            )


def _columns(data: Dataset, seed: int) -> _Columns:
    """A sample of rows as named columns: observations (images by their mean colours), actions, reward."""
    count = min(ROWS, len(data))
    rows = np.sort(np.random.default_rng(seed).choice(len(data), count, replace=False))
    names, parts = list[str](), list[Array]()
    trees = {
        "observation": (data.observation, data.observation_space),
        "action": (data.action, data.action_space),
    }
    for what, (tree, space) in trees.items():
        leaves = spaces.leaves_of(space)
        for path, array in spaces.arrays_of(tree).items():
            leaf, where = leaves[path], f"{what}/{path}" if path else what
            part = np.asarray(array[rows])
            if not isinstance(leaf, Discrete) and leaf.is_image:
                part = part.mean((1, 2))
                names += [f"{where} mean of channel {channel}" for channel in range(part.shape[1])]
            else:
                part = part.reshape(count, -1)
                single = part.shape[1] == 1 and not data.names.get(where)
                names += [
                    where if single else column_name(data.names, where, k).strip("'")
                    for k in range(part.shape[1])
                ]
            parts.append(part.astype(np.float64))
    if data.reward is not None:
        names.append("reward")
        parts.append(np.asarray(data.reward[rows], np.float64)[:, None])
    return _Columns(tuple(names), np.concatenate(parts, axis=1), np.asarray(data.episode_index[rows]))


def _permuted(first: Array, seed: int) -> Array:
    """The true labels of the episodes, then 199 exchanges of them, (1 + 199, E)."""
    generator = np.random.default_rng(seed)
    return np.stack([first, *(generator.permutation(first) for _ in range(PERMUTATIONS))])


def _distances(values: Array, episode: Array, labels: Array) -> tuple[Array, list[Measure]]:
    """Distance of each column under each labelling, (1 + 199, d), and how each column is measured.

    Columns of few whole numbers are choices: half the summed absolute difference of the shares.
    """
    by_row = labels[:, episode].astype(np.float64)
    size = by_row.sum(1)
    weight = (
        by_row / np.maximum(size, 1)[:, None] - (1 - by_row) / np.maximum(len(episode) - size, 1)[:, None]
    )
    found, measures = np.zeros((len(labels), values.shape[1])), list[Measure]()
    for column, numbers in enumerate(values.T):
        distinct, place = np.unique(numbers, return_inverse=True)
        few = len(distinct) <= FEW_VALUES and bool((distinct == np.rint(distinct)).all())
        measures.append("total variation" if few else "kolmogorov-smirnov")
        order = np.argsort(place, kind="stable")
        edges = np.flatnonzero(np.append(np.diff(place[order]) > 0, True))
        running = np.cumsum(weight[:, order], axis=1)[:, edges]
        if few:
            masses = np.diff(running, axis=1, prepend=0.0)
            found[:, column] = np.abs(masses).sum(1) / 2
        else:
            found[:, column] = np.abs(running).max(1)
    return found, measures


def _familywise(distances: Array) -> Array:
    """p-value of each column for the greatest standardised distance, (d,). Source: Westfall & Young 1993."""
    null = distances[1:]
    scale = np.maximum(null.std(0), 1e-9)
    standard = (distances - null.mean(0)) / scale
    greatest = standard[1:].max(1, initial=-np.inf)
    return np.asarray((1 + (greatest[:, None] >= standard[0] - 1e-12).sum(0)) / (1 + len(null)))


def _joint(values: Array, episode: Array, labels: Array, seed: int) -> tuple[float, float]:
    """Excess of same-log neighbours over chance, and its p-value.

    Neighbours in the same episode are left out: they are near whatever the log. Source: Schilling 1986.
    """
    generator, first = np.random.default_rng(seed), labels[0][episode]
    rows = np.concatenate([
        generator.permutation(np.flatnonzero(side))[:JOINT_ROWS] for side in (first, ~first)
    ])  # fmt: skip
    deviation = values[rows].std(0)
    points = ((values[rows] - values[rows].mean(0)) / np.where(deviation > 0, deviation, 1.0))[
        :, deviation > 0
    ]
    own = episode[rows]
    if not points.shape[1] or len(rows) < 2 * NEIGHBOURS:
        return 0.0, 1.0
    near = np.asarray(KDTree(points).query(points, k=min(len(rows), 6 * NEIGHBOURS))[1])
    other = own[near] != own[:, None]
    taken = other & (np.cumsum(other, axis=1) <= NEIGHBOURS)
    by_row = labels[:, own]
    same = (by_row[:, near] == by_row[:, :, None]) & taken
    share = same.sum((1, 2)) / max(taken.sum(), 1)
    expected = float(share[1:].mean())
    excess = max(0.0, (float(share[0]) - expected) / max(1 - expected, 1e-9))
    return excess, float((1 + (share[1:] >= share[0] - 1e-12).sum()) / len(share))


def _shift(
    name: str, before: Array, after: Array, measure: Measure, distance: float, p_value: float
) -> Shift:
    gap = float(after.mean() - before.mean())
    deviation = float(before.std()) or float(after.std())
    return Shift(
        column=name, before=float(before.mean()), after=float(after.mean()), measure=measure,
        mean_shift=gap / deviation if deviation else 0.0, distance=float(distance), p_value=float(p_value),
    )  # fmt: skip


def _verdict(
    shifts: list[Shift], joint: float, joint_p: float, episodes: tuple[int, int], shared: int
) -> str:
    sure = [shift for shift in shifts if shift.p_value <= LEVEL]
    few = ""
    if sum(episodes) < LEAST_EPISODES:
        few = (
            f" With {episodes[0]} and {episodes[1]} episodes nothing can be told from chance: "
            "look at the distances themselves."
        )
    if sure:
        size = max(shift.distance for shift in sure)
        grade = "strongly" if size > LARGE else "moderately" if size > MODERATE else "slightly"
        said = (
            f"The data changed {grade}: {len(sure)} of {len(shifts)} columns, most of all {sure[0].column}."
        )
    elif joint_p <= LEVEL:
        said = "No single column changed, but their combination did."
    else:
        said = "No change beyond what whole episodes differ by chance."
    if shared:
        few += (
            f" {shared:,} of the second log's {episodes[1]:,} episodes are in the first too: never train on "
            "one and test on the other."
        )
    return f"{said} Joint shift {joint:.2f} of 1.{few}"
