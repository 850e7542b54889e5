"""Distributions over actions: diagonal Gaussian, its tanh image, mixtures, categorical, greedy, a point.

All are pytrees over a batch. `log_prob` sums over action dimensions; `sample` is reparameterised where the
distribution is continuous.
"""

import abc
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from suture.keys import Key

EDGE = 1 - 1e-5
CENSORED = 0.95
LOG_2PI = math.log(2 * math.pi)
FLOOR = math.log(1e-8)


class Distribution(eqx.Module):
    """A batch of distributions over actions.

    has_density: whether `log_prob` is a normalised log-density. Where it is False it may be a stand-in that
    some loss wants (a squared error), or be refused; importance weights cannot be made of it.
    """

    has_density: ClassVar[bool] = True

    @abc.abstractmethod
    def log_prob(self, action: Array) -> Float[Array, "*batch"]:
        """Log-density (log-probability of a choice), in nats."""
        raise NotImplementedError

    def log_likelihood(self, logged: Array) -> Float[Array, "*batch"]:
        """What imitation maximises, in nats: the log-density of a logged action, unless said otherwise."""
        return self.log_prob(logged)

    @abc.abstractmethod
    def sample(self, key: Key) -> Array:
        """One action for each element of the batch."""
        raise NotImplementedError

    @abc.abstractmethod
    def mode(self) -> Array:
        """The most likely action, or the centre where that has no closed form."""
        raise NotImplementedError

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Float[Array, "*batch"]]:
        """An action and its log-density."""
        action = self.sample(key)
        return action, self.log_prob(action)

    def sample_raw(self, key: Key) -> Array:
        """A continuous action before the tanh that keeps it in (-1, 1); where there is none, its arctanh.

        That of an action beyond `CENSORED` is its limit, 1.8: 6.1 would be further from it than all other
        actions are from one another, and no policy could resemble such samples.
        """
        return jnp.arctanh(jnp.clip(self.sample(key), -CENSORED, CENSORED))


class Gaussian(Distribution):
    """Independent Gaussians.   mean: (*batch, dimensions).   log_std: broadcasts against it."""

    mean: Float[Array, "*batch dimensions"]
    log_std: Float[Array, "*batch_or_none dimensions"]

    def log_prob(self, action: Array) -> Float[Array, "*batch"]:
        standard = (action - self.mean) * jnp.exp(-self.log_std)
        return (-0.5 * jnp.square(standard) - self.log_std - 0.5 * LOG_2PI).sum(-1)

    def sample(self, key: Key) -> Array:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self) -> Array:
        return self.mean

    def entropy(self) -> Float[Array, "*batch"]:
        """Differential entropy in nats."""
        return jnp.broadcast_to(self.log_std + 0.5 * (1 + LOG_2PI), self.mean.shape).sum(-1)


class TanhGaussian(Distribution):
    """tanh of a Gaussian: actions in (-1, 1). Logged actions at the edge are moved inside by 1e-5."""

    base: Gaussian

    def _log_slope(self, raw: Array) -> Float[Array, "*batch"]:
        return (2 * (math.log(2) - raw - jax.nn.softplus(-2 * raw))).sum(-1)

    def log_prob(self, action: Array) -> Float[Array, "*batch"]:
        raw = jnp.arctanh(jnp.clip(action, -EDGE, EDGE))
        return self.base.log_prob(raw) - self._log_slope(raw)

    def log_likelihood(self, logged: Array) -> Float[Array, "*batch"]:
        """The log-density; of an action beyond `CENSORED`, the log-probability that it lies there.

        As of any reading that was clipped (Tobin 1958): a controller at its limit logs 1 whatever it meant.
        The arctanh of 1, moved inside, is 6.1 and outweighs everything else: of N(0.8, 0.3) clipped to 1
        the densities' fit puts 16 % below 0, this one 4 % (0.4 % is true).
        """
        mean, log_std = self.base.mean[..., None], self.base.log_std[..., None]
        density = TanhGaussian(Gaussian(mean, log_std)).log_prob(logged[..., None])
        past = jnp.sign(logged) * self.base.mean - math.atanh(CENSORED)
        beyond = jax.scipy.special.log_ndtr(past * jnp.exp(-self.base.log_std))
        return jnp.where(jnp.abs(logged) < CENSORED, density, beyond).sum(-1)

    def sample(self, key: Key) -> Array:
        return jnp.tanh(self.base.sample(key))

    def sample_raw(self, key: Key) -> Array:
        return self.base.sample(key)

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Float[Array, "*batch"]]:
        """An action and its log-density, computed before the tanh: exact however close to the edge."""
        raw = self.base.sample(key)
        return jnp.tanh(raw), self.base.log_prob(raw) - self._log_slope(raw)

    def mode(self) -> Array:
        return jnp.tanh(self.base.mean)


