"""How noisy the transitions are: what sequence models and return conditioning cannot bear."""

import numpy as np
from scipy.spatial import KDTree

from suture.spaces import Array

ASKED, REFERENCE = 1_000, 20_000


def choice_noise(pair: Array, following: Array) -> float:
    """Probability that the same state and action lead elsewhere the next time, in [0, 1].

    The share of unlike successors over all pairs of visits, without bias.   pair, following: (N,).
    """
    _, own, count = np.unique(pair, return_inverse=True, return_counts=True)
    wide = int(following.max(initial=0)) + 2
    both, same = np.unique(own * wide + following + 1, return_counts=True)
    alike = np.bincount(both // wide, same * (same - 1), len(count))
    again = count > 1
    if not again.any():
        return 0.0
    return float(
        (count[again] * (1 - alike[again] / (count * (count - 1))[again])).sum() / count[again].sum()
    )


def neighbour_noise(state: Array, action: Array, change: Array, seed: int = 0) -> float:
    """Variance of the change of state that a nearest neighbour leaves unexplained, in [0, 1].

    state (N, d), action (N, e), change (N, d): in standard deviations. Half the squared difference to the
    nearest of 20,000 other rows over the variance: an upper bound, for neighbours are not at distance 0.
    Source: the delta test, Pi & Peterson 1994.
    """
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(state))[:REFERENCE]
    inputs = np.concatenate([state[rows], action[rows]], axis=1)
    if len(rows) < 3 or not change.shape[1]:
        return 0.0
    asked = np.arange(min(ASKED, len(rows)))
    nearest = np.asarray(KDTree(inputs).query(inputs[asked], k=2)[1])
    nearest = np.where(nearest[:, 0] == asked, nearest[:, 1], nearest[:, 0])
    left = 0.5 * np.square(change[rows][asked] - change[rows][nearest]).sum(1).mean()
    total = change[rows].var(0).sum()
    return float(np.clip(left / total, 0.0, 1.0)) if total > 0 else 0.0
