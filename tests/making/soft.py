"""The losses of SAC, SAC-N, EDAC, CQL and Cal-QL as their papers state them: float64 NumPy, with loops.

Random numbers are those that the update draws from its key; everything that they go into is stated anew.
"""

from typing import Any

import jax
import numpy as np

from making.parity import Plain
from suture.algorithms.base import Batch, Spec
from suture.keys import key_for
from suture.spaces import Array, Box

SPEC = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2))
ROWS, DIMENSIONS = 12, 2


def log_sum_exp(values: Array, axis: int = 0) -> Array:
    """log sum exp over one axis."""
    top = values.max(axis, keepdims=True)
    return np.log(np.exp(values - top).sum(axis)) + top.squeeze(axis)


class Soft:
    """One update's losses, from a state and a batch."""

    def __init__(self, algorithm: Any, state: Any, batch: Batch):
        self.algorithm = algorithm
        self.batch = jax.tree.map(lambda column: np.asarray(column, np.float64), batch)
        self.actor, self.critic = Plain(state.actor.net.mlp), Plain(state.critic.net.mlp)
        self.target_critic = Plain(state.target_critic.mlp)
        self.temperature = float(np.exp(state.temperature.net.log))
        self.key_now, self.key_next, self.key_ask = jax.random.split(key_for(0, "update"), 3)
        self.target = self.targets()

    def q(self, critic: Plain, seen: Array, action: Array) -> Array:
        """(members, batch)."""
        return critic(np.concatenate([seen, action], -1))[..., 0]

    def sample(self, seen: Array, key: Any, samples: int) -> tuple[Array, Array]:
        """Actions of the policy (samples, batch, dimensions), and their log-densities."""
        mean, log_std = self.gaussian(seen)
        actions, densities = list[Array](), list[Array]()
        for one in jax.random.split(key, samples):
            noise = np.asarray(jax.random.normal(one, (ROWS, DIMENSIONS)), np.float64)
            raw = mean + np.exp(log_std) * noise
            actions.append(np.tanh(raw))
            densities.append(self.log_density(raw, mean, log_std))
        return np.stack(actions), np.stack(densities)

    def gaussian(self, seen: Array) -> tuple[Array, Array]:
        """Mean and log-deviation before the tanh."""
        mean, log_std = np.split(self.actor(seen), 2, -1)
        return mean, np.clip(log_std, -5, 2)

    def log_density(self, raw: Array, mean: Array, log_std: Array) -> Array:
        """Of the tanh of `raw`, whose slope is `1 / cosh(raw)^2`."""
        normal = -np.square((raw - mean) / np.exp(log_std)) / 2 - log_std - np.log(2 * np.pi) / 2
        log_cosh = np.logaddexp(raw, -raw) - np.log(2)
        return (normal + 2 * log_cosh).sum(-1)

    @property
    def after(self) -> Array:
        """The next observations; those after a true end do not exist, and the observation stands for them."""
        return self.batch.next_observation

    def targets(self) -> Array:
        """`r + gamma (min_j Q_j(s', a') - alpha log pi(a'))`, alpha 0 where entropy is not backed up."""
        action, log_prob = self.sample(self.after, self.key_next, 1)
        value = self.q(self.target_critic, self.after, action[0]).min(0)
        value = value - (self.temperature * log_prob[0] if self.algorithm.entropy_backup else 0.0)
        return self.batch.reward + self.algorithm.discount * self.batch.discount * value

    def squared_errors(self) -> float:
        """Of the critics, the means summed over the ensemble."""
        q = self.q(self.critic, self.batch.observation, self.batch.action)
        return float(sum(np.square(one - self.target).mean() for one in q))

    def critic_loss(self) -> float:
        """What the critics descend."""
        return self.squared_errors()

    def actor_loss(self) -> float:
        """`alpha log pi(a) - min_j Q_j(s, a)`."""
        action, log_prob = self.sample(self.batch.observation, self.key_now, 1)
        q = self.q(self.critic, self.batch.observation, action[0]).min(0)
        return float((self.temperature * log_prob[0] - q).mean())

    def entropy(self) -> float:
        """Of the policy, from its samples."""
        return float(-self.sample(self.batch.observation, self.key_now, 1)[1].mean())


