"""Returns of what was recorded after each row."""

import numpy as np
from numpy.typing import NDArray

from suture.errors import ConfigError
from suture.spaces import Array


def effective_horizon(discount: float) -> float:
    """1 / (1 - discount), in steps: how far ahead values look, and by how much lasting errors are multiplied.

    Raises ConfigError where the discount is not in [0, 1).
    """
    if not 0 <= discount < 1:
        raise ConfigError(f"A finite horizon needs a discount in [0, 1); found {discount:g}.")
    return 1 / (1 - discount)


def returns_to_go(
    reward: Array, episode_start: Array, discount: float, after: Array | None = None
) -> NDArray[np.float64]:
    """Discounted sum of the rewards from each row to the end of its episode, (N,).

    reward: (N,).   episode_start: (E + 1,) row offsets.
    after: (E,) the value of what follows each episode's last row; None: what followed is left out.
    """
    total = np.asarray(reward, np.float64).copy()
    last, lengths = episode_start[1:] - 1, np.diff(episode_start)
    if after is not None:
        total[last] += discount * after
    going = np.arange(len(lengths))
    for back in range(1, int(lengths.max(initial=0))):
        going = going[lengths[going] > back]
        rows = last[going] - back
        total[rows] += discount * total[rows + 1]
    return total


def monotonous(reward: Array, truncated: Array, episode_start: Array) -> NDArray[np.bool_]:
    """Episodes that were cut while every reward was the same number, such as failures to reach a goal, (E,).

    reward, truncated: (N,).   episode_start: (E + 1,) row offsets.   One row alone shows no such thing.
    """
    start = episode_start[:-1]
    same = np.maximum.reduceat(reward, start) == np.minimum.reduceat(reward, start)
    return same & np.asarray(truncated, bool)[episode_start[1:] - 1] & (np.diff(episode_start) > 1)
