"""Conservative Q-learning (Kumar et al. 2020, arXiv:2006.04779), and its calibrated form.

CQL lowers the values of all actions and raises those of logged ones, so that a policy which trusts its
critics is not drawn away from the log. Where actions are choices it is double Q-learning with the same
penalty over all choices. Cal-QL (Nakamoto et al. 2023, arXiv:2303.05479) lowers the policy's values no
further than the return that the log shows, so that fine-tuning need not begin by unlearning them.
"""

import dataclasses
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax.numpy as jnp

from suture.algorithms import fields
from suture.algorithms.base import Algorithm, Batch, Metrics, Spec, Trainable, follow
from suture.algorithms.conservative import Conservative, ConservativeState
from suture.algorithms.critic_based import Asked
from suture.algorithms.multiplier import Multiplier
from suture.algorithms.qlearning import double_target
from suture.algorithms.sac import SACState
from suture.keys import Key
from suture.nets.critics import Critic, critic_for
from suture.nets.distributions import Distribution
from suture.nets.policies import Policy
from suture.nets.proposals import Proposals
from suture.nets.search import GreedyPolicy
from suture.objectives.penalties import soft_maximum
from suture.spaces import Discrete


class ChoiceState(eqx.Module):
    """The critics of choices, whose best one acts, and their slow copy."""

    critic: Trainable[Critic]
    target_critic: Critic


CQLState: TypeAlias = ConservativeState[SACState | ChoiceState]


@dataclasses.dataclass(frozen=True)
class CQL(Conservative[SACState | ChoiceState]):
    """Conservative Q-learning."""

    name: ClassVar[str] = "cql"

    def init(self, spec: Spec, key: Key) -> CQLState:
        if not isinstance(spec.action, Discrete):
            return self.initial(self.soft_init(spec, key))
        norm = self.layer_norm
        critic = critic_for(spec.observation, spec.action, self.hidden, self.critics, key, layer_norm=norm)
        return self.initial(ChoiceState(Trainable.of(critic, self.critic_optimiser()), critic))

    def update(self, state: CQLState, batch: Batch, key: Key) -> tuple[CQLState, Metrics]:
        if isinstance(state.learner, ChoiceState):
            learner, metrics = self._choose(state.learner, batch, state.factor)
        else:
            learner, metrics = self.conserve(state, batch, key)
        return self.after(learner, state, metrics), metrics

    def _choose(
        self, state: ChoiceState, batch: Batch, factor: Trainable[Multiplier] | None
    ) -> tuple[ChoiceState, Metrics]:
        """Double Q-learning, beside the penalty over all choices."""
        target = double_target(self, GreedyPolicy(state.critic.net, self.spread), state.target_critic, batch)

        def ask(net: Critic) -> Asked:
            choices = jnp.broadcast_to(jnp.arange(net.action_size)[:, None], (net.action_size, len(target)))
            both = net(batch.observation, jnp.concatenate([batch.action[None], choices]))
            pushed = soft_maximum(both[:, 1:], 0.0, self.conservative_temperature)
            return self.penalised(both[:, 0], pushed.sum(0).mean(), net.action_size, factor)

        critic, metrics = self.fit_critic(state.critic, batch, target, ask)
        return ChoiceState(critic, follow(state.target_critic, critic.net, self.target_rate)), metrics

    def policy(self, state: CQLState) -> Policy:
        if isinstance(state.learner, ChoiceState):
            return GreedyPolicy(state.learner.critic.net, self.spread)
        return self.seeing(state.learner.actor.net, state.learner.critic.net)


@dataclasses.dataclass(frozen=True)
class CalQL(Conservative[SACState]):
    """Calibrated Q-learning: CQL that lowers no value of the policy below the recorded return."""

    name: ClassVar[str] = "cal_ql"
    actions: ClassVar[frozenset[str]] = frozenset({"continuous"})
    needs: ClassVar[frozenset[str]] = Algorithm.needs | {"return_to_go"}

    discount: float = fields.discount(traced=False)

    def init(self, spec: Spec, key: Key) -> ConservativeState[SACState]:
        return self.initial(self.soft_init(spec, key))

    def update(
        self, state: ConservativeState[SACState], batch: Batch, key: Key
    ) -> tuple[ConservativeState[SACState], Metrics]:
        learner, metrics = self.conserve(state, batch, key)
        return self.after(learner, state, metrics), metrics

    def proposals(self, batch: Batch, now: Distribution, following: Distribution, key: Key) -> Proposals:
        """Uniform actions, which have no floor, and the policy's, whose floor is the recorded return."""
        assert batch.return_to_go is not None
        plain = super().proposals(batch, now, following, key)
        of_policy = jnp.arange(plain.log_density.shape[1]) >= self.samples
        floor = jnp.where(of_policy, batch.return_to_go[:, None], -jnp.inf)
        return Proposals(plain.action, plain.log_density, floor)

    def policy(self, state: ConservativeState[SACState]) -> Policy:
        return self.seeing(state.learner.actor.net, state.learner.critic.net)
