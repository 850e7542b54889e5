"""How a run is made, beside the algorithm: length, scales, split, checkpoints, memory."""

import dataclasses
import re
from typing import Literal

from suture import config
from suture.config import OWN, bounded
from suture.data.normalise import ObservationRule, RewardRule
from suture.errors import ConfigError

HINDSIGHT, GOALS = "Andrychowicz et al. 2017 (arXiv:1707.01495)", "Park et al. 2025 (arXiv:2410.20092)"
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides a run, beside its algorithm, its members and its data."""

    steps: int = bounded(30_000, at_least=1, unit="updates", source=OWN, help="length of the run")
    checkpoint_every: int = bounded(
        10_000, at_least=1, unit="updates", source=OWN, help="between checkpoints"
    )
    log_every: int = bounded(1_000, at_least=1, unit="updates", source=OWN, help="between lines of metrics")
    keep: int = bounded(
        5, at_least=1, unit="checkpoints", source=OWN, help="that stay; older ones are removed"
    )
    normalise: ObservationRule = bounded(
        "standardise", source="Fujimoto & Gu 2021 (arXiv:2106.06860)",
        help="scale of observations, from the training part",
    )  # fmt: skip
    reward_rule: RewardRule = bounded(
        "none", help="scale of rewards: return-range is 1000 / (largest - smallest return)",
        source="Kostrikov et al. 2021 (arXiv:2110.06169)",
    )  # fmt: skip
    reward_scale: float = bounded(
        1.0, above=0.0, traced=False, source="Nakamoto et al. 2023 (arXiv:2303.05479)",
        help="rewards are multiplied by this",
    )  # fmt: skip
    reward_shift: float = bounded(
        0.0, traced=False, unit="scaled reward", source="Kostrikov et al. 2021 (arXiv:2110.06169)",
        help="then this is added (-1 for sparse mazes)",
    )  # fmt: skip
    count_penalty: float = bounded(
        0.0, at_least=0.0, traced=False, unit="scaled reward", source="Jin et al. 2021 (arXiv:2012.15085)",
        help="pessimism by counts: a reward is lowered by this, divided by the root of how often its "
        "observation and action occur",
    )  # fmt: skip
    count_grid: float | None = bounded(
        None, above=0.0, traced=False, unit="standard deviations, half ranges of an action", source=OWN,
        help="observations and actions count as alike where they round to the same multiples of this; "
        "default: where they are equal",
    )  # fmt: skip
    balance: float = bounded(
        0.0, at_least=0.0, below=1.0, traced=False, unit="share of what is drawn", source=OWN,
        help="transitions that pay anything but the commonest reward are drawn at least so often (for "
        "rewards that are rare)",
    )  # fmt: skip
    hindsight: int = bounded(
        0, at_least=0, unit="goals for each transition", source=HINDSIGHT,
        help="the policy is told a goal, and learns from goals that the log reaches: reward 1 where a "
        "transition arrives at its own, which ends there, and 0 elsewhere",
    )  # fmt: skip
    hindsight_arriving: float = bounded(
        0.2, at_least=0.0, at_most=1.0, traced=False, unit="share of the goals", source=GOALS,
        help="that are what the transition itself arrives at",
    )  # fmt: skip
    hindsight_later: float = bounded(
        0.5, at_least=0.0, at_most=1.0, traced=False, unit="share of the goals", source=GOALS,
        help="that are what its episode arrives at later; the others are drawn from the whole log",
    )  # fmt: skip
    hindsight_discount: float | None = bounded(
        0.99, at_least=0.0, below=1.0, traced=False, unit="per step", source=GOALS,
        help="later is a geometric number of steps with this factor; None: anything later, equally likely",
    )  # fmt: skip
    hindsight_tolerance: float = bounded(
        0.0, at_least=0.0, traced=False, unit="distance between goals", source=OWN,
        help="what lies so near its goal has arrived",
    )  # fmt: skip
    hindsight_length: int = bounded(
        1, at_least=1, unit="transitions", source=OWN,
        help="in a row that share a goal: at least the steps of a target",
    )  # fmt: skip
    frame_stack: int = bounded(
        1, at_least=1, unit="images", source="Mnih et al. 2015",
        help="of an episode that the policy sees at once: the last one, and in further channels those before",
    )  # fmt: skip
    random_crop: int = bounded(
        0, at_least=0, unit="pixels", source="Kostrikov et al. 2020 (arXiv:2004.13649)",
        help="images that are learned from are moved at random by up to so many, each way, with their border "
        "repeated (4 for images of 48 to 84 pixels); acting sees them as they are",
    )  # fmt: skip
    validation: float = bounded(
        0.0, at_least=0.0, below=1.0, traced=False, unit="share of the episodes", source=OWN,
        help="kept out of training",
    )  # fmt: skip
    split_by: str = bounded("episode", source=OWN, help="episode, entity:COLUMN or time:COLUMN")
    memory_limit: str | None = bounded(
        None, source=OWN,
        help="data beyond this (such as 2GB) is streamed from the disk; default: half of the memory",
    )  # fmt: skip
    on_divergence: Literal["stop", "continue"] = bounded(
        "stop", source="van Hasselt et al. 2018 (arXiv:1812.02648)",
        help="what to do when values leave every bound that the rewards allow",
    )  # fmt: skip
    tensorboard: bool = bounded(
        False, source=OWN, help="also write TensorBoard event files (extra: tensorboard)"
    )

    def __post_init__(self) -> None:
        config.check(self)
        if self.split_by != "episode" and not self.validation:
            raise ConfigError(
                f"split_by={self.split_by!r} divides nothing: validation is 0, so that no episode is "
                "kept out of training. Pass --validation 0.1 (in Python: validation=0.1) as well, or leave "
                "split_by out."
            )
        if self.memory_limit is not None:
            bytes_of(self.memory_limit)


def bytes_of(text: str) -> int:
    """'2GB', '512 MiB' or '1000' as bytes."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    if not match or match[2].upper() not in UNITS:
        raise ConfigError(f"memory_limit must be a size such as 2GB, 512MiB or 1000000, found {text!r}.")
    return int(float(match[1]) * UNITS[match[2].upper()])
