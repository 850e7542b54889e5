"""Batch-constrained Q-learning: the best of actions that the log's own model proposes.

Continuous actions are drawn from a conditional VAE and moved within a small box by a network that climbs the
first critic. Choices are those that an imitation of the log finds likely enough, relative to its likeliest.
Sources: Fujimoto et al. 2019 (arXiv:1812.02900), and (arXiv:1910.01708) for choices, and the authors' code.
"""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.critic_based import CriticBased
from suture.algorithms.discrete_bcq import ChoiceState, learn_choices
from suture.config import bounded
from suture.keys import Key
from suture.nets.critics import Critic, critic_for
from suture.nets.imitated import GreedyAmongLikely, ImitatedCritic
from suture.nets.optimiser import adam
from suture.nets.policies import Policy
from suture.nets.search import SearchPolicy
from suture.nets.vae import ConditionalVAE, Perturbation, PerturbedPolicy
from suture.objectives.maximise import PolicySamples
from suture.objectives.returns import mixed_maximum, one_step_target
from suture.spaces import Box, Discrete

PAPER = "Fujimoto et al. 2019 (arXiv:1812.02900)"
CHOICES = "Fujimoto et al. 2019 (arXiv:1910.01708)"


class ProposalState(eqx.Module):
    """Of continuous actions: the model of the log, what moves its actions, the critics, and slow copies."""

    behaviour: Trainable[ConditionalVAE]
    critic: Trainable[Critic]
    target_critic: Critic
    perturbation: Trainable[Perturbation]
    target_perturbation: Perturbation


@dataclasses.dataclass(frozen=True)
class BCQ(CriticBased[ProposalState | ChoiceState]):
    """Batch-constrained Q-learning: values and actions only where a model of the log would act."""

    name: ClassVar[str] = "bcq"

    batch_size: int = bounded(
        100, at_least=1, unit="transitions", source=PAPER, help="transitions per update"
    )
    threshold: float = bounded(
        0.3, at_least=0.0, below=1.0, source=CHOICES,
        help="choices: allowed where at least so likely relative to the likeliest; 0 allows all (double DQN)",
    )  # fmt: skip
    logit_penalty: float = bounded(
        0.01, at_least=0.0, source=CHOICES, help="choices: weight of the imitation's mean squared logit"
    )
    perturbation: float = bounded(
        0.05, at_least=0.0, source=PAPER, help="how far a proposed action is moved, in half ranges of it"
    )
    pessimism: float = fields.pessimism(source=PAPER)
    target_samples: int = fields.target_samples(source=PAPER)
    act_samples: int = fields.act_samples(source=PAPER)
    behaviour_hidden: tuple[int, ...] = bounded(
        (750, 750), at_least=1, unit="units", source=PAPER, help="widths of the VAE's hidden layers"
    )
    latent: int | None = fields.latent(source=PAPER)
    noise_weight: float = fields.noise_weight(source=PAPER)
    hidden: tuple[int, ...] = bounded(
        (400, 300), at_least=1, unit="units", source=PAPER, help="widths of the other hidden layers"
    )
    behaviour_learning_rate: float = fields.learning_rate("the VAE", 1e-3, source=PAPER)
    critic_learning_rate: float = fields.learning_rate("the critics", 1e-3, source=PAPER)
    actor_learning_rate: float = fields.learning_rate("what moves actions", 1e-3, source=PAPER)

    def init(self, spec: Spec, key: Key) -> ProposalState | ChoiceState:
        keys, seen, space = jax.random.split(key, 3), spec.observation, self.decision_space(spec)
        if isinstance(space, Discrete):
            net = ImitatedCritic(seen, space, self.hidden, self.critics, keys[0], layer_norm=self.layer_norm)
            return ChoiceState(Trainable.of(net, self.critic_optimiser()), net)
        assert isinstance(space, Box)
        model = ConditionalVAE(
            seen, space, self.behaviour_hidden, keys[0], latent=self.latent, weight=self.noise_weight
        )
        critic = critic_for(seen, space, self.hidden, self.critics, keys[1], layer_norm=self.layer_norm)
        move = Perturbation(seen, space, self.hidden, keys[2])
        return ProposalState(
            Trainable.of(model, adam(self.behaviour_learning_rate)),
            Trainable.of(critic, self.critic_optimiser()), critic,
            Trainable.of(move, adam(self.actor_learning_rate)), move,
        )  # fmt: skip

    def update(
        self, state: ProposalState | ChoiceState, batch: Batch, key: Key
    ) -> tuple[ProposalState | ChoiceState, Metrics]:
        if isinstance(state, ChoiceState):
            return learn_choices(
                self, state, batch, threshold=self.threshold, logit_penalty=self.logit_penalty
            )
        assert batch.reward is not None
        assert batch.discount is not None
        assert batch.next_observation is not None
        key_fit, key_next, key_actor = jax.random.split(key, 3)

        def imitation(net: ConditionalVAE) -> tuple[Array, Metrics]:
            loss = net.loss(batch.observation, batch.action, key_fit)
            return loss, scalars(behaviour_loss=loss)

        behaviour, metrics = state.behaviour.descend(imitation, adam(self.behaviour_learning_rate))
        proposals = PerturbedPolicy(behaviour.net, state.target_perturbation, self.perturbation)
        following = proposals(batch.next_observation)
        action = jax.vmap(following.sample)(jax.random.split(key_next, self.target_samples))
        q = state.target_critic(batch.next_observation, action)
        next_value = mixed_maximum(q, self.pessimism) if self.spread is None else self.pessimistic(q).max(0)
        target = one_step_target(batch.reward, self.discount * batch.discount, next_value)
        critic, more = self.fit_critic(state.critic, batch, target)
        first = critic.net.first()

        def descent(net: Perturbation) -> tuple[Array, Metrics]:
            moved = PerturbedPolicy(behaviour.net, net, self.perturbation)(batch.observation)
            loss = -first(batch.observation, moved.sample(key_actor)).mean()
            return loss, scalars(actor_loss=loss)

        perturbation, most = state.perturbation.descend(descent, adam(self.actor_learning_rate))
        after = ProposalState(
            behaviour, critic, follow(state.target_critic, critic.net, self.target_rate),
            perturbation, follow(state.target_perturbation, perturbation.net, self.target_rate),
        )  # fmt: skip
        return after, metrics | more | most

    def policy(self, state: ProposalState | ChoiceState) -> Policy:
        if isinstance(state, ChoiceState):
            return GreedyAmongLikely(state.critic.net, self.threshold, self.spread)
        moved = PerturbedPolicy(state.behaviour.net, state.perturbation.net, self.perturbation)
        return SearchPolicy(state.critic.net.first(), PolicySamples(moved, self.act_samples))
