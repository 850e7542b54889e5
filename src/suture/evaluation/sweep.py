"""A swept run, setting by setting: what each is worth at its last, its best and its average checkpoint."""

import numpy as np

from suture.envs.make import Make
from suture.evaluation import statistics
from suture.evaluation.evaluate import evaluate
from suture.evaluation.score import grouped
from suture.evaluation.statistics import Standing, Which
from suture.spaces import Array
from suture.training.run import Run


def compare(
    run: Run, environment: str | Make, *, episodes: int = 100, seed: int = 0, sample: bool = False
) -> tuple[list[Standing], dict[int, Array]]:
    """Play every kept checkpoint of a swept run.

    Returns the standings, setting by setting, and the returns at each step, (members, episodes).
    """
    returns = {
        step: evaluate(run.at(step), environment, episodes=episodes, seed=seed, sample=sample).returns
        for step in run.steps
    }
    stacked, found = np.stack(list(returns.values())), list[Standing]()
    groups = settings(run)
    for which in ("last", "best", "average"):
        first: Array | None = None
        for setting, members in groups:
            chosen = _chosen(which, stacked[:, members])
            earned = stacked[chosen][:, members].mean(0)
            steps = tuple(np.array(run.steps)[chosen].tolist())
            found.append(_standing(setting, which, steps, earned, first))
            first = earned if first is None else first
    return found, returns


def settings(run: Run) -> list[tuple[dict[str, float], list[int]]]:
    """The swept settings of a run, each with its members (which differ in the seed alone)."""
    return grouped(run.members)


def _chosen(which: Which, returns: Array) -> list[int]:
    """Which checkpoints a standing is of.   returns: (checkpoints, seeds, episodes).

    The best is one for all seeds and episodes of a setting: the best of each would flatter more.
    """
    count = len(returns)
    if which == "average":
        return list(range(count))
    return [count - 1] if which == "last" else [int(returns.mean((1, 2)).argmax())]


def _standing(
    setting: dict[str, float], which: Which, steps: tuple[int, ...], earned: Array, first: Array | None
) -> Standing:
    iqm = statistics.interquartile_mean
    enough = len(earned) >= statistics.FEWEST and (first is None or len(first) >= statistics.FEWEST)
    other = first if enough else None
    nothing = None, None
    return Standing(
        setting=setting, checkpoint=which, steps=steps, seeds=len(earned), mean=float(earned.mean()),
        mean_interval=statistics.interval(statistics.mean, earned) if enough else nothing,
        interquartile_mean=float(iqm(earned.mean(1))),
        interquartile_interval=statistics.interval(iqm, earned) if enough else nothing,
        improvement=None if other is None else statistics.probability_of_improvement(earned, other),
        improvement_interval=(
            nothing if other is None else statistics.interval_of_improvement(earned, other)
        ),
        left_out=None if enough else statistics.too_few(len(earned)),
    )  # fmt: skip
