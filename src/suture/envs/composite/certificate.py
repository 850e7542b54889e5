"""What proves that a log never shows the whole task, and that its pieces can be joined.

A stage is how many of the five steps are done: 0 (the block is in the way) to 5 (outside). Both scans read
every transition.
"""

import dataclasses
from collections import Counter
from typing import Any

import numpy as np

from suture.spaces import Array

STEPS = ("move the block", "open the drawer", "take the key", "unlock the door", "leave")
TASK = 3
"""The stage from which the task's own data starts: the key is in the hand."""
NEEDED = {"A": (0, 1), "B": (1, 2), "C": (2, 3), "task": (TASK, len(STEPS))}
SKILLS = {**NEEDED, "D": (len(STEPS) - 1, len(STEPS))}
"""The stage at which a skill's episodes start, and that which they are to reach. Other sets reach nothing.

Those that are needed make up the whole task; D is its last step once more, in prior data."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeverShown:
    """A scan of every episode.

    longest: most steps that one episode completes.   apart: episodes that complete steps which are not
    neighbours.   early: rewarded episodes that start before the task's own stage.
    leaks: episodes that complete a step which is not their set's, by set and step ("noise: take the key").
    redone: the same of steps that the stage has passed already, such as a key that is dropped behind the
        unlocked door and taken up again: told, but no part of what leads from the start to the reward.
    """

    episodes: int
    longest: int
    apart: int
    early: int
    leaks: dict[str, int]
    redone: dict[str, int] = dataclasses.field(default_factory=dict[str, int])

    @property
    def holds(self) -> bool:
        """No episode shows more than two neighbouring steps, no reward follows from an early start, and no
        set shows another's step."""
        return self.longest <= 2 and not (self.apart or self.early or self.leaks)

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "holds": self.holds}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stitched:
    """Paths from starts of the whole task to the reward, and that with the fewest joins.

    starts: of the whole task, in the log.   share: of them from which there is a path; 0 where none starts.
    length: transitions of the path.   joins: where it goes on in another episode.
    episodes: that its transitions come from, in its order, without repetition; empty where there is no path.
    """

    starts: int
    share: float
    length: int = 0
    joins: int = 0
    episodes: tuple[int, ...] = ()

    @property
    def holds(self) -> bool:
        """The path exists and takes transitions of at least four different episodes."""
        return len(self.episodes) >= 4

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "holds": self.holds}


def never_shown(
    episode: Array,
    before: Array,
    after: Array,
    reward: Array,
    sets: Array | None = None,
    finished: Array | None = None,
) -> NeverShown:
    """Scan a log.

    episode, before and after (stages), reward: of each transition, (N,), in order.
    sets: the set of each transition, (N,), to tell which steps are another's.
    finished: which steps each transition completes, told by themselves, (N, 5).
    """
    starts = np.flatnonzero(np.r_[True, episode[1:] != episode[:-1]])
    longest = apart = early = 0
    leaks, redone = Counter[str](), Counter[str]()
    for rows in np.split(np.arange(len(episode)), starts[1:]):
        done = {
            step
            for low, high in zip(before[rows], after[rows], strict=True)
            for step in range(int(low), int(high))
        }
        longest = max(longest, len(done))
        apart += bool(done) and max(done) - min(done) + 1 > len(done)
        early += bool((reward[rows] > 0).any() and before[rows[0]] < TASK)
        if sets is not None:
            name = str(sets[rows[0]])
            own = set(range(*SKILLS.get(name, (0, 0))))
            again = set() if finished is None else set(np.flatnonzero(finished[rows].any(0)).tolist())
            leaks.update(f"{name}: {STEPS[step]}" for step in done - own)
            redone.update(f"{name}: {STEPS[step]}" for step in again - done - own)
    return NeverShown(
        episodes=len(starts), longest=longest, apart=apart, early=early, leaks=dict(leaks),
        redone=dict(redone),
    )  # fmt: skip


def stitched(episode: Array, here: Array, there: Array, start: Array, reward: Array) -> Stitched:
    """Whether logged transitions lead from starts of the whole task to a rewarded transition.

    A path goes on within its episode, or joins another episode at a state of the same cell.
    here, there: the cell before and after each transition, (N,) whole numbers; -1: nothing follows.
    start: which transitions are the first of a start of the whole task, (N,).   reward: (N,).
    """
    if not start.any():
        return Stitched(starts=0, share=0.0)
    joins, last = _joins(episode, here, there, reward)
    found = joins[start]
    if not (found >= 0).any():
        return Stitched(starts=len(found), share=0.0)
    fewest = found[found >= 0].min()
    row = int(np.flatnonzero(start & (joins == fewest))[0])
    rows = _path(row, joins, last, episode, here, there, reward)
    return Stitched(
        starts=len(found), share=float((found >= 0).mean()), length=len(rows), joins=int(fewest),
        episodes=tuple(dict.fromkeys(episode[rows].tolist())),
    )  # fmt: skip


def _joins(episode: Array, here: Array, there: Array, reward: Array) -> tuple[Array, Array]:
    """The fewest joins on a path from before each transition to the reward, (N,), -1: there is no path; and
    the last transition that follows it without one."""
    follows = (episode[1:] == episode[:-1]) & (there[:-1] == here[1:])
    ends = np.flatnonzero(np.r_[~follows, True])
    last = ends[np.searchsorted(ends, np.arange(len(episode)))]
    joins, goal, number = np.full(len(episode), -1), reward > 0, 0
    while True:
        before = np.r_[0, np.cumsum(goal)]
        reached = (joins < 0) & (before[last + 1] > before[:-1])
        if not reached.any():
            return joins, last
        joins[reached] = number
        number, known = number + 1, joins >= 0
        # A cell can be joined from an episode if another one, the first or the last of its, goes on from it.
        first_of, last_of = np.full((2, max(here.max(), there.max()) + 1), [[episode.max() + 1], [-1]])
        np.minimum.at(first_of, here[known], episode[known])
        np.maximum.at(last_of, here[known], episode[known])
        other = (first_of[there] < episode) | (last_of[there] > episode)
        goal = (there >= 0) & other


def _path(
    row: int, joins: Array, last: Array, episode: Array, here: Array, there: Array, reward: Array
) -> list[int]:
    """The transitions from one on to the reward, joining whenever that leaves fewer joins."""
    rows = list[int]()
    for left in range(joins[row], -1, -1):
        for one in range(row, last[row] + 1):
            rows.append(one)
            if left == 0 and reward[one] > 0:
                break
            fewer = (here == there[one]) & (joins == left - 1) & (episode != episode[one])
            if left > 0 and fewer.any():
                row = int(np.flatnonzero(fewer)[0])
                break
    return rows
