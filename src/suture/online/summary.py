"""What fine-tuning did to the return: before, the dip, the end, and the regret."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from suture.spaces import Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Undiscounted returns of exploring policies, in means over `window` episodes; None where not known.

    before: of the first episodes, which the starting policy played.   lowest: of any `window` in a row after
    them.   end: of the last.   dip: from `before` to `lowest`, at least 0.
    regret: what the starting policy would have earned more in the episodes after the first; below 0 where
    learning has paid for itself.   regret_per_episode: the same, for each of them.
    """

    window: int
    episodes: int
    steps: int
    before: float | None
    lowest: float | None
    end: float | None
    dip: float | None
    regret: float | None
    regret_per_episode: float | None

    def told(self) -> str:
        """One line for people."""
        if self.before is None or self.end is None:
            return f"{self.episodes:,} episodes were played: too few for a mean before and after."
        return (
            f"Return before {self.before:.4g}, lowest {self.lowest:.4g}, at the end {self.end:.4g} (means "
            f"over {self.window} episodes); regret against the starting policy {self.regret:.4g}, "
            f"{self.regret_per_episode:.4g} an episode, in {self.episodes:,} episodes, {self.steps:,} steps."
        )


def running_means(returns: Sequence[float], window: int) -> Array:
    """Means over each `window` in a row, (n - window + 1,)."""
    return np.convolve(np.asarray(returns, np.float64), np.full(window, 1 / window), mode="valid")


def summarise(returns: Sequence[float], lengths: Sequence[int], window: int, first: int) -> Summary:
    """returns, lengths: of each episode.   first: how many the starting policy played."""
    since = np.asarray(returns[first:], np.float64)
    before = float(np.mean(returns[:first])) if len(returns) >= first else None
    means = running_means(list(since), window) if len(since) >= window else None
    lowest = end = dip = regret = None
    if before is not None and means is not None:
        lowest, end = float(means.min()), float(means[-1])
        dip, regret = max(0.0, before - lowest), float((before - since).sum())
    return Summary(
        window=window, episodes=len(returns), steps=int(np.sum(lengths)), before=before, lowest=lowest,
        end=end, dip=dip, regret=regret,
        regret_per_episode=None if regret is None else regret / len(since),
    )  # fmt: skip
