"""Whether a run is long enough for more than what its first updates prepare."""

from collections.abc import Callable
from typing import Any

from suture.algorithms.base import Algorithm
from suture.errors import ConfigError

SHARE = 0.5


def fitting_updates(algorithm: Algorithm[Any], *, adopted: bool) -> int:
    """How many of the first updates fit a model of the behaviour, and do nothing else.

    adopted: a finished model of the behaviour is given, so that none is fitted.
    """
    idle = [name for name, idle in algorithm.preparation.items() if idle]
    return 0 if adopted else sum(int(getattr(algorithm, name)) for name in idle)


def begun(metrics: dict[str, float], step: int, fitting: int) -> dict[str, float]:
    """The metrics of what has begun: up to update `fitting` there is only the behaviour's model."""
    if step > fitting:
        return metrics
    return {name: value for name, value in metrics.items() if name.startswith("behaviour/")}


def require_learning(
    algorithm: Algorithm[Any], steps: int, *, adopted: bool, say: Callable[[str], None]
) -> None:
    """Refuse a run that would end before its policy began to learn; say where preparation takes over half.

    steps: of the whole run.   adopted: a finished model of the behaviour is given, so that none is fitted.
    """
    preparing = {
        name: int(getattr(algorithm, name))
        for name, idle in algorithm.preparation.items()
        if not (idle and adopted)
    }
    fitting = fitting_updates(algorithm, adopted=adopted)
    named = " and ".join(f"{name} = {count:,}" for name, count in preparing.items() if count)
    if fitting >= steps:
        raise ConfigError(
            f"{algorithm.name}: all {steps:,} updates of this run would fit the model of the behaviour "
            f"({named}), and its policy would learn nothing. Give it more --steps (or fewer "
            "--behaviour-steps), or a finished model: --behaviour RUN, a run of bc."
        )
    if sum(preparing.values()) > SHARE * steps:
        share = min(sum(preparing.values()) / steps, 1.0)
        say(
            f"{algorithm.name}: {share:.0%} of the {steps:,} updates only prepare ({named}): until then "
            "values do not move the policy. Give it more --steps, or lower these."
        )
