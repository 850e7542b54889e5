"""How a policy is fine-tuned online: how much it plays, how often it learns, what batches are mixed of."""

import dataclasses
from typing import Any

from suture import config
from suture.config import OWN, bounded, nearest
from suture.errors import ConfigError

QT_OPT, RLPD = "Kalashnikov et al. 2018 (arXiv:1806.10293)", "Ball et al. 2023 (arXiv:2302.02948)"
IQL, CAL_QL = "Kostrikov et al. 2021 (arXiv:2110.06169)", "Nakamoto et al. 2023 (arXiv:2303.05479)"
PLAIN = "none"


def noise_field() -> Any:
    """How a deterministic policy explores."""
    return bounded(
        0.1, at_least=0.0, traced=False, unit="half ranges of the action",
        source="Fujimoto et al. 2018 (arXiv:1802.09477)",
        help="standard deviation of noise on the actions of deterministic policies; others are sampled",
    )  # fmt: skip


def random_field() -> Any:
    """How often any policy does anything at all."""
    return bounded(
        None, at_least=0.0, at_most=1.0, unit="share of the decisions",
        source="Mnih et al. 2015",
        help="that are drawn at random; default: 0.05 where the policy takes its best choice, else none",
    )  # fmt: skip


def processes_field() -> Any:
    """Where environments run."""
    return bounded(False, source=OWN, help="a process for each environment, for slow ones")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Online:
    """What decides a fine-tuning, beside the run that it starts from and the environment."""

    steps: int = bounded(
        10_000, at_least=1, unit="environment steps", source=OWN, help="that are learned from as they come"
    )
    updates_per_step: float = bounded(
        1.0, above=0.0, traced=False, unit="updates / environment step", source=RLPD,
        help="update-to-data ratio",
    )  # fmt: skip
    share_first: float = bounded(
        0.01, at_least=0.0, at_most=1.0, traced=False, unit="of a batch", source=QT_OPT,
        help="expected share of online rows at the first update",
    )  # fmt: skip
    share_last: float = bounded(
        0.5, at_least=0.0, at_most=1.0, traced=False, unit="of a batch", source=QT_OPT,
        help="the same at the end of its rise, and from there on",
    )  # fmt: skip
    share_over: int | None = bounded(
        None, at_least=1, unit="updates", source=OWN, help="in which it rises; default: all of them"
    )
    pooled: bool = bounded(
        False, source=IQL, help="online and logged rows are drawn alike: the share is what there is of them"
    )
    window: int = bounded(
        10, at_least=1, unit="episodes", source=OWN,
        help="the first so many are played before the first update, by the policy as it was; further on "
        "means are over so many",
    )  # fmt: skip
    at_once: int = bounded(
        1, at_least=1, unit="episodes", source=OWN, help="played side by side, before their updates are done"
    )
    exploration_noise: float = noise_field()
    random_actions: float | None = random_field()
    least_return: float | None = bounded(
        None, unit="undiscounted return", source=OWN,
        help="stop where the mean of the last `window` episodes is below this",
    )  # fmt: skip
    processes: bool = processes_field()

    def __post_init__(self) -> None:
        config.check(self)

    @property
    def first(self) -> int:
        """How many episodes the starting policy plays: `window`, in whole rounds."""
        return -(-self.window // self.at_once) * self.at_once

    @property
    def updates(self) -> int:
        """How many updates there are in all."""
        return max(1, round(self.steps * self.updates_per_step))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rounds:
    """How often a loop trains, deploys and collects, and how much."""

    rounds: int = bounded(3, at_least=1, unit="rounds", source=OWN, help="of training and collecting")
    episodes: int = bounded(100, at_least=1, unit="episodes", source=OWN, help="collected in each round")
    at_once: int = bounded(10, at_least=1, unit="episodes", source=OWN, help="played side by side")
    exploration_noise: float = noise_field()
    random_actions: float | None = random_field()
    processes: bool = processes_field()

    def __post_init__(self) -> None:
        config.check(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """fields: of the algorithm.   online: fields of `Online`.   methods: for which.   source: whose it is."""

    methods: tuple[str, ...] = ()
    fields: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    online: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    source: str = ""


HALF: dict[str, Any] = {"share_first": 0.5, "share_last": 0.5}
PRESETS = {
    "iql": Preset(
        methods=("iql",), fields={"actor_schedule": "constant"}, online={"pooled": True}, source=IQL
    ),
    "cal_ql": Preset(methods=("cal_ql",), online=HALF, source=CAL_QL),
    "qt_opt": Preset(
        methods=("qt_opt",), fields={"critic_schedule": "constant"}, online={"random_actions": 0.1},
        source=QT_OPT,
    ),
    "rlpd": Preset(
        methods=("sac", "sac_n"), fields={"layer_norm": True, "critics": 10},
        online={**HALF, "updates_per_step": 20.0}, source=RLPD,
    ),
}  # fmt: skip


def preset_for(method: str, name: str | None) -> Preset:
    """A preset by its name; by default the one that is called like the method, where there is one.

    "none" is no preset. Raises ConfigError for an unknown one, or one that is for other methods.
    """
    if name == PLAIN or (name is None and method not in PRESETS):
        return Preset()
    found = PRESETS.get(name or method)
    if found is None:
        raise ConfigError(
            f"There is no preset {name!r} for fine-tuning.{nearest(str(name), [*PRESETS, PLAIN])}"
        )
    if method not in found.methods:
        raise ConfigError(f"The preset {name!r} is for {' and '.join(found.methods)}, not for {method}.")
    return found
