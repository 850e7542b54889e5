"""Models of the behaviour that a method compares its policy with: fitted in the run, or a finished clone."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Trainable, scalars
from suture.algorithms.critic_based import CriticBased
from suture.config import OWN, bounded
from suture.errors import ConfigError
from suture.keys import Key
from suture.nets.distributions import Distribution
from suture.nets.optimiser import adam
from suture.nets.policies import Policy
from suture.nets.vae import ConditionalVAE
from suture.objectives.divergences import Kernel, policy_divergence

S = TypeVar("S")
ADOPTED = 2**31 - 1
BRAC, BEAR = "Wu et al. 2019 (arXiv:1911.11361)", "Kumar et al. 2019 (arXiv:1906.00949)"


class Behaviour(eqx.Module):
    """A policy that acts like the log, how often it was fitted (`ADOPTED`: elsewhere), and its last loss."""

    model: Trainable[Policy]
    updates: Int[Array, ""]
    loss: Float[Array, ""]

    @property
    def policy(self) -> Policy:
        return self.model.net


@dataclasses.dataclass(frozen=True)
class BehaviourBased(CriticBased[S]):
    """Keeps the policy near a model of the behaviour, which the state holds as `behaviour`."""

    behaviour_hidden: tuple[int, ...] = fields.hidden(OWN, of="the behaviour model's hidden layers")
    behaviour_learning_rate: float = fields.learning_rate("the behaviour model")
    actor_learning_rate: float = fields.learning_rate("the policy")
    warm_up: int = bounded(
        1_000, at_least=0, unit="updates", source=OWN,
        help="the policy's first updates only bring it near the behaviour, whatever the values say",
    )  # fmt: skip
    divergence_samples: int = bounded(
        4, at_least=1, unit="actions", source=BRAC, help="drawn in each state to estimate a divergence"
    )
    kernel: Kernel = bounded("laplacian", source=BEAR, help="of the distance (mmd) between samples")
    sigma: float = bounded(
        10.0, above=0.0, source=BEAR,
        help="its width: exp(-|x - y|_1 / 2 sigma), or exp(-|x - y|^2 / 2 sigma) with sigma not squared",
    )  # fmt: skip

    def behaviour_optimiser(self) -> optax.GradientTransformation:
        return adam(self.behaviour_learning_rate)

    def actor_optimiser(self) -> optax.GradientTransformation:
        return adam(self.actor_learning_rate)

    def new_behaviour(self, model: Policy) -> Behaviour:
        """A model that has seen nothing yet."""
        return Behaviour(Trainable.of(model, self.behaviour_optimiser()), jnp.int32(0), jnp.zeros(()))

    def fit_behaviour(self, behaviour: Behaviour, batch: Batch, key: Key) -> Behaviour:
        """One step of imitation: of the likelihood of logged actions, or of a VAE's own loss."""

        def loss(model: Policy) -> tuple[Array, Metrics]:
            if isinstance(model, ConditionalVAE):
                value = model.loss(batch.observation, batch.action, key)
            else:
                value = -model(batch.observation, key).log_likelihood(batch.action).mean()
            return value, {"loss": value}

        model, metrics = behaviour.model.descend(loss, self.behaviour_optimiser())
        return Behaviour(model, behaviour.updates + 1, metrics["loss"])

    def fit_unless_adopted(self, behaviour: Behaviour, batch: Batch, key: Key) -> Behaviour:
        """One step of imitation, beside whatever else is learned; none where the model is a finished one."""
        if isinstance(behaviour.policy, ConditionalVAE):  # no finished run holds one
            return self.fit_behaviour(behaviour, batch, key)
        return jax.lax.cond(
            behaviour.updates < ADOPTED, lambda b: self.fit_behaviour(b, batch, key), lambda b: b, behaviour
        )

    def after_fitting(
        self,
        state: S,
        batch: Batch,
        key: Key,
        steps: int,
        learn: Callable[[S, Batch, Key], tuple[S, Metrics]],
    ) -> tuple[S, Metrics]:
        """One step of fitting the behaviour, and of nothing else, until it had `steps`; after that, `learn`.

        The metrics of `learn` are 0 until then, and training does not show them.
        """
        key_fit, key_learn = jax.random.split(key)
        shapes = jax.eval_shape(learn, state, batch, key_learn)[1]
        silent = jax.tree.map(lambda shape: jnp.zeros(shape.shape), shapes)

        def fit(state: Any) -> tuple[Any, Metrics]:
            behaviour = self.fit_behaviour(state.behaviour, batch, key_fit)
            return eqx.tree_at(lambda s: s.behaviour, state, behaviour), silent

        begun: Any = state
        due = begun.behaviour.updates < steps
        after, metrics = jax.lax.cond(due, fit, lambda state: learn(state, batch, key_learn), begun)
        return after, metrics | scalars(behaviour_loss=after.behaviour.loss)

    def divergence_of(
        self, policy: Distribution, behaviour: Distribution, key: Key, kind: Literal["kl", "mmd"]
    ) -> Float[Array, " batch"]:
        """How far a policy's answers are from the behaviour's in each state."""
        return policy_divergence(
            policy, behaviour, key, kind=kind, samples=self.divergence_samples,
            kernel=self.kernel, sigma=self.sigma,
        )  # fmt: skip

    def adopt(self, state: S, behaviour: Policy) -> S:
        """The state with a finished model of the behaviour, which counts as fitted.

        Raises ConfigError where the state's own model is of another kind or size.
        """
        own: Any = state
        model: Trainable[Policy] = own.behaviour.model
        ours, theirs = jax.tree.leaves(model.net), jax.tree.leaves(behaviour)
        if type(model.net) is not type(behaviour) or [a.shape for a in ours] != [b.shape for b in theirs]:
            raise ConfigError(
                f"{self.name} is set to learn a {_describe(model.net)}; the given behaviour is a "
                f"{_describe(behaviour)}. Set behaviour_model and behaviour_hidden to the head and hidden "
                "of the run that it comes from."
            )
        net = jax.tree.unflatten(jax.tree.structure(model.net), theirs)
        fitted = Behaviour(Trainable(net, model.optimiser), jnp.int32(ADOPTED), jnp.zeros(()))
        return eqx.tree_at(lambda s: s.behaviour, own, fitted)


def _describe(policy: Policy) -> str:
    """Such as `GaussianPolicy of [3, 256], [256, 1]`."""
    shapes = ", ".join(str(list(leaf.shape)) for leaf in jax.tree.leaves(policy) if leaf.ndim == 2)
    return f"{type(policy).__name__} of {shapes}"
