"""What CQL and Cal-QL share: the penalty on values that the log does not vouch for, and its weight.

Kumar et al. 2020 (arXiv:2006.04779), CQL(H), in the authors' form: `w (logsumexp_a Q(s, a) - Q(s, a_data))`
beside each critic's mean squared error without a factor one half, so that w is twice the paper's alpha.
"""

import dataclasses
import math
from typing import Any, ClassVar, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Trainable, scalars
from suture.algorithms.critic_based import Asked
from suture.algorithms.multiplier import Multiplier, multiplier, rise
from suture.algorithms.sac import SACState, SoftActorCritic
from suture.config import OWN, bounded
from suture.keys import Key
from suture.nets.critics import ContinuousCritic, Critic
from suture.nets.distributions import Distribution
from suture.nets.drawn import Drawn, draw
from suture.nets.optimiser import adam
from suture.nets.proposals import Proposals, propose
from suture.objectives.penalties import drawn_soft_maxima, soft_maxima
from suture.objectives.returns import with_entropy

PAPER = "Kumar et al. 2020 (arXiv:2006.04779)"
FACTORS = -20.0, math.log(1e6)
"""Limits of the logarithm of a learned factor."""
L = TypeVar("L")


class ConservativeState(eqx.Module, Generic[L]):
    """What learns, and the factor of the penalty (None: it is 1 for good)."""

    learner: L
    factor: Trainable[Multiplier] | None


@dataclasses.dataclass(frozen=True)
class Conservative(SoftActorCritic[ConservativeState[L]]):
    """Soft actor-critic whose critics are pushed down on sampled actions and up on logged ones."""

    preparation: ClassVar[dict[str, bool]] = {"bc_steps": False}

    hidden: tuple[int, ...] = fields.hidden(source=PAPER, default=(256, 256, 256))
    entropy_backup: bool = bounded(
        False, source=PAPER, help="the entropy of later steps counts in values; by default it does not"
    )
    actor_learning_rate: float = fields.learning_rate("the policy", default=1e-4, source=PAPER)
    conservative_weight: float = bounded(
        5.0, at_least=0.0, source=PAPER,
        help="w, of the penalty beside each critic's mean squared error: twice the paper's alpha; 5 or 10 "
        "for locomotion, 5 for mazes, 1 for manipulation, 2 to 8 for choices",
    )  # fmt: skip
    conservative_temperature: float = bounded(
        1.0, above=0.0, unit="reward", source=PAPER, help="T of the soft maximum `T logsumexp(Q / T)`"
    )
    samples: int = bounded(
        10, at_least=1, unit="actions", source=PAPER,
        help="that stand for all actions: so many uniform, of the policy, and of the policy one step on",
    )  # fmt: skip
    per_sample: bool = bounded(
        False, source=PAPER, help="divide by the number of those actions: the gap falls by T times its log"
    )
    sampled_gradient: bool = bounded(
        False, source=OWN,
        help="the penalty's gradient flows through one of those actions a row, drawn by its weight in the "
        "soft maximum, in place of all: no bias, and less than half of the arithmetic",
    )  # fmt: skip
    target_gap: float | None = bounded(
        None, traced=True, unit="reward", source=PAPER,
        help="learn a factor of w that keeps the gap, as it is reported, near this; None: no factor",
    )  # fmt: skip
    factor_learning_rate: float = fields.learning_rate("the factor of w", source=PAPER)
    max_target_backup: bool = bounded(
        False, source=PAPER, help="targets take the best of `samples` actions of the policy, for mazes"
    )
    bc_steps: int = bounded(
        0, at_least=0, unit="updates", source=PAPER, help="the policy clones the log first; authors: 40000"
    )

    def critic(self, state: Any) -> Critic:
        return super().critic(state.learner)

    def initial(self, learner: L) -> ConservativeState[L]:
        """The state around what learns, with its factor where there is a target gap."""
        rate = adam(self.factor_learning_rate)
        return ConservativeState(learner, None if self.target_gap is None else multiplier(1.0, rate))

    def after(self, learner: L, before: ConservativeState[L], metrics: Metrics) -> ConservativeState[L]:
        """The state around what has learned; its factor has grown where the gap exceeds its target."""
        if before.factor is None or self.target_gap is None:
            return ConservativeState(learner, None)
        rate, excess = adam(self.factor_learning_rate), metrics["conservative/gap"] - self.target_gap
        return ConservativeState(learner, rise(before.factor, excess, rate, FACTORS))

    def penalised(self, q: Array, pushed: Array, samples: int, factor: Trainable[Multiplier] | None) -> Asked:
        """Values of logged actions (members, batch), with the penalty of their distance from what is pushed.

        pushed: the soft maxima over `samples` actions, summed over the members; their mean over the batch.
        """
        weight = self.conservative_weight * (1.0 if factor is None else factor.net())
        gap = pushed - q.mean(-1).sum()
        if self.per_sample:
            gap -= len(q) * self.conservative_temperature * math.log(samples)
        metrics = scalars(conservative_gap=gap / len(q), conservative_weight=jnp.asarray(weight))
        return q, weight * gap, metrics

    def conserve(self, state: ConservativeState[Any], batch: Batch, key: Key) -> tuple[SACState, Metrics]:
        """One step for continuous actions."""
        batch = batch.with_known_next()

        def ask(net: Critic, now: Distribution, following: Distribution, key: Key) -> Asked:
            assert isinstance(net, ContinuousCritic)
            features = net.encoder(batch.observation)
            q = net.of_features(features, batch.action)
            key, key_drawn = jax.random.split(key)
            proposals = self.proposals(batch, now, following, key)
            asked = net, features, proposals, self.conservative_temperature
            pushed = drawn_soft_maxima(*asked, key_drawn) if self.sampled_gradient else soft_maxima(*asked)
            return self.penalised(q, pushed, proposals.log_density.shape[1], state.factor)

        return self.soft_update(state.learner, batch, key, ask)

    def proposals(self, batch: Batch, now: Distribution, following: Distribution, key: Key) -> Proposals:
        """The actions whose values are pushed down."""
        return propose(now, following, key, self.samples)

    def next_value(self, state: SACState, batch: Batch, following: Distribution, key: Key) -> Array:
        if not self.max_target_backup:
            return super().next_value(state, batch, following, key)
        assert batch.next_observation is not None
        drawn = draw(following, key, self.samples)
        q = self.pessimistic(state.target_critic(batch.next_observation, drawn.action))
        return with_entropy(q, drawn.log_prob, state.temperature.net() if self.entropy_backup else 0.0).max(0)

    def actor_loss(self, state: SACState, batch: Batch, now: Distribution, drawn: Drawn) -> Array:
        climbing = super().actor_loss(state, batch, now, drawn)
        if self.bc_steps == 0:
            return climbing
        likelihood = now.log_likelihood(batch.action) - state.temperature.net() * drawn.mean(drawn.log_prob)
        return jnp.where(state.actor.optimiser.count < self.bc_steps, -likelihood.mean(), climbing)
