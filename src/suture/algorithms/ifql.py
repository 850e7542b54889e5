"""Implicit flow Q-learning: IQL's values, and a flow that clones the behaviour; the best of its samples acts.

Sources: Hansen-Estruch et al. 2023 (arXiv:2304.10573), IDQL, with a diffusion; as a flow: Park et al. 2025
(arXiv:2502.02538), section 5, and its code.
"""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable
from suture.algorithms.fql import PAPER, clone
from suture.algorithms.implicit import ImplicitValues, Values
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import Critic, Value
from suture.nets.flow import FlowPolicy
from suture.nets.optimiser import adam
from suture.nets.policies import Policy
from suture.nets.search import SearchPolicy
from suture.objectives.maximise import PolicySamples


class IFQLState(eqx.Module):
    """V, the critics, their slow copy, and the flow."""

    value: Trainable[Value]
    critic: Trainable[Critic]
    target_critic: Critic
    flow: Trainable[FlowPolicy]


@dataclasses.dataclass(frozen=True)
class IFQL(ImplicitValues[IFQLState]):
    """Implicit flow Q-learning: the best of what a clone with several ways to act proposes."""

    name: ClassVar[str] = "ifql"
    actions: ClassVar[frozenset[str]] = frozenset({"continuous"})

    expectile: float = fields.expectile(0.9)
    samples: int = bounded(
        32,
        at_least=1,
        unit="actions",
        source=PAPER,
        help="proposed by the clone, of which the best is played",
    )
    flow_steps: int = fields.flow_steps(PAPER)
    hidden: tuple[int, ...] = fields.hidden(PAPER, (512, 512, 512, 512))
    layer_norm: bool = bounded(True, source=PAPER, help="layer norm in V and the critics")
    flow_learning_rate: float = fields.learning_rate("the flow", source=PAPER)

    def init(self, spec: Spec, key: Key) -> IFQLState:
        key_value, key_critic, key_flow = jax.random.split(key, 3)
        values = self.init_values(spec, (key_value, key_critic), activation="gelu")
        size = self.decision_space(spec).size
        flow = FlowPolicy(spec.observation, size, self.hidden, self.flow_steps, key_flow)
        return IFQLState(*values, Trainable.of(flow, adam(self.flow_learning_rate)))

    def update(self, state: IFQLState, batch: Batch, key: Key) -> tuple[IFQLState, Metrics]:
        before = Values(state.value, state.critic, state.target_critic)
        values, _, metrics = self.fit_values(before, batch)
        flow, flow_metrics = clone(state.flow, batch, adam(self.flow_learning_rate), key)
        return IFQLState(*values, flow), metrics | flow_metrics

    def policy(self, state: IFQLState) -> Policy:
        return SearchPolicy(state.critic.net, PolicySamples(state.flow.net, self.samples), self.spread)
