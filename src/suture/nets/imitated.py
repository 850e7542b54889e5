"""Values of choices, beside how likely the log makes each of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from suture.keys import Key
from suture.nets.critics import Critic, DiscreteCritic, critic_for
from suture.nets.distributions import Categorical, Greedy
from suture.nets.encoder import Observation
from suture.nets.mlp import MLP
from suture.nets.policies import Policy
from suture.nets.search import choice_values
from suture.spaces import Discrete, Space


def likely(
    log_probability: Float[Array, "*batch choices"], threshold: float | Array
) -> Bool[Array, "*batch choices"]:
    """Choices more likely than `threshold` times the likeliest one, which always is among them.

    At threshold 0 they are all choices.   Source: Fujimoto et al. 2019 (arXiv:1910.01708), eq. 7.
    """
    relative = log_probability - log_probability.max(-1, keepdims=True)
    return relative > jnp.log(threshold)


class ImitatedCritic(Critic):
    """Critics of choices and an imitation of the log, which share one encoder."""

    critic: DiscreteCritic
    imitation: MLP

    def __init__(
        self, observation: Space, action: Discrete, hidden: tuple[int, ...], members: int, key: Key,
        *, layer_norm: bool = False,
    ):  # fmt: skip
        key_critic, key_imitation = jax.random.split(key)
        critic = critic_for(observation, action, hidden, members, key_critic, layer_norm=layer_norm)
        assert isinstance(critic, DiscreteCritic)
        self.critic = critic
        self.imitation = MLP(critic.encoder.size, hidden, action.n, key_imitation)

    @property
    def action_size(self) -> int:
        return self.critic.action_size

    def __call__(self, observation: Observation, action: Array) -> Float[Array, " members *batch"]:
        return self.critic(observation, action)

    def first(self) -> "ImitatedCritic":
        return eqx.tree_at(lambda net: net.critic, self, self.critic.first())

    def imitate(self, observation: Observation) -> Categorical:
        """What the log does."""
        return Categorical(self.imitation(self.critic.encoder(observation)))


class GreedyAmongLikely(Policy):
    """The choice of the largest value among those that are likely in the log."""

    net: ImitatedCritic
    threshold: float | Array
    spread: float | Array | None = None

    def __call__(self, observation: Observation, key: Key | None = None) -> Greedy:
        allowed = likely(self.net.imitate(observation).log_probabilities(), self.threshold)
        values = choice_values(self.net.critic, observation, self.spread)
        return Greedy(jnp.where(allowed, values, -jnp.inf))
