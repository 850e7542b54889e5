"""What was observed after each action: recorded, found in the next row, or missing. Never invented."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture import spaces
from suture.data.episodes import Episodes
from suture.data.findings import Finding, at, option, share
from suture.data.fingerprints import hash_rows
from suture.spaces import Array, Tree

ROUNDING = 1e-5
AGREEMENT = 0.99
SEVERAL = 3
NEARLY_ALL = 0.9
SAMPLE = 2000
Mask = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class Following:
    """next_observation: tree of (N, ...).   has_next: (N,).   borrowed: (E,) the file's next observation at
    an episode's end belongs to the next episode, or is a row of zeros."""

    next_observation: Tree
    has_next: Mask
    borrowed: Mask


def pick(tree: Any, rows: Array) -> Any:
    """The given rows of every array; the tree itself where they are all of them."""
    return spaces.map_arrays(lambda a: a if len(rows) == len(a) else a[rows], tree)


def pick_some(tree: Any, rows: Array) -> Any:
    """A copy of the given rows of every array."""
    return spaces.map_arrays(lambda a: a[rows], tree)


def follow(
    rows: Tree, given: Tree | None, episodes: Episodes, found: list[Finding], *, gap: Array | None = None
) -> Following:
    """The next observation of each transition.

    rows: settled observations of all the log's rows.   given: the log's next observations, settled.
    gap: the log's rows after which steps are missing; recorded next observations are believed all the same.
    """
    observation = pick(rows, episodes.rows)
    last, final = episodes.last, episodes.final
    closed = final >= 0
    has_next, borrowed = np.ones(len(episodes.rows), np.bool_), np.zeros(len(episodes), np.bool_)
    if given is None:
        ahead = np.minimum(np.arange(len(has_next)) + 1, len(has_next) - 1)
        following = pick_some(observation, ahead)
        if gap is not None:
            has_next &= ~gap[episodes.rows]
            closed &= has_next[last]
        has_next[last] = closed
    else:
        following = pick_some(given, episodes.rows)
        _check_agreement(observation, following, episodes, found)
        borrowed = _borrowed(observation, following, episodes, found) & ~closed
        has_next[last] = ~(borrowed | _unrecorded(following, last)) | closed
    own, ends = np.flatnonzero(~has_next), last[closed]

    def finish(array: Array, source: Array, whole: Array) -> Array:
        array[own], array[ends] = source[own], whole[final[closed]]
        return array

    return Following(spaces.map_arrays(finish, following, observation, rows), has_next, borrowed)


def _same(one: Tree, two: Tree) -> Mask:
    """Whether rows agree, up to rounding relative to the column's size, (N,)."""
    agree = np.ones(len(next(iter(spaces.arrays_of(one).values()))), np.bool_)
    others = spaces.arrays_of(two)
    for path, array in spaces.arrays_of(one).items():
        flat, other = (_flat(x) for x in (array, others[path]))
        differ = np.flatnonzero((flat != other).any(1))
        if len(differ) and array.dtype.kind == "f":
            size = np.abs(other[differ]).max(0, initial=0.0, where=np.isfinite(other[differ]))
            with np.errstate(invalid="ignore"):
                close = np.abs(flat[differ] - other[differ]) <= ROUNDING * size
            differ = differ[~close.all(1)]
        agree[differ] = False
    return agree


def _shifted(tree: Tree, start: int, stop: int | None) -> Tree:
    return spaces.map_arrays(lambda a: a[start:stop], tree)


def _check_agreement(observation: Tree, following: Tree, episodes: Episodes, found: list[Finding]) -> None:
    """Within episodes the next observation must be the observation of the next row (D8)."""
    inside = np.ones(len(episodes.rows), np.bool_)
    inside[episodes.last] = False
    total = int(inside.sum())
    if not total:
        return
    wrong = inside.copy()
    wrong[:-1] &= ~_same(_shifted(following, 0, -1), _shifted(observation, 1, None))
    count = int(wrong.sum())
    if not count:
        return
    first = episodes.place(int(np.flatnonzero(wrong)[0]))
    message = f"The next observation is not the observation of the next row in {share(count, total)} steps"
    if count <= (1 - AGREEMENT) * total:
        advice = (
            "Check whether episode ends are unmarked there (episode_length=STEPS divides at a time limit)."
        )
        found.append(
            at("next-observation-disagrees", "warning", wrong, f"{message}, first at {first}. {advice}")
        )
        return
    cause = _diagnose(observation, following, inside)
    found.append(at("shifted-next-observations", "error", wrong, f"{message}, first at {first}. {cause}"))


