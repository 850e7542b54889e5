"""Policy extraction by search: an action of high value among choices, a search distribution, or samples.

Every maximiser is called alike: `maximise(value, observation, key)`, where `value(observation, actions)`
takes actions (samples, batch, ...) and answers (samples, batch); it gives one action a row. What the value
knows of the observation alone (an encoding) is computed once: the compiler merges the calls of one search.

The rows of a batch share the noise of a search, so that an action does not depend on where its row stands.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from suture.keys import Key
from suture.nets.encoder import Observation
from suture.nets.policies import Policy
from suture.nets.search import Maximiser, ValueOf


def best_of(
    value: ValueOf, observation: Observation, actions: Array
) -> Float[Array, "batch dimensions"] | Int[Array, " batch"]:
    """The action of the largest value in each row.   actions: (samples, batch, ...)."""
    best = value(observation, actions).argmax(0)
    return _pick(actions, best[None])[0]


def _pick(actions: Array, index: Int[Array, "some batch"]) -> Array:
    """Some of the actions of each row, (some, batch, ...)."""
    return jnp.take_along_axis(actions, index.reshape(*index.shape, *(1,) * (actions.ndim - 2)), axis=0)


class Enumerate(Maximiser):
    """The best of all choices.   Source: Watkins 1989."""

    choices: int = eqx.field(static=True)

    def __call__(self, value: ValueOf, observation: Observation, key: Key) -> Int[Array, " batch"]:
        rows = len(jax.tree.leaves(observation)[0])
        every = jnp.broadcast_to(jnp.arange(self.choices)[:, None], (self.choices, rows))
        return best_of(value, observation, every)


class PolicySamples(Maximiser):
    """The best of some actions that a policy draws.   Source: Fujimoto et al. 2018 (arXiv:1812.02900)."""

    policy: Policy
    samples: int = eqx.field(static=True)

    def __call__(self, value: ValueOf, observation: Observation, key: Key) -> Array:
        return best_of(value, observation, self.draw(observation, key))

    def draw(self, observation: Observation, key: Key) -> Array:
        """The actions, (samples, batch, ...); the policy's encoding is computed once a row."""
        keys = jax.random.split(key, self.samples)

        def of_one(row: Observation) -> Array:
            return jax.vmap(self.policy(row).sample)(keys)

        return jax.vmap(of_one, out_axes=1)(observation)


class Block(eqx.Module):
    """Some dimensions of an action, and what is believed of them: a tree of arrays, rows first."""

    size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def start(self, rows: int) -> tuple[Array, ...]:
        """What is believed before the first sample."""
        raise NotImplementedError

    @abc.abstractmethod
    def draw(self, belief: tuple[Array, ...], key: Key, samples: int) -> Float[Array, "samples batch size"]:
        """Samples within the bounds."""
        raise NotImplementedError

    @abc.abstractmethod
    def fit(self, elites: Float[Array, "elites batch size"]) -> tuple[Array, ...]:
        """What is believed after some samples were the best."""
        raise NotImplementedError


class Interval(Block):
    """Dimensions in [-1, 1]: independent Gaussians, whose samples are clipped before anything sees them.

    deviation: at the start, around 0.   floor: the least.
    """

    size: int = eqx.field(static=True)
    deviation: float | Array = 0.6
    floor: float | Array = 0.05

    def start(self, rows: int) -> tuple[Array, ...]:
        zeros = jnp.zeros((rows, self.size))
        return zeros, zeros + self.deviation

    def draw(self, belief: tuple[Array, ...], key: Key, samples: int) -> Array:
        mean, deviation = belief
        return jnp.clip(mean + deviation * jax.random.normal(key, (samples, 1, self.size)), -1.0, 1.0)

    def fit(self, elites: Array) -> tuple[Array, ...]:
        return elites.mean(0), jnp.maximum(elites.std(0), self.floor)


class Choice(Block):
    """Dimensions of which one is 1 and the others are -1: a categorical.

    smoothing: the share of a uniform distribution, which keeps every choice possible.
    none: all of them may be -1 as well.
    """

    size: int = eqx.field(static=True)
    smoothing: float | Array = 0.15
    none: bool = eqx.field(static=True, default=False)

    @property
    def choices(self) -> int:
        """How many there are, none of them included."""
        return self.size + self.none

    def start(self, rows: int) -> tuple[Array, ...]:
        return (jnp.full((rows, self.choices), 1 / self.choices),)

    def draw(self, belief: tuple[Array, ...], key: Key, samples: int) -> Array:
        noise = jax.random.gumbel(key, (samples, 1, self.choices))
        chosen = (jnp.log(belief[0]) + noise).argmax(-1)
        return 2 * jax.nn.one_hot(chosen, self.size) - 1

    def fit(self, elites: Array) -> tuple[Array, ...]:
        often = (elites.mean(0) + 1) / 2
        if self.none:
            often = jnp.append(often, 1 - often.sum(-1, keepdims=True), axis=-1)
        return ((1 - self.smoothing) * often + self.smoothing / self.choices,)


class CrossEntropy(Maximiser):
    """The cross-entropy method: sample, keep the best, sample around them; answer the last best sample.

    blocks: the action's dimensions, side by side.
    Sources: Rubinstein & Kroese 2004; Kalashnikov et al. 2018 (arXiv:1806.10293), with these numbers.
    """

    blocks: tuple[Block, ...]
    samples: int = eqx.field(static=True, default=64)
    elites: int = eqx.field(static=True, default=6)
    iterations: int = eqx.field(static=True, default=2)

    def __call__(
        self, value: ValueOf, observation: Observation, key: Key
    ) -> Float[Array, "batch dimensions"]:
        rows = len(jax.tree.leaves(observation)[0])
        beliefs = [block.start(rows) for block in self.blocks]
        ends = [sum(block.size for block in self.blocks[: i + 1]) for i in range(len(self.blocks))]
        best = jnp.zeros((self.elites, rows, ends[-1]))
        for step in jax.random.split(key, self.iterations):
            keys = jax.random.split(step, len(self.blocks))
            parts = [
                block.draw(belief, k, self.samples)
                for block, belief, k in zip(self.blocks, beliefs, keys, strict=True)
            ]
            actions = jnp.concatenate(parts, axis=-1)
            _, index = jax.lax.top_k(value(observation, actions).T, self.elites)
            best = _pick(actions, index.T)
            parts = jnp.split(best, ends[:-1], axis=-1)
            beliefs = [block.fit(part) for block, part in zip(self.blocks, parts, strict=True)]
        return best[0]

    def anything(self, rows: int, key: Key) -> Float[Array, "rows dimensions"]:
        """Actions as the search begins with, one for each row: they know nothing of its value."""
        keys = jax.random.split(key, len(self.blocks))
        parts = [
            block.draw(block.start(1), k, rows)[:, 0] for block, k in zip(self.blocks, keys, strict=True)
        ]
        return jnp.concatenate(parts, axis=-1)
