"""QT-Opt: Q-learning whose search for the best action is the cross-entropy method.

Nothing keeps it near the log: offline it over-estimates what the log does not show, unless that is broad,
such as scripted data with many failures.
"""

import dataclasses
from typing import ClassVar, Literal

from suture.algorithms import fields
from suture.algorithms.base import Spec
from suture.algorithms.qlearning import QT_OPT, QLearning, QState
from suture.config import OWN, bounded
from suture.data.actions import require_one_choice
from suture.data.dataset import Dataset
from suture.errors import ConfigError
from suture.keys import Key
from suture.nets.critics import Critic
from suture.nets.policies import Policy
from suture.nets.qt_opt import picture_of, qt_opt_critic
from suture.nets.search import Maximiser, SearchPolicy
from suture.objectives.maximise import Choice, CrossEntropy, Interval


@dataclasses.dataclass(frozen=True)
class QTOpt(QLearning):
    """QT-Opt: Q-learning whose continuous actions the cross-entropy method finds, in training and acting."""

    name: ClassVar[str] = "qt_opt"
    actions: ClassVar[frozenset[str]] = frozenset({"continuous"})

    discount: float = fields.discount(0.9, source=QT_OPT)
    targets: Literal["one", "two_lagged"] = fields.targets("two_lagged")
    samples: int = bounded(64, at_least=1, unit="actions", source=QT_OPT, help="in one iteration")
    elites: int = bounded(6, at_least=1, unit="actions", source=QT_OPT, help="around which it goes on")
    iterations: int = bounded(2, at_least=1, unit="iterations", source=QT_OPT, help="of the search")
    act_samples: int = bounded(
        0, at_least=0, unit="actions", source=OWN,
        help="in one iteration of a search that acts, with the same share of elites; 0: as many as samples",
    )  # fmt: skip
    act_iterations: int = bounded(
        0, at_least=0, unit="iterations", source=OWN, help="of a search that acts; 0: as many as iterations"
    )
    network: Literal["late", "paper"] = bounded(
        "late", source=QT_OPT,
        help="late: the action joins the picture's features; paper: it joins them half-way through 16 "
        "convolutions, which needs one picture, has no use for hidden, and takes far longer to search",
    )  # fmt: skip
    choices: int = bounded(
        0, at_least=0, unit="dimensions", source=QT_OPT,
        help="the last dimensions of an action are one choice: one is high and the others are low",
    )  # fmt: skip
    no_choice: bool = bounded(False, source=QT_OPT, help="with choices: all of them may be low as well")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.elites > self.samples or (self.choices and self.chunk > 1):
            raise ConfigError(f"QTOpt needs elites <= samples, and no choices in chunks; found {self}.")

    def require(self, dataset: Dataset) -> None:
        super().require(dataset)
        if self.network == "paper":
            picture_of(dataset.observation_space)
        if self.choices:
            none = self.no_choice
            require_one_choice(dataset.action, dataset.action_space, self.choices, "choices", none=none)

    def network_for(self, spec: Spec, key: Key) -> Critic:
        if self.network == "late":
            return super().network_for(spec, key)
        action, norm = self.decision_space(spec), self.layer_norm
        return qt_opt_critic(spec.observation, action, self.critics, key, layer_norm=norm)

    def maximiser(self, critic: Critic) -> Maximiser:
        choice = (Choice(self.choices, none=self.no_choice),) if self.choices else ()
        blocks = (Interval(critic.action_size - self.choices), *choice)
        return CrossEntropy(blocks, self.samples, self.elites, self.iterations)

    def policy(self, state: QState) -> Policy:
        critic, samples = self.answers(state.targets[0]), self.act_samples or self.samples
        acting = dataclasses.replace(
            self, samples=samples, elites=max(1, self.elites * samples // self.samples),
            iterations=self.act_iterations or self.iterations,
        )  # fmt: skip
        return SearchPolicy(critic, acting.maximiser(critic), self.spread)
