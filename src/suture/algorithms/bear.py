"""Bootstrapping-error accumulation reduction: Q-learning over actions near the log's.

Near is the maximum mean discrepancy (MMD) between a few samples of the policy and of a behaviour model,
before their tanh. A multiplier keeps it below a threshold; a wide kernel lets the policy spread past the log.
Source: Kumar et al. 2019 (arXiv:1906.00949) and the authors' code (where the behaviour model learns along).
"""

import dataclasses
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow, scalars
from suture.algorithms.behaviour import Behaviour, BehaviourBased
from suture.algorithms.multiplier import Multiplier, multiplier, rise
from suture.config import OWN, bounded
from suture.data.dataset import Dataset
from suture.errors import RefusedInput
from suture.keys import Key
from suture.nets.critics import Critic, critic_for
from suture.nets.encoder import Observation
from suture.nets.optimiser import adam
from suture.nets.policies import Policy, policy_for
from suture.nets.search import SearchPolicy
from suture.nets.vae import ConditionalVAE
from suture.objectives.divergences import feature_mmd_squared, mmd_squared, random_frequencies, root
from suture.objectives.maximise import PolicySamples
from suture.objectives.returns import mixed_maximum, one_step_target
from suture.spaces import Box, Discrete

PAPER = "Kumar et al. 2019 (arXiv:1906.00949)"
LIMITS = (-5.0, 10.0)


class BEARState(eqx.Module):
    """The behaviour, the critics, the policy, slow copies of both, the multiplier, and the updates so far."""

    behaviour: Behaviour
    critic: Trainable[Critic]
    target_critic: Critic
    actor: Trainable[Policy]
    target_actor: Policy
    multiplier: Trainable[Multiplier]
    updates: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class BEAR(BehaviourBased[BEARState]):
    """BEAR: ascend the critics while samples of the policy resemble samples of the behaviour."""

    name: ClassVar[str] = "bear"
    actions: ClassVar[frozenset[str]] = frozenset({"continuous"})
    preparation: ClassVar[dict[str, bool]] = {"warm_up": False}

    threshold: float = bounded(0.05, at_least=0.0, source=PAPER, help="largest mean MMD to the behaviour")
    mmd: Literal["kernel", "rff"] = bounded(
        "kernel", source="Rahimi & Recht 2007", help="distance by the kernel, or by random Fourier features"
    )
    features: int = bounded(256, at_least=1, unit="frequencies", source=OWN, help="rff: drawn at each update")
    pessimism: float = fields.pessimism(source=PAPER)
    target_samples: int = fields.target_samples(source=PAPER)
    act_samples: int = fields.act_samples(source=PAPER)
    behaviour_model: Literal["vae", "gaussian", "tanh_gaussian", "mixture"] = bounded(
        "vae", source=PAPER, help="what imitates the log: a conditional VAE, or a policy with this head"
    )
    behaviour_hidden: tuple[int, ...] = bounded(
        (750, 750), at_least=1, unit="units", source=PAPER, help="widths of the behaviour model"
    )
    latent: int | None = fields.latent(source=PAPER)
    noise_weight: float = fields.noise_weight(source=PAPER)
    warm_up: int = bounded(
        4_000, at_least=0, unit="updates", source=PAPER,
        help="first the policy only nears the behaviour, whatever the values (40,000 in the authors' code)",
    )  # fmt: skip
    multiplier_learning_rate: float = fields.learning_rate("the multiplier", 1e-3, source=PAPER)
    actor_learning_rate: float = fields.learning_rate("the policy", 1e-4, source=PAPER)

    def require(self, dataset: Dataset) -> None:
        if isinstance(dataset.action_space, Discrete):
            raise RefusedInput(
                f"{self.name} measures distances between actions; {dataset.source} has "
                f"{dataset.action_space}. Use bcq, which keeps choices in the log's support, or brac."
            )
        super().require(dataset)

    def init(self, spec: Spec, key: Key) -> BEARState:
        keys, seen, space = jax.random.split(key, 3), spec.observation, self.decision_space(spec)
        assert isinstance(space, Box)
        hidden = self.behaviour_hidden
        if self.behaviour_model == "vae":
            model = ConditionalVAE(seen, space, hidden, keys[0], latent=self.latent, weight=self.noise_weight)
        else:
            model = policy_for(seen, space, self.behaviour_model, hidden, keys[0])
        critic = critic_for(seen, space, self.hidden, self.critics, keys[1], layer_norm=self.layer_norm)
        policy = policy_for(seen, space, "tanh_gaussian", self.hidden, keys[2])
        return BEARState(
            self.new_behaviour(model), Trainable.of(critic, self.critic_optimiser()), critic,
            Trainable.of(policy, self.actor_optimiser()), policy,
            multiplier(1.0, adam(self.multiplier_learning_rate)), jnp.int32(0),
        )  # fmt: skip

    def update(self, state: BEARState, batch: Batch, key: Key) -> tuple[BEARState, Metrics]:
        assert batch.reward is not None
        assert batch.discount is not None
        assert batch.next_observation is not None
        key_fit, key_next, key_actor = jax.random.split(key, 3)
        behaviour = self.fit_unless_adopted(state.behaviour, batch, key_fit)
        following = state.target_actor(batch.next_observation)
        action = jax.vmap(following.sample)(jax.random.split(key_next, self.target_samples))
        q = state.target_critic(batch.next_observation, action)
        next_value = mixed_maximum(q, self.pessimism) if self.spread is None else self.pessimistic(q).max(0)
        target = one_step_target(batch.reward, self.discount * batch.discount, next_value)
        critic, metrics = self.fit_critic(state.critic, batch, target)
        price, seen = state.multiplier.net(), batch.observation
        key_ours, key_theirs, key_features = jax.random.split(key_actor, 3)
        theirs = self._samples(behaviour.policy, seen, key_theirs)

        def loss(policy: Policy) -> tuple[Array, Metrics]:
            ours = self._samples(policy, seen, key_ours)
            distance = self._distance(ours, theirs, key_features).mean()
            q = self.pessimistic(critic.net(seen, jnp.tanh(ours[0]))).mean()
            value = price * (distance - self.threshold) - jnp.where(state.updates < self.warm_up, 0.0, q)
            return value, scalars(actor_loss=value, actor_value=q, policy_mmd=distance)

        actor, more = state.actor.descend(loss, self.actor_optimiser())
        excess = more["policy/mmd"] - self.threshold
        after = BEARState(
            behaviour, critic, follow(state.target_critic, critic.net, self.target_rate),
            actor, follow(state.target_actor, actor.net, self.target_rate),
            rise(state.multiplier, excess, adam(self.multiplier_learning_rate), LIMITS), state.updates + 1,
        )  # fmt: skip
        return after, metrics | more | scalars(policy_multiplier=price, behaviour_loss=behaviour.loss)

    def _samples(self, policy: Policy, seen: Observation, key: Key) -> Float[Array, "n batch dimensions"]:
        """Actions before their tanh."""
        return jax.vmap(policy(seen).sample_raw)(jax.random.split(key, self.divergence_samples))

    def _distance(self, ours: Array, theirs: Array, key: Key) -> Float[Array, " batch"]:
        """The MMD of the samples in each state."""
        if self.mmd == "kernel":
            return root(mmd_squared(ours, theirs, self.kernel, self.sigma))
        frequencies = random_frequencies(key, self.features, ours.shape[-1], self.kernel, self.sigma)
        return root(feature_mmd_squared(ours, theirs, frequencies))

    def policy(self, state: BEARState) -> Policy:
        return SearchPolicy(state.critic.net.first(), PolicySamples(state.actor.net, self.act_samples))
