"""What batch-constrained Q-learning does with choices: double Q-learning among those the log likes enough.

Source: Fujimoto et al. 2019 (arXiv:1910.01708) and the authors' code.
"""

from typing import Any

import equinox as eqx
from jaxtyping import Array

from suture.algorithms.base import Batch, Metrics, Trainable, follow, scalars
from suture.algorithms.critic_based import Asked, CriticBased
from suture.algorithms.qlearning import double_target
from suture.nets.imitated import GreedyAmongLikely, ImitatedCritic
from suture.objectives.regressions import REGRESSIONS, squared_loss


class ChoiceState(eqx.Module):
    """Critics with an imitation of the log, and their slow copy."""

    critic: Trainable[ImitatedCritic]
    target_critic: ImitatedCritic


def learn_choices(
    method: CriticBased[Any],
    state: ChoiceState,
    batch: Batch,
    *,
    threshold: float | Array,
    logit_penalty: float | Array,
) -> tuple[ChoiceState, Metrics]:
    """One step of critics and imitation together.

    The online networks choose the next action among those that the imitation finds likely; the slow copy of
    the critics values it. The loss is Huber's, plus the imitation's negative log-likelihood, plus
    `logit_penalty` times its mean squared logit.
    """
    among = GreedyAmongLikely(state.critic.net, threshold, method.spread)
    target = double_target(method, among, state.target_critic, batch)

    def ask(net: ImitatedCritic) -> Asked:
        answer = net.imitate(batch.observation)
        loss = -answer.log_prob(batch.action).mean()
        added = loss + logit_penalty * squared_loss(answer.logits)
        return net(batch.observation, batch.action), added, scalars(behaviour_loss=loss)

    critic, metrics = method.fit_critic(state.critic, batch, target, ask, REGRESSIONS["huber"])
    return ChoiceState(critic, follow(state.target_critic, critic.net, method.target_rate)), metrics
