"""What proves that a log never shows the whole task, and that its pieces can be joined.

A stage is how many of the five steps are done: 0 (the block is in the way) to 5 (outside). Both scans read
every transition; stages and cells are what the generator wrote beside each row.
"""

import dataclasses
from collections import deque
from typing import Any

import numpy as np

from suture.spaces import Array

STEPS = ("move the block", "open the drawer", "take the key", "unlock the door", "leave")
TASK = 3
"""The stage from which the task's own data starts: the key is in the hand."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeverShown:
    """A scan of every episode.

    longest: most steps that one episode completes.   apart: episodes that complete steps which are not
    neighbours.   early: rewarded episodes that start before the task's own stage.
    """

    episodes: int
    longest: int
    apart: int
    early: int

    @property
    def holds(self) -> bool:
        """No episode shows more than two neighbouring steps, and no reward follows from an early start."""
        return self.longest <= 2 and self.apart == 0 and self.early == 0

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "holds": self.holds}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stitched:
    """A path from the first stage to the reward, and the episodes that its transitions come from.

    episodes: in the order of the path, without repetition; empty where there is no path.
    """

    length: int
    episodes: tuple[int, ...]

    @property
    def holds(self) -> bool:
        """The path exists and takes transitions of at least four different episodes."""
        return len(set(self.episodes)) >= 4

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "holds": self.holds}


def never_shown(episode: Array, before: Array, after: Array, reward: Array) -> NeverShown:
    """Scan a log.   episode, before and after (stages), reward: of each transition, (N,), in order."""
    starts = np.flatnonzero(np.r_[True, episode[1:] != episode[:-1]])
    longest = apart = early = 0
    for rows in np.split(np.arange(len(episode)), starts[1:]):
        done = {
            step
            for low, high in zip(before[rows], after[rows], strict=True)
            for step in range(int(low), int(high))
        }
        longest = max(longest, len(done))
        apart += bool(done) and max(done) - min(done) + 1 > len(done)
        early += bool((reward[rows] > 0).any() and before[rows[0]] < TASK)
    return NeverShown(episodes=len(starts), longest=longest, apart=apart, early=early)


def stitched(episode: Array, here: Array, there: Array, start: Array, reward: Array) -> Stitched:
    """The shortest path over logged transitions from a starting cell to a rewarded transition.

    here, there: the cell before and after each transition, (N,) whole numbers; two episodes can be joined
    where they share a cell.   start: cells of the whole task's start, (n,).   reward: (N,).
    """
    leaving: dict[int, list[int]] = {}
    for row, cell in enumerate(here.tolist()):
        leaving.setdefault(cell, []).append(row)
    came: dict[int, int] = {}
    reached, waiting = set(start.tolist()), deque(start.tolist())
    while waiting:
        for row in leaving.pop(waiting.popleft(), []):
            if reward[row] > 0:
                return _path(row, came, here, episode)
            following = int(there[row])
            if following not in reached:
                reached.add(following)
                came[following] = row
                waiting.append(following)
    return Stitched(length=0, episodes=())


def _path(row: int, came: dict[int, int], here: Array, episode: Array) -> Stitched:
    rows = [row]
    while (cell := int(here[rows[-1]])) in came:
        rows.append(came[cell])
    sources = [int(episode[one]) for one in reversed(rows)]
    return Stitched(length=len(rows), episodes=tuple(dict.fromkeys(sources)))