def _diagnose(observation: Tree, following: Tree, inside: Mask) -> str:
    """Which shift explains the next observations, and what to do."""
    late = float(_same(following, observation)[inside].mean())
    twice = inside[:-2] & inside[1:-1]
    early = (
        float(_same(_shifted(following, 0, -2), _shifted(observation, 2, None))[twice].mean())
        if twice.any()
        else 0.0
    )
    if late >= max(early, 0.5):
        return f"It repeats the row's own observation in {late:.1%}: shifted by one. Leave the column out."
    if early >= 0.5:
        return f"It is the observation two rows on in {early:.1%}: shifted by one. Leave the column out."
    return (
        "No shift by one explains it: the rows may be shuffled, or from different recordings. For shuffled "
        f"transitions pass {option('episode_length', 1)}; otherwise mend the order of the rows."
    )


def _unrecorded(following: Tree, last: Array) -> Mask:
    """Whether the next observation at an episode's end is marked as absent by NaN, (E,)."""
    absent = np.zeros(len(last), np.bool_)
    for array in spaces.arrays_of(following).values():
        if array.dtype.kind == "f":
            absent |= np.isnan(_flat(array[last])).any(1)
    return absent


def _borrowed(observation: Tree, following: Tree, episodes: Episodes, found: list[Finding]) -> Mask:
    """Ends whose next observation is the next episode's first one after a reset, or zeros, (E,).

    Believed are: states that ordinary steps reach too (a grid's start), unless nearly all ends show them;
    and first observations an ordinary step away (one recording in pieces, without resets).
    """
    last = episodes.last
    own, after = pick_some(observation, last), pick_some(following, last)
    starts = pick_some(observation, episodes.start[:-1])
    moved = ~_identical(after, own)
    reset = np.zeros(len(last), np.bool_)
    reset[:-1] = _identical(_shifted(after, 0, -1), _shifted(starts, 1, None))
    zeros = _identical(after, spaces.map_arrays(np.zeros_like, after)) & moved & ~reset
    inside = np.ones(len(episodes.rows), np.bool_)
    inside[last] = False
    if (reset & moved).any() and not _jumps(
        observation, following, np.flatnonzero(inside), last[reset & moved]
    ):
        reset[:] = False
    suspects = (reset & moved) | zeros
    if suspects.any() and not (suspects.sum() >= SEVERAL and suspects.mean() >= NEARLY_ALL):
        hashes = hash_rows(following)
        suspects &= ~np.isin(hashes[last], hashes[inside]) & inside.any()
    if suspects.any():
        count, blank = int(suspects.sum()), int((suspects & zeros).sum())
        message = (
            f"At {share(count, len(last))} episode ends the next observation is not what followed: "
            f"{count - blank:,} hold the next episode's first observation, {blank:,} only zeros. These rows "
            "count as missing their next observation and are not bootstrapped from. Record the observation "
            "before the reset, where you can."
        )
        found.append(at("next-observation-of-next-episode", "warning", last[suspects], message))
    return suspects


def _jumps(observation: Tree, following: Tree, inside: Array, ends: Array) -> bool:
    """Whether steps at the given ends are mostly longer than nearly all steps inside episodes."""
    inside = inside[:: max(1, len(inside) // SAMPLE)]
    lengths = [np.zeros(len(rows)) for rows in (inside, ends)]
    later = spaces.arrays_of(following)
    for path, array in spaces.arrays_of(observation).items():
        steps = [
            np.abs(_flat(later[path][rows]).astype(np.float64) - _flat(array[rows]))
            for rows in (inside, ends)
        ]
        size = steps[0].mean(0) if len(inside) else np.ones(steps[1].shape[1])
        known = np.isfinite(size)  # what is not is refused elsewhere
        for total, step in zip(lengths, steps, strict=True):
            total += (step[:, known] / np.where(size > 0, size, 1)[known]).sum(1)
    return not len(inside) or bool(np.median(lengths[1]) > np.percentile(lengths[0], 95))


def _flat(array: Array) -> Array:
    """(n, ...) as (n, elements), for any n."""
    return array.reshape(len(array), int(np.prod(array.shape[1:], dtype=np.int64)))


def _identical(one: Tree, two: Tree) -> Mask:
    others = spaces.arrays_of(two)
    pairs = [(_flat(a), _flat(others[path])) for path, a in spaces.arrays_of(one).items()]
    return np.logical_and.reduce([(a == b).all(1) for a, b in pairs])