class Mixture(Distribution):
    """A mixture of Gaussians.   logits: (*batch, parts).   mean, log_std: (*batch, parts, dimensions)."""

    logits: Float[Array, "*batch parts"]
    mean: Float[Array, "*batch parts dimensions"]
    log_std: Float[Array, "*batch parts dimensions"]

    def log_prob(self, action: Array) -> Float[Array, "*batch"]:
        each = Gaussian(self.mean, self.log_std).log_prob(action[..., None, :])
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + each, axis=-1)

    def _pick(self, part: Int[Array, "*batch"], values: Array) -> Array:
        return jnp.take_along_axis(values, part[..., None, None], axis=-2)[..., 0, :]

    def sample(self, key: Key) -> Array:
        """A part by its weight, then an action of that part (not reparameterised through the choice)."""
        key_part, key_value = jax.random.split(key)
        part = jax.random.categorical(key_part, self.logits)
        return Gaussian(self._pick(part, self.mean), self._pick(part, self.log_std)).sample(key_value)

    def mode(self) -> Array:
        """The mean of the heaviest part.

        The highest peak is another's: of several dimensions, a part that is a little narrower is denser by
        orders of magnitude however seldom it is drawn, such as one that stands for pauses in demonstrations.
        """
        return self._pick(self.logits.argmax(-1), self.mean)


class Categorical(Distribution):
    """One of n choices.   logits: (*batch, choices)."""

    logits: Float[Array, "*batch choices"]

    def probabilities(self) -> Float[Array, "*batch choices"]:
        """Of every choice."""
        return jax.nn.softmax(self.logits)

    def log_probabilities(self) -> Float[Array, "*batch choices"]:
        """Of every choice, in nats."""
        return jax.nn.log_softmax(self.logits)

    def log_prob(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.take_along_axis(jax.nn.log_softmax(self.logits), action[..., None], axis=-1)[..., 0]

    def sample(self, key: Key) -> Int[Array, "*batch"]:
        return jax.random.categorical(key, self.logits)

    def mode(self) -> Int[Array, "*batch"]:
        return self.logits.argmax(-1)

    def entropy(self) -> Float[Array, "*batch"]:
        """Entropy in nats."""
        log_probability = jax.nn.log_softmax(self.logits)
        return -(jnp.exp(log_probability) * log_probability).sum(-1)


class Greedy(Distribution):
    """The choice of the largest value.   values: (*batch, choices).

    `log_prob` is 0 for it, and `FLOOR` for the others, which are never taken.
    """

    values: Float[Array, "*batch choices"]

    def log_prob(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.where(action == self.mode(), 0.0, FLOOR)

    def sample(self, key: Key) -> Int[Array, "*batch"]:
        return self.mode()

    def mode(self) -> Int[Array, "*batch"]:
        return self.values.argmax(-1)


class Point(Distribution):
    """A deterministic action. Its `log_prob` is minus half the squared error: that of a unit Gaussian
    without its constant, so that maximising it is least squares."""

    has_density: ClassVar[bool] = False

    action: Float[Array, "*batch dimensions"]

    def log_prob(self, action: Array) -> Float[Array, "*batch"]:
        return -0.5 * jnp.square(action - self.action).sum(-1)

    def sample(self, key: Key) -> Array:
        return self.action

    def mode(self) -> Array:
        return self.action
