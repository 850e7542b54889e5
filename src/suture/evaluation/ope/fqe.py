"""Fitted Q evaluation: the value of a fixed policy, by regression on a log.

Targets take an action that the *stochastic* policy draws at the next observation (exactly, where actions are
choices). Taking its mode instead evaluates another policy: the greedy one.
Source: Le et al. 2019 (arXiv:1903.08738), algorithm 3.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from suture.algorithms import fields
from suture.algorithms.base import Batch, Metrics, Spec, Trainable, follow
from suture.algorithms.critic_based import CriticBased
from suture.config import bounded
from suture.data.dataset import Dataset
from suture.data.stage import Rows, Stage
from suture.errors import DataRefused
from suture.keys import Key, key_for
from suture.nets.critics import Critic, critic_for
from suture.nets.expectation import expected_value
from suture.nets.policies import Policy
from suture.objectives.returns import one_step_target
from suture.spaces import Array, Tree
from suture.training.feed import Resident
from suture.training.given import require_one_image
from suture.training.program import Members, Program
from suture.training.run import Run

CHUNK = 1_000


class FQEState(eqx.Module):
    """The critic of a policy, its slow copy, and the policy, which stays as it is."""

    critic: Trainable[Critic]
    target_critic: Critic
    policy: Policy | None


@dataclasses.dataclass(frozen=True)
class FQE(CriticBased[FQEState]):
    """Fitted Q evaluation of one policy; the members of an ensemble answer by their mean."""

    name: ClassVar[str] = "fqe"

    critics: int = bounded(1, at_least=1, help="size of the ensemble of critics, whose mean is used")
    target_rate: float = bounded(
        0.05, above=0.0, at_most=1.0, unit="share / update",
        help="the policy stays, so that the slow copy may follow fast: some 20 / (1 - discount) updates",
    )  # fmt: skip
    critic_learning_rate: float = fields.learning_rate("the critics", 1e-3)

    def init(self, spec: Spec, key: Key) -> FQEState:
        critic = critic_for(
            spec.observation, self.decision_space(spec), self.hidden, self.critics, key,
            layer_norm=self.layer_norm,
        )  # fmt: skip
        return FQEState(Trainable.of(critic, self.critic_optimiser()), critic, None)

    def update(self, state: FQEState, batch: Batch, key: Key) -> tuple[FQEState, Metrics]:
        assert state.policy is not None
        assert batch.reward is not None
        assert batch.discount is not None
        assert batch.next_observation is not None
        following = state.policy(batch.next_observation)
        next_q = expected_value(
            state.target_critic, batch.next_observation, following, key, samples=1, spread=0.0
        )
        target = one_step_target(batch.reward, self.discount * batch.discount, next_q)
        critic, metrics = self.fit_critic(state.critic, batch, target)
        target_critic = follow(state.target_critic, critic.net, self.target_rate)
        return FQEState(critic, target_critic, state.policy), metrics

    def policy(self, state: FQEState) -> Policy:
        assert state.policy is not None
        return state.policy


def fit(
    run: Run, data: Dataset, *, member: int = 0, steps: int = 5_000, seeds: int = 3, fqe: FQE | None = None
) -> "Fitted":
    """Evaluate one member's policy on a log, with several seeds; in the run's scaled rewards.

    Raises DataRefused where a value becomes non-finite.
    """
    fitted = Evaluator(run, data, member=member, fqe=fqe).fit(np.arange(seeds), steps=steps)
    if not fitted.finite:
        raise DataRefused(
            f"Fitted evaluation of {run.path} became non-finite within {steps:,} steps: the policy asks for "
            "actions that the log does not support. Lower the discount, or evaluate it by playing it."
        )
    return fitted


class Evaluator:
    """Fits critics of one member's policy on a log; compiled once for all its fits.

    data: a log of the spaces that the run was trained on, with rewards; it is scaled as the run was.
    fqe: by default with the run's discount and widths.   scale: of rewards, (scale, shift); by default
    the run's.
    Raises DataRefused where the log has no rewards or no row to bootstrap from.
    """

    def __init__(
        self, run: Run, data: Dataset, *, member: int = 0, fqe: FQE | None = None,
        discount: float | None = None, scale: tuple[float, float] | None = None,
    ):  # fmt: skip
        require_one_image(run.recipe.settings, "Estimating from a log")
        chunk = run.policies.chunk
        self.run, self.member = run, member
        usual: float = getattr(run.algorithm, "discount", 0.99)
        hidden: tuple[int, ...] = getattr(run.algorithm, "hidden", (256, 256))
        self.fqe = fqe or FQE(discount=discount or usual, chunk=chunk, hidden=hidden)
        self.fqe.require(data)
        normaliser = run.recipe.normaliser
        if scale is not None:
            normaliser = dataclasses.replace(normaliser, reward_scale=scale[0], reward_shift=scale[1])
        self.stage = Stage(
            dataset=data, normaliser=normaliser, needs=self.fqe.needs,
            rows=np.flatnonzero(self.fqe.rows(data)), window=self.fqe.window, chunk=chunk,
        )  # fmt: skip
        self.program = Program(
            self.fqe, run.recipe.spec, self.stage.eligible, streamed=False, continue_diverged=True
        )
        whole = Resident(self.stage).rows(0, 1)
        starts = np.arange(self.stage.eligible) if whole.starts is None else whole.starts
        self._rows = dataclasses.replace(whole, starts=jnp.asarray(starts, jnp.int32))

    def fit(
        self,
        seeds: Array,
        *,
        steps: int,
        episodes: Array | None = None,
        settled: Callable[["Fitted"], bool] = lambda _: False,
        policies: Policy | None = None,
    ) -> "Fitted":
        """A critic for each seed.

        policies: of each seed, leaves (seeds, ...); None: the member's, for all.
        episodes: numbers of the log's episodes, with repetitions: a resample to fit on; None: all, once.
        settled: asked after every thousand steps; where it answers true the fit ends before `steps`. So it
        does where a loss is not finite, and then the answer says so.
        """
        members = Members(seeds=np.asarray(seeds, np.uint32), fields={})
        if policies is None:
            one = jax.tree.map(lambda leaf: leaf[self.member], self.run.policies.policies)
            policies = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], len(members), axis=0), one)
        own = jax.tree.map(jnp.copy, policies)  # the program consumes what it begins with
        state = dataclasses.replace(self.program.init(members), policy=own)
        rows = self._rows if episodes is None else self._resampled(episodes)
        for start in range(0, steps, CHUNK):
            state, chunk = self.program.run(state, members, rows, start, min(CHUNK, steps - start))
            if not bool(jnp.isfinite(chunk.metrics["critic/loss"]).all()):
                return Fitted(self.run, state, finite=False)
            if settled(Fitted(self.run, state)):
                break
        return Fitted(self.run, state)

    def _resampled(self, episodes: Array) -> Rows:
        """The same rows, of which those of some episodes are drawn: as many places as ever, so that the
        program is the same."""
        starts = np.asarray(self._rows.starts)
        episode = self.stage.dataset.episode_index[self.stage.rows[starts]]
        first, end = (np.searchsorted(episode, episodes, side) for side in ("left", "right"))
        ends = np.cumsum(end - first)
        within = np.arange(ends[-1]) - np.repeat(ends - (end - first), end - first)
        chosen = starts[np.repeat(first, end - first) + within]
        if not len(chosen):
            raise DataRefused("None of the resampled episodes has a row to learn from.")
        spread = np.arange(len(starts)) * len(chosen) // len(starts)
        return dataclasses.replace(self._rows, starts=jnp.asarray(chosen[spread], jnp.int32))


class Fitted:
    """A fitted critic of each seed, and what it says.   finite: False where the fit broke off."""

    def __init__(self, run: Run, state: Any, *, finite: bool = True):
        self.run, self.state, self.finite = run, state, finite

    def values(self, observation: Tree, *, seed: int = 0, draws: int = 8) -> Array:
        """E Q(observation, action ~ policy) of each seed, (seeds, n), in scaled rewards.

        observation: tree of (n, ...), in the log's units.
        """
        normal = self.run.recipe.normaliser.normalise(observation)
        return np.asarray(_values(self.state, normal, key_for(seed, "act"), draws))


@eqx.filter_jit
def _values(state: Any, observation: Any, key: Key, draws: int) -> Any:
    def one(state: FQEState) -> Any:
        assert state.policy is not None
        answer = state.policy(observation)
        return expected_value(state.critic.net, observation, answer, key, samples=draws, spread=0.0)

    return jax.vmap(one)(state)
