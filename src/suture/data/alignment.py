"""Rewards that belong to the step before or after (D9): which transition explains them best?

A reward is a function of its transition (observation, action, next observation). Fitted to many
transitions, the right alignment explains the rewards better than its neighbours, unless the reward
depends on one state alone; then the rows at the episodes' edges tell, where a shifted column holds the
reward of another episode.
"""

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.findings import Finding
from suture.spaces import Array, Box

ROWS = 3000
FEATURES = 64
CHOICES = 64
RIDGE = 1e-3
LEAST = 200
EDGES = 10
WEAK = 0.6
INSIDE = 4.0
SLIGHT = 0.01
AT_EDGES = 2.0
Shift = Literal[-1, 0, 1]
Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class _Transitions:
    """Vectors that describe the transitions at given rows, on the scale of a sample of them."""

    data: Dataset
    mean: Array
    spread: Array

    def __call__(self, rows: Array) -> Floats:
        """A constant, the vectors, their squares, and fixed random ridges, (rows, features)."""
        inputs = (_vectors(self.data, rows) - self.mean) / self.spread
        rng = np.random.default_rng(0)
        ridges = rng.normal(size=(inputs.shape[1], FEATURES)) / np.sqrt(inputs.shape[1])
        bent = np.tanh(2 * (inputs @ ridges + rng.normal(size=FEATURES)))
        return np.concatenate([np.ones((len(inputs), 1)), inputs, np.square(inputs), bent], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class _Fit:
    """A reward model of one alignment, and the share of variance that it leaves unexplained."""

    shift: Shift
    weights: Floats
    unexplained: float

    def error(self, features: _Transitions, reward: Floats, rows: Array) -> float:
        """Median absolute error at the given rows."""
        return float(np.median(np.abs(features(rows + self.shift) @ self.weights - reward[rows])))


def find_shifted_rewards(data: Dataset, found: list[Finding]) -> None:
    """Warn where rewards fit the transition before or after better than their own."""
    rows = _inner_rows(data)
    if data.reward is None or len(rows) < LEAST or np.ptp(data.reward[rows]) == 0:
        return
    vectors = _vectors(data, rows)
    if not vectors.shape[1]:
        return
    spread = vectors.std(0, dtype=np.float64)
    features = _Transitions(data, vectors.mean(0, dtype=np.float64), np.where(spread > 0, spread, 1))
    reward = np.asarray(data.reward, np.float64)
    own = _fit(features, reward, rows, 0)
    for shift in (-1, 1):
        other = _fit(features, reward, rows, shift)
        if other.unexplained <= WEAK and _fits_better(features, reward, own, other, _edges(data, shift)):
            which = "before" if shift < 0 else "after"
            message = (
                f"Rewards fit the transition of the step {which} better than their own: the column looks "
                "shifted by one step. Compare a few rows with the recording and shift the rewards back."
            )
            found.append(Finding(id="shifted-rewards", severity="warning", count=len(data), message=message))
            return


def _fits_better(features: _Transitions, reward: Floats, own: _Fit, other: _Fit, edges: Array) -> bool:
    """Within episodes clearly; or at their edges, where the neighbour is of another episode."""
    if own.unexplained > max(INSIDE * other.unexplained, SLIGHT):
        return True
    if len(edges) < EDGES:
        return False
    return own.error(features, reward, edges) > AT_EDGES * other.error(features, reward, edges)


def _inner_rows(data: Dataset) -> Array:
    """A spread of rows that have a row of their episode on both sides."""
    inner = np.ones(len(data), np.bool_)
    inner[data.episode_start[:-1]] = inner[data.episode_start[1:] - 1] = False
    rows = np.flatnonzero(inner)
    return rows[:: max(1, -(-len(rows) // ROWS))]


def _edges(data: Dataset, shift: Shift) -> Array:
    """The rows whose neighbour `shift` rows away belongs to another episode."""
    edges = data.episode_start[1:-1] if shift < 0 else data.episode_start[1:-1] - 1
    return edges[:: max(1, -(-len(edges) // ROWS))]


def _vectors(data: Dataset, rows: Array) -> Array:
    """Observation, next one and action of each row side by side, (rows, n); without images."""
    leaves = spaces.leaves_of(data.observation_space)
    parts: list[Array] = [np.zeros((len(rows), 0), np.float32)]
    following = spaces.arrays_of(data.next_observation)
    for path, array in spaces.arrays_of(data.observation).items():
        leaf = leaves[path]
        if isinstance(leaf, Box) and not leaf.is_image:
            now, after = (a[rows].reshape(len(rows), -1) for a in (array, following[path]))
            parts += [now, after]
    if len(parts) > 1:
        action = data.action[rows]
        parts.append(action if action.ndim == 2 else np.eye(CHOICES)[np.minimum(action, CHOICES - 1)])
    return np.concatenate(parts, axis=1)


def _fit(features: _Transitions, reward: Floats, rows: Array, shift: Shift) -> _Fit:
    """Ridge regression of rewards on the transitions `shift` rows away; scored on every second row."""
    inputs, target = features(rows + shift), reward[rows]
    learn, score = inputs[::2], inputs[1::2]
    gram = learn.T @ learn + RIDGE * len(learn) * np.eye(learn.shape[1])
    weights = np.asarray(np.linalg.solve(gram, learn.T @ target[::2]), np.float64)
    variance = float(np.var(target[1::2]))
    error = float(np.square(score @ weights - target[1::2]).mean())
    return _Fit(shift, weights, error / variance if variance > 0 else 1.0)
