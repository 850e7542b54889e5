"""Members of one program: seeds times every swept hyper-parameter that can be traced."""

import dataclasses
import itertools
from typing import Any

import numpy as np

from suture import config
from suture.algorithms.base import Algorithm
from suture.config import bounds_of, fields_of, nearest
from suture.errors import ConfigError
from suture.training.program import Members


class Sweep:
    """`Sweep(IQL(), seeds=8, expectile=[0.7, 0.9])`: 16 members, one compilation, one dataset.

    Only fields that do not shape the program can be swept (rates, levels, temperatures); the members are
    every combination of the values with every seed, seeds varying fastest.
    """

    def __init__(self, algorithm: Algorithm[Any], /, *, seeds: int = 1, seed: int = 0, **grid: list[float]):
        if seeds < 1 or seed < 0 or seed + seeds > 2**32:
            raise ConfigError(
                f"seeds must be at least 1 and seed within 0 to 2^32, found {seeds} and {seed}."
            )
        self.algorithm, self.seeds, self.seed = algorithm, seeds, seed
        self.grid = {name: [float(value) for value in values] for name, values in grid.items()}
        for name, values in self.grid.items():
            _check(algorithm, name, values)

    @property
    def members(self) -> Members:
        """Seeds and field values, member by member."""
        seeds = range(self.seed, self.seed + self.seeds)
        rows = list(itertools.product(*self.grid.values(), seeds))
        columns = list(zip(*rows, strict=True))
        fields = {name: np.array(columns[i], np.float32) for i, name in enumerate(self.grid)}
        return Members(seeds=np.array(columns[-1], np.uint32), fields=fields)

    def describe(self) -> list[dict[str, Any]]:
        """One JSON-able object a member: its seed and swept values."""
        seeds = range(self.seed, self.seed + self.seeds)
        names = [*self.grid, "seed"]
        return [dict(zip(names, row, strict=True)) for row in itertools.product(*self.grid.values(), seeds)]


def _check(algorithm: Algorithm[Any], name: str, values: list[float]) -> None:
    known = fields_of(algorithm)
    sweepable = [field for field in known if bounds_of(known[field]).traced]
    if name not in sweepable:
        shapes = "shapes the program or the data that it is given; run its values one after the other"
        what = shapes if name in known else "is not a field"
        raise ConfigError(f"{algorithm.name}: {name!r} cannot be swept, it {what}.{nearest(name, sweepable)}")
    if not values:
        raise ConfigError(f"{algorithm.name}: the sweep of {name!r} has no values.")
    if len(np.unique(np.array(values, np.float32))) < len(values):
        raise ConfigError(
            f"{algorithm.name}: the sweep of {name!r} holds a value twice: {values}. Its members would be "
            "copies, counted as if they were independent. Name each value once; for more seeds, raise seeds."
        )
    for value in values:
        config.check(dataclasses.replace(algorithm, **{name: value}))
