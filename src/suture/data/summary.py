"""A dataset in the few numbers that people look at first."""

from typing import Any

import numpy as np

from suture import spaces
from suture.data.dataset import Dataset


def summarise(dataset: Dataset) -> dict[str, Any]:
    """Counts, spaces, returns and findings as JSON-able values.

    `unfinished`: episodes whose end is neither a termination nor a truncation.
    `missing_next_observations`: transitions after which nothing was recorded.
    """
    last = dataset.episode_start[1:] - 1
    terminated, truncated = int(dataset.terminated.sum()), int(dataset.truncated.sum())
    returns = dataset.returns
    statistics = {
        name: _finite(getattr(returns, name)()) if returns is not None and len(returns) else None
        for name in ("min", "mean", "max")
    }
    return {
        "transitions": len(dataset),
        "episodes": dataset.episodes,
        "terminated": terminated,
        "truncated": truncated,
        "unfinished": len(last) - int((dataset.terminated | dataset.truncated)[last].sum()),
        "missing_next_observations": int((~dataset.has_next).sum()),
        "observation_space": spaces.to_json(dataset.observation_space),
        "action_space": spaces.to_json(dataset.action_space),
        "returns": statistics,
        "findings": [finding.to_json() for finding in dataset.findings],
    }


def _finite(value: float) -> float | None:
    """A number as JSON knows it: None where it is not finite."""
    return float(value) if np.isfinite(value) else None
