"""A log that has passed the gate: transitions in time order, with every flag settled.

All arrays are NumPy (or memory maps) and share the leading dimension N, the transitions; episodes are
contiguous. `terminated` and `truncated` are never both true.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from suture import spaces
from suture.data.findings import Finding
from suture.data.frames import Frames
from suture.data.places import Names, Places
from suture.errors import DataRefused
from suture.spaces import Array, Space, Tree

READ_AT_ONCE = 1 << 26


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Transitions (N rows), their episodes (E) and what the gate found.

    observation, next_observation: trees of (N, ...); images may be `Frames`, which are read when asked for.
    action: (N, dimensions) float32, or (N,) int32.
    reward: (N,) float32, or None for a log without rewards.
    terminated: (N,) the environment ended: nothing follows, the value of what follows is 0.
    truncated: (N,) the recording was cut: something follows that was not recorded as this episode.
    has_next: (N,) the next observation was recorded. Where False, `next_observation` repeats the row's
        own observation so that arrays stay finite; it must not be bootstrapped from.
    episode_start: (E + 1,) row offsets; episode e is rows episode_start[e] to episode_start[e + 1].
    propensity: (N,) probability of the logged action under the behaviour policy, or None.
    action_probabilities: (N, n) the behaviour policy's distribution, or None.
    columns: further per-row columns (time, entity ...), for splitting.
    names: the file's names of the columns of `observation`, `action` and `reward`, where it has any.
    places: where each row stands in the file, where a person can look it up.
    schema: what the columns of a table meant, as JSON.
    """

    observation: Tree
    action: Array
    reward: Array | None
    next_observation: Tree
    terminated: Array
    truncated: Array
    has_next: Array
    episode_start: Array
    observation_space: Space
    action_space: Space
    source: str = ""
    layout: str = ""
    propensity: Array | None = None
    action_probabilities: Array | None = None
    columns: dict[str, Array] = dataclasses.field(default_factory=dict[str, Array])
    findings: tuple[Finding, ...] = ()
    names: Names = dataclasses.field(default_factory=dict[str, tuple[str, ...]])
    places: Places | None = None
    schema: dict[str, Any] | None = None

    def __repr__(self) -> str:
        """One line: where it comes from, how much it is, what it holds, and which data it is.

        The fingerprint of much data is left out until something else has asked for it: it reads all of them.
        """
        known = "fingerprint" in self.__dict__
        small = known or sum(array.nbytes for _, array in self.arrays()) <= READ_AT_ONCE
        which = f", fingerprint {self.fingerprint[:12]}" if small else ""
        return (
            f"Dataset({self.source or 'unnamed'}: {len(self):,} transitions in {self.episodes:,} episodes, "
            f"observation {self.observation_space}, action {self.action_space}{which})"
        )

    def __len__(self) -> int:
        return len(self.terminated)

    @property
    def episodes(self) -> int:
        return len(self.episode_start) - 1

    @functools.cached_property
    def lengths(self) -> Array:
        """Transitions per episode, (E,)."""
        return np.diff(self.episode_start)

    @functools.cached_property
    def episode_index(self) -> Array:
        """The episode of each transition, (N,)."""
        return np.repeat(np.arange(self.episodes), self.lengths)

    @functools.cached_property
    def returns(self) -> Array | None:
        """Undiscounted return of each episode, (E,) float64; None without rewards."""
        if self.reward is None:
            return None
        return np.add.reduceat(np.asarray(self.reward, np.float64), self.episode_start[:-1])

    @functools.cached_property
    def bootstrappable(self) -> Array:
        """Rows fit for temporal-difference learning: the next state is known or needed no more, (N,)."""
        return np.asarray(self.has_next | self.terminated)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every settled column: two datasets with one fingerprint train alike.

        Of images that are still in their files it takes the hashes.
        """
        digest = hashlib.sha256()
        for name, array in self.arrays():
            digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
            array = array.hashes if isinstance(array, Frames) else array
            for start in range(0, len(array), 1 << 16):
                digest.update(np.ascontiguousarray(array[start : start + (1 << 16)]).data)
        return digest.hexdigest()

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Every per-row column, named, and the episode offsets, in a fixed order."""
        trees: dict[str, Any] = {
            "observation": self.observation, "action": self.action, "reward": self.reward,
            "next_observation": self.next_observation, "terminated": self.terminated,
            "truncated": self.truncated, "has_next": self.has_next, "propensity": self.propensity,
            "action_probabilities": self.action_probabilities, "episode_start": self.episode_start,
        }  # fmt: skip
        for name, tree in trees.items():
            if tree is not None:
                yield from spaces.arrays_of(tree, name).items()

    def take_episodes(self, episodes: Array) -> "Dataset":
        """The dataset of the given episodes (numbers, in the given order)."""
        starts, lengths = self.episode_start[:-1][episodes], self.lengths[episodes]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, lengths)

        def take(tree: Any) -> Any:
            return None if tree is None else spaces.map_arrays(lambda array: array[rows], tree)

        return dataclasses.replace(
            self,
            observation=take(self.observation), action=take(self.action), reward=take(self.reward),
            next_observation=take(self.next_observation), terminated=take(self.terminated),
            truncated=take(self.truncated), has_next=take(self.has_next), episode_start=offsets,
            propensity=take(self.propensity), action_probabilities=take(self.action_probabilities),
            columns={name: column[rows] for name, column in self.columns.items()},
            places=None if self.places is None else self.places.take(rows),
        )  # fmt: skip

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make training on this dataset wrong."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def admit(self) -> "Dataset":
        """This dataset, or `DataRefused` where the gate found what makes training wrong."""
        if self.errors:
            listed = "\n".join(f"  [{finding.id}] {finding.message}" for finding in self.errors)
            raise DataRefused(f"{self.source} cannot be trained on as it is:\n{listed}", self.findings)
        return self
