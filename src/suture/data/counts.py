"""Pessimism by counts: what a log shows rarely is worth less, because its average may be luck.

A reward is lowered by `C / sqrt(n)`, n being how often its pair of observation and action occurs in the
training part: the lower confidence bound of tabular value iteration, for every method that learns from
rewards. Source: Jin et al. 2021 (arXiv:2012.15085); Rashidinejad et al. 2021 (arXiv:2103.12021).
"""

import dataclasses
from typing import Any

import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.fingerprints import Hashes, hash_rows
from suture.data.normalise import Normaliser
from suture.errors import DataRefused
from suture.spaces import Array

CHUNK_ROWS = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
    """How often each row's observation and action occur together.   of_row: (N,), at least 1."""

    of_row: Array

    @staticmethod
    def of(data: Dataset, normaliser: Normaliser, *, grid: float | None = None) -> "Counts":
        """Count the pairs of a training part; the row itself counts too.

        grid: two rows are alike where their numbers, in the scale that networks see (standard deviations of
            an observation, half ranges of an action), round to the same multiples of it; None: where they
            are equal. Choices and images must be equal.
        """
        hashes = np.concatenate([
            _hashes(data, normaliser, grid, slice(start, start + CHUNK_ROWS))
            for start in range(0, len(data), CHUNK_ROWS)
        ])  # fmt: skip
        _, place, count = np.unique(hashes, return_inverse=True, return_counts=True)
        if (count == 1).all():
            how = "are equal" if grid is None else f"round to the same multiples of {grid:g}"
            remedy = "" if grid is None else "larger "
            raise DataRefused(
                f"count_penalty lowers the rewards of what is rare. In {data.source or 'the log'} nothing is "
                f"less rare than the rest: of {len(data):,} rows no two have observations and actions that "
                f"{how}. Say what counts as alike with a {remedy}--count-grid (such as 0.5 standard "
                "deviations), or leave --count-penalty out."
            )
        return Counts(count[place])

    def penalty(self, strength: float) -> Array:
        """`strength / sqrt(n)` of each row, (N,) float32, in the scale of the scaled rewards."""
        return (strength / np.sqrt(self.of_row)).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Distinct pairs, the share of rows whose pair occurs once, and the largest count."""
        once = self.of_row == 1
        pairs = round(float((1 / self.of_row).sum()))
        return {"pairs": pairs, "seen_once": float(once.mean()), "most": int(self.of_row.max())}


def _hashes(data: Dataset, normaliser: Normaliser, grid: float | None, rows: slice) -> Hashes:
    observation = spaces.map_arrays(lambda array: np.asarray(array[rows]), data.observation)
    action = np.asarray(data.action[rows])
    if grid is not None:
        observation, action = normaliser.normalise(observation), normaliser.to_unit(action)
    return hash_rows(
        *(spaces.map_arrays(lambda array: _cell(array, grid), tree) for tree in (observation, action))
    )


def _cell(array: Array, grid: float | None) -> Array:
    """The nearest multiple of the grid; a negative zero is a zero."""
    if array.dtype.kind != "f":
        return array
    return (array if grid is None else np.rint(array / grid)) + 0.0
