"""A log as a table: each observation and action by the number of its cell.

Few distinct observations are cells of their own (exact); many are joined by k-means. The statistics of
support, behaviour and stitching all stand on these numbers.
"""

import dataclasses

import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.fingerprints import hash_array, hash_rows
from suture.diagnosis.clusters import k_means, nearest_centre, scaled
from suture.spaces import Array, Discrete

FEW, PER_CELL, MOST_CELLS, ACTION_CELLS = 1024, 20, 600, 8
ONE_HOT = 64


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """N transitions in cells.

    state, following: cell of the observation and of the next one, (N,); `following` is -1 where none was
        recorded or none exists.   action: cell of the action, (N,).
    states, actions: how many cells there are.   exact: cells are the distinct observations themselves.
    reward: (N,) float64, or None.   terminated, usable: (N,); `usable` rows have a known successor or end.
    episode_start: (E + 1,).   distance: of each observation to its cell's centre, (N,), 0 where exact.
    """

    state: Array
    following: Array
    action: Array
    states: int
    actions: int
    exact: bool
    reward: Array | None
    terminated: Array
    usable: Array
    episode_start: Array
    distance: Array

    def __len__(self) -> int:
        return len(self.state)

    @property
    def episodes(self) -> int:
        return len(self.episode_start) - 1

    @property
    def episode(self) -> Array:
        """The episode of each transition, (N,)."""
        return np.repeat(np.arange(self.episodes), np.diff(self.episode_start))

    @property
    def pair(self) -> Array:
        """One number for state and action together, (N,)."""
        return self.state * self.actions + self.action


def numbers_of(tree: spaces.Tree, space: spaces.Space) -> Array | None:
    """Observations as one matrix (N, d): choices one-hot, all else flat; None where images are seen."""
    columns: list[Array] = []
    leaves = spaces.leaves_of(space)
    for path, array in spaces.arrays_of(tree).items():
        leaf = leaves[path]
        if not isinstance(leaf, Discrete) and leaf.is_image:
            return None
        if isinstance(leaf, Discrete) and leaf.n <= ONE_HOT:
            columns.append(np.eye(leaf.n, dtype=np.float32)[np.asarray(array)])
        else:
            columns.append(np.asarray(array, np.float32).reshape(len(array), -1))
    return np.concatenate(columns, axis=1)


def cells_of(data: Dataset, seed: int = 0) -> Cells | None:
    """The cells of a dataset; None where it is seen through images, of which a table says nothing."""
    seen = numbers_of(data.observation, data.observation_space)
    after = numbers_of(data.next_observation, data.observation_space)
    if seen is None or after is None:
        return None
    state, following, count, exact, distance = _state_cells(seen, after, np.asarray(data.has_next), seed)
    action, actions = action_cells(data, seed)
    terminated = np.asarray(data.terminated)
    return Cells(
        state=state, following=np.where(np.asarray(data.has_next) & ~terminated, following, -1),
        action=action, states=count, actions=actions, exact=exact,
        reward=None if data.reward is None else np.asarray(data.reward, np.float64),
        terminated=terminated, usable=np.asarray(data.bootstrappable),
        episode_start=np.asarray(data.episode_start), distance=distance,
    )  # fmt: skip


def _state_cells(
    seen: Array, after: Array, has_next: Array, seed: int
) -> tuple[Array, Array, int, bool, Array]:
    """Cells of observations and next observations, how many, whether exact, distances."""
    probe = hash_array(np.ascontiguousarray(seen[:: max(1, len(seen) // 20_000)]) + 0.0)
    if len(np.unique(probe)) <= min(FEW, len(probe) / 2):
        marks = np.concatenate([hash_rows(seen + 0.0), hash_rows(after + 0.0)])
        distinct, cell = np.unique(marks, return_inverse=True)
        if len(distinct) <= FEW:
            here, there = cell[: len(seen)], cell[len(seen) :]
            return here, there, len(distinct), True, np.zeros(len(seen))
    points = scaled(seen, seen)
    centres = k_means(points, int(np.clip(len(seen) // PER_CELL, 1, MOST_CELLS)), seed)
    state, distance = nearest_centre(points, centres)
    following = np.append(state[1:], state[-1:])
    follows = np.zeros(len(seen), np.bool_)
    follows[:-1] = (after[:-1] == seen[1:]).all(1)
    rest = np.flatnonzero(~follows & has_next)
    following[rest] = nearest_centre(scaled(after[rest], seen), centres)[0]
    return state, following, len(centres), False, np.sqrt(distance)


def action_cells(data: Dataset, seed: int = 0) -> tuple[Array, int]:
    """The cell of each action and how many there are: choices themselves, else at most 8 clusters."""
    if isinstance(data.action_space, Discrete):
        return np.asarray(data.action, np.int64), data.action_space.n
    action = np.asarray(data.action, np.float32).reshape(len(data), -1)
    points = scaled(action, action)
    if not points.shape[1]:
        return np.zeros(len(data), np.int64), 1
    centres = k_means(points, ACTION_CELLS, seed)
    return nearest_centre(points, centres)[0], len(centres)