class Diverse(Soft):
    """EDAC: the slopes of every pair of critics, by the chain rule."""

    def slopes(self) -> Array:
        """Gradients with respect to the logged actions, (members, batch, dimensions)."""
        x = np.concatenate([self.batch.observation, self.batch.action], -1)
        arrays, depth = self.critic.arrays, self.critic.depth
        passed = list[Array]()
        for i in range(depth - 1):
            x = x @ arrays[2 * i] + arrays[2 * i + 1]
            passed.append(x > 0)
            x = np.maximum(x, 0)
        back = np.swapaxes(arrays[2 * depth - 2], -1, -2)
        for i in reversed(range(depth - 1)):
            back = (back * passed[i]) @ np.swapaxes(arrays[2 * i], -1, -2)
        return back[..., -DIMENSIONS:]

    def diversity(self) -> float:
        """Mean over the batch of the cosines of all ordered pairs, divided by N - 1."""
        slopes = self.slopes()
        unit = slopes / (np.linalg.norm(slopes, axis=-1, keepdims=True) + 1e-10)
        count = len(unit)
        pairs = sum((unit[i] * unit[j]).sum(-1) for i in range(count) for j in range(count) if i != j)
        return float(np.mean(pairs) / (count - 1))

    def critic_loss(self) -> float:
        return self.squared_errors() + self.algorithm.diversity_weight * self.diversity()


class Penalised(Soft):
    """CQL and Cal-QL."""

    def __init__(self, algorithm: Any, state: Any, batch: Batch):
        factor = 1.0 if state.factor is None else float(np.exp(state.factor.net.log))
        self.weight = algorithm.conservative_weight * factor
        self.updates = int(state.learner.actor.optimiser.count)
        super().__init__(algorithm, state.learner, batch)

    @property
    def after(self) -> Array:
        known = self.batch.discount[:, None] > 0
        return np.where(known, self.batch.next_observation, self.batch.observation)

    def targets(self) -> Array:
        if not self.algorithm.max_target_backup:
            return super().targets()
        action, _ = self.sample(self.after, self.key_next, self.algorithm.samples)
        best = np.max([self.q(self.target_critic, self.after, one).min(0) for one in action], 0)
        return self.batch.reward + self.algorithm.discount * self.batch.discount * best

    def gaps(self) -> Array:
        """Of each member: `T logsumexp_i ((Q(s, a_i) - log density_i) / T) - Q(s, a)`, its mean over rows."""
        count, heat = self.algorithm.samples, self.algorithm.conservative_temperature
        key_uniform, key_here, key_after = jax.random.split(jax.random.split(self.key_ask)[0], 3)
        shape = (count, ROWS, DIMENSIONS)
        uniform = np.asarray(jax.random.uniform(key_uniform, shape, minval=-1.0, maxval=1.0), np.float64)
        here, here_density = self.sample(self.batch.observation, key_here, count)
        after, after_density = self.sample(self.after, key_after, count)
        seen, terms = self.batch.observation, list[Array]()
        for action in uniform:
            terms.append(self.q(self.critic, seen, action) + DIMENSIONS * np.log(2))
        for actions, densities in ((here, here_density), (after, after_density)):
            for action, density in zip(actions, densities, strict=True):
                terms.append(self.raised(self.q(self.critic, seen, action)) - density)
        soft = heat * log_sum_exp(np.stack(terms) / heat)
        if self.algorithm.per_sample:
            soft = soft - heat * np.log(3 * count)
        return (soft - self.q(self.critic, seen, self.batch.action)).mean(1)

    def raised(self, q: Array) -> Array:
        """Cal-QL: no less than the recorded return."""
        if self.batch.return_to_go is None:
            return q
        return np.maximum(q, self.batch.return_to_go)

    def critic_loss(self) -> float:
        return self.squared_errors() + self.weight * float(self.gaps().sum())

    def actor_loss(self) -> float:
        if self.updates >= self.algorithm.bc_steps:
            return super().actor_loss()
        mean, log_std = self.gaussian(self.batch.observation)
        logged = self.log_density(np.arctanh(self.batch.action), mean, log_std)
        return float(-self.temperature * self.entropy() - logged.mean())
