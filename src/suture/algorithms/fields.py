"""Fields that many methods share, so that they mean the same and read the same everywhere."""

from typing import Any

from suture.config import OWN, bounded
from suture.nets.optimiser import Schedule

SAC, TD3 = "Haarnoja et al. 2018 (arXiv:1812.05905)", "Fujimoto et al. 2018 (arXiv:1802.09477)"
IQL, BALL = "Kostrikov et al. 2021 (arXiv:2110.06169)", "Ball et al. 2023 (arXiv:2302.02948)"


def discount(default: float = 0.99, *, traced: bool = True, source: str = SAC) -> Any:
    """The discount factor.   traced: False where columns that are made before the program hold it too."""
    return bounded(
        default, at_least=0.0, at_most=1.0, traced=traced, unit="per step", source=source, help="gamma"
    )


def target_rate(default: float = 0.005) -> Any:
    """The rate at which target networks follow."""
    said = "Polyak rate of target critics"
    return bounded(default, above=0.0, at_most=1.0, unit="per update", source=SAC, help=said)


def learning_rate(of: str, default: float = 3e-4, source: str = SAC) -> Any:
    """The step size of Adam."""
    return bounded(default, above=0.0, source=source, help=f"Adam step size of {of}")


def schedule(default: Schedule, of: str, source: str) -> Any:
    """What becomes of a step size."""
    return bounded(default, source=source, help=f"{of} step size falls to 0 over the run, or stays")


def head(source: str = IQL) -> Any:
    """The distribution of continuous actions."""
    said = "distribution of continuous actions; choices are categorical"
    return bounded("gaussian", source=source, help=said)


def hidden(source: str = SAC, default: tuple[int, ...] = (256, 256), of: str = "the hidden layers") -> Any:
    """The widths of hidden layers."""
    return bounded(default, at_least=1, unit="units", source=source, help=f"widths of {of}; none is linear")


def critics(source: str = TD3, default: int = 2) -> Any:
    """The size of the critic ensemble."""
    said = "size of the ensemble, whose minimum is used"
    return bounded(default, at_least=1, unit="critics", source=source, help=said)


def success_value() -> Any:
    """The most that anything can be worth, where nothing is worth less than 0."""
    said = "targets are kept from 0 to this, for tasks that pay it at most, once, and nothing below 0"
    return bounded(None, above=0.0, traced=True, unit="scaled reward", source=OWN, help=said)


def spread(default: float | None = None) -> Any:
    """How an ensemble's disagreement becomes pessimism."""
    return bounded(
        default, at_least=0.0, traced=True, unit="standard deviations",
        source="Ghasemipour et al. 2022 (arXiv:2205.13703)",
        help="pessimism by disagreement: the mean of the critics less this many standard deviations; "
        "None: their minimum",
    )  # fmt: skip


def expectile(default: float = 0.7) -> Any:
    """The level of a value expectile."""
    return bounded(
        default, above=0.0, below=1.0, source=IQL,
        help="level of the value expectile: 0.5 evaluates the behaviour, towards 1 its best actions; "
        "0.9 where fragments must be stitched",
    )  # fmt: skip


def flow_steps(source: str = "") -> Any:
    """How finely a flow is followed."""
    return bounded(10, at_least=1, unit="steps", source=source, help="of Euler's method along the flow")


def dropout(source: str = IQL) -> Any:
    """Dropout in the actor."""
    return bounded(
        0.0, at_least=0.0, below=1.0, traced=False, source=source,
        help="share of the actor's hidden units dropped while training; 0.1 for small human data sets",
    )  # fmt: skip


def regression(default: str) -> Any:
    """The loss of a critic's error."""
    return bounded(
        default, source="Mnih et al. 2015; Kalashnikov et al. 2018 (arXiv:1806.10293)",
        help="of a critic's error: huber is linear beyond 1; cross_entropy is for values that are "
        "probabilities (of success), to which it clips the targets",
    )  # fmt: skip


def double(default: bool) -> Any:
    """Whether choosing and valuing the next action are two networks' affairs."""
    return bounded(
        default, source="van Hasselt et al. 2016 (arXiv:1509.06461)",
        help="the critics choose the next action and their slow copy values it, which over-estimates less",
    )  # fmt: skip


def targets(default: str) -> Any:
    """Which slow copies of the critics value the next action."""
    return bounded(
        default, source="Kalashnikov et al. 2018 (arXiv:1806.10293)",
        help="what values the next action: an average of the critics, or also an old copy of it, and then "
        "the smaller counts",
    )  # fmt: skip


def pessimism(source: str = "") -> Any:
    """How several critics count in a target that takes the best of several actions."""
    return bounded(
        0.75, at_least=0.0, at_most=1.0, source=source,
        help="without spread, targets take this share of an action's least value, the rest of its largest",
    )  # fmt: skip


def target_samples(source: str = "") -> Any:
    """How many actions a target chooses from."""
    said = "at the next observation; the best one counts"
    return bounded(10, at_least=1, unit="actions", source=source, help=said)


def act_samples(source: str = "") -> Any:
    """How many actions the policy chooses from when it acts."""
    said = "of which the first critic's best is played"
    return bounded(100, at_least=1, unit="actions", source=source, help=said)


def latent(source: str = "") -> Any:
    """The size of a VAE's noise."""
    return bounded(
        None, at_least=1, unit="dimensions", source=source,
        help="of the VAE's noise; none: two for each of the action",
    )  # fmt: skip


def noise_weight(source: str = "") -> Any:
    """How much a VAE pays for its noise."""
    return bounded(
        0.5, at_least=0.0, traced=False, source=source,
        help="price of the VAE's noise (its KL): actions whose variance is below a quarter of this are "
        "reduced to their mean",
    )  # fmt: skip
