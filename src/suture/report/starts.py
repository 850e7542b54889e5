"""Which episodes of a log begin where a policy was played: only these can be put beside what it earned."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import KDTree

from suture import spaces
from suture.evaluation.score import flat, half_width
from suture.report.trust import Logged
from suture.spaces import Array

if TYPE_CHECKING:
    from suture.data.dataset import Dataset

FEWEST = 10
"""Starts, and logged episodes, that a comparison needs."""
METHODS = "Compare methods in the same place, imitation (bc) among them."
GIVE = "To compare with episodes from like starts, give the log as well: suture report RUN DATA."


def alike(logged: Array, played: Array) -> Array:
    """Which logged starts lie among those that were played, (E,) bool.   logged: (E, d).   played: (P, d).

    Those that are no farther from a played start than played starts are from one another, at most; in
    deviations of the played starts, so that a column in which these do not differ has to be met.
    """
    both = np.concatenate([logged, played])
    spread = np.maximum(played.std(0), np.maximum(1e-3 * both.std(0), 1e-5 * np.abs(both).max(0)))
    scale = np.where(spread > 0, spread, 1.0)
    tree = KDTree(played / scale)
    reach = tree.query(played / scale, k=2)[0][:, 1].max()
    return np.asarray(tree.query(logged / scale)[0] <= reach + 0.01)


def logged_of(
    summary: Mapping[str, Any] | None,
    data: "Dataset | None",
    evaluations: Sequence[Mapping[str, Any]],
    of: str | None,
) -> Logged | None:
    """What the log's episodes earned from like starts, where those are known, else in the mean of all.

    data: the log, where it is at hand.   of: where the policy was played.
    """
    note, remedy = "wherever that began", METHODS
    played = next((one["starts"] for one in evaluations if one["of"] == of and one.get("starts")), None)
    if played is not None and data is not None and data.returns is not None and len(played) >= FEWEST:
        begun = data.episode_start[:-1]
        first = flat(spaces.map_arrays(lambda array: array[begun], data.observation))
        if first is not None and first.shape[1] == len(played[0]):
            returns = data.returns[alike(first, np.asarray(played, np.float64))]
            if len(returns) >= FEWEST:
                mean, half = float(returns.mean()), float(half_width(returns))
                what = f"the mean of the log's {len(returns):,} episodes from like starts"
                return Logged(mean=mean, low=mean - half, high=mean + half, what=what, alike=True)
            note = f"but {len(returns) or 'none'} of the log's episodes began where this was played"
    elif played is not None and data is None:
        remedy = GIVE
    if summary is None or summary["returns"]["mean"] is None:
        return None
    return Logged(mean=summary["returns"]["mean"], what="the log's mean episode", note=note, remedy=remedy)
