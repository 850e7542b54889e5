"""A swept run, setting by setting: what each is worth at its last, its best and its average checkpoint."""

import numpy as np

from suture.envs.make import Make
from suture.evaluation import statistics
from suture.evaluation.evaluate import evaluate
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
            earned = _at(which, stacked[:, members])
            found.append(_standing(setting, which, earned, first))
            first = earned if first is None else first
    return found, returns


def settings(run: Run) -> list[tuple[dict[str, float], list[int]]]:
    """The swept settings of a run, each with its members (which differ in the seed alone)."""
    groups: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for index, member in enumerate(run.members):
        key = tuple((name, value) for name, value in member.items() if name != "seed")
        groups.setdefault(key, []).append(index)
    return [(dict(key), members) for key, members in groups.items()]


def _at(which: Which, returns: Array) -> Array:
    """(checkpoints, seeds, episodes) -> (seeds, episodes)."""
    if which == "last":
        return returns[-1]
    if which == "average":
        return returns.mean(0)
    return returns[returns.mean((1, 2)).argmax()]


def _standing(setting: dict[str, float], which: Which, earned: Array, first: Array | None) -> Standing:
    iqm = statistics.interquartile_mean
    return Standing(
        setting=setting, checkpoint=which, seeds=len(earned),
        mean=float(earned.mean()), mean_interval=statistics.interval(statistics.mean, earned),
        interquartile_mean=float(iqm(earned.mean(1))),
        interquartile_interval=statistics.interval(iqm, earned),
        improvement=None if first is None else statistics.probability_of_improvement(earned, first),
    )  # fmt: skip
