"""What critics claim, against what is true, along training: the curve of over-estimation.

Each method trains on the log; at every checkpoint its critic's claim for its own policy at first states is
put beside the truth: discounted returns that the policy earns where there is an environment (played on over
the horizon of the discount, because critics bootstrap at time limits), otherwise a fitted evaluation.
Source: the lecture's section 6.2; van Hasselt et al. 2016 (arXiv:1509.06461), figure 3, for the form.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from suture.algorithms.base import Algorithm
from suture.algorithms.bc import BC
from suture.algorithms.critic_based import CriticBased
from suture.data.dataset import Dataset
from suture.data.returns import returns_to_go
from suture.envs.make import Make
from suture.errors import ConfigError, SutureError
from suture.evaluation.claims import Claim
from suture.evaluation.ope.fqe import Evaluator
from suture.evaluation.rollout import Worth, rollout
from suture.evaluation.support import Support
from suture.keys import key_for
from suture.nets.expectation import drawn
from suture.spaces import Array, Tree, map_arrays
from suture.training.given import require_one_image
from suture.training.program import DIVERGENCE_SLACK
from suture.training.run import Run
from suture.training.settings import Settings
from suture.training.sweep import Sweep
from suture.training.train import Watch, train

ROWS = 1_024
STARTS = 256
TAIL = 0.1
EARLIER = "Save checkpoints earlier (--every)."


def of_rewards(algorithm: Algorithm[Any]) -> Algorithm[Any]:
    """The same method with values of rewards alone, where a field decides whether entropy counts in them.

    Only such values can be put beside returns. Penalties in values are what a method is, and stay.
    """
    plain = {"entropy_backup": False} if getattr(algorithm, "entropy_backup", False) else {}
    return dataclasses.replace(algorithm, **plain)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """One of the compared: an algorithm, its name in the table, and settings of its own runs (a preset's)."""

    algorithm: Algorithm[Any]
    name: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """How the curve is drawn.

    steps, every: length of each training run, and steps between checkpoints.   seeds: of each method.
    environment: where the truth is played, in `episodes` episodes; None: it is fitted at `fitted_checkpoints`
        of the checkpoints, the last among them, by `fitted_steps` updates each.
    options: further settings of the runs, such as reward_scale; they go before a method's own.
    """

    data: Dataset
    out: Path
    steps: int = 10_000
    every: int = 1_000
    seeds: int = 3
    environment: str | Make | None = None
    episodes: int = 20
    fitted_steps: int = 6_000
    fitted_checkpoints: int = 3
    options: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    say: Callable[[str], None] = lambda _: None

    def run(self, algorithms: Sequence[Algorithm[Any] | Method]) -> list[Claim]:
        """Train each algorithm, as it is, and put its claims beside the truth (see `of_rewards`)."""
        methods = [
            one if isinstance(one, Method) else Method(algorithm=one, name=one.name) for one in algorithms
        ]
        self._require(methods)
        behaviour = self._train(Method(algorithm=BC(), name="bc"), seeds=1)
        sample = _Sample.of(self.data, behaviour)
        found = list[Claim]()
        for method in methods:
            run = self._train(method, seeds=self.seeds)
            if not run.steps:
                self.say(f"{method.name} broke off before its first checkpoint and has no claims. {EARLIER}")
                continue
            fitted = self._fitted(run) if self.environment is None else {}
            for step in run.steps:
                claims = self._at(run.at(step), step, sample, method.name, fitted.get(step))
                found += claims
                self._tell(claims)
        if not found:
            raise SutureError(f"Every method broke off before its first checkpoint. {EARLIER}")
        return found

    def _require(self, methods: list[Method]) -> None:
        for method in methods:
            if not isinstance(method.algorithm, CriticBased):
                raise ConfigError(f"{method.name} learns no action values: there is no claim to test.")
            method.algorithm.require(self.data)
        names = [method.name for method in methods]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{', '.join(twice)} is compared twice. Name each method once.")
        if min(self.fitted_steps, self.fitted_checkpoints) < 1:
            raise ConfigError(
                "fitted_steps and fitted_checkpoints must be at least 1, "
                f"found {self.fitted_steps} and {self.fitted_checkpoints}."
            )
        stacked = Settings(frame_stack=self.options.get("frame_stack", 1))
        require_one_image(stacked, "Asking critics for their claims")

    def _train(self, method: Method, seeds: int) -> Run:
        path = self.out / method.name.replace(":", "-")
        return train(
            Sweep(method.algorithm, seeds=seeds), self.data, out=path, resume=path.exists(),
            watch=Watch(say=self.say),
            steps=self.steps, checkpoint_every=self.every, log_every=self.every, keep=self.steps,
            on_divergence="continue", **{**method.settings, **self.options},
        )  # fmt: skip

    def _at(self, run: Run, step: int, sample: "_Sample", name: str, fitted: Array | None) -> list[Claim]:
        """What is claimed at one checkpoint.   fitted: each member's truth, where it was fitted."""
        algorithm: Any = run.algorithm
        scale, shift = run.recipe.normaliser.reward_scale, run.recipe.normaliser.reward_shift
        worth = Worth(discount=algorithm.discount, scale=scale, shift=shift)
        starts, truths = (self._starts(), fitted) if self.environment is None else self._played(run, worth)
        claims = asked(run, starts)[1].mean(1)
        actions, values = asked(run, sample.observation)
        chunk = run.policies.chunk
        first = actions if chunk == 1 else actions.reshape(*actions.shape[:2], chunk, -1)[:, :, 0]
        logged = _claims_of(run, *sample.decisions(self.data, chunk))
        limit = algorithm.value_limit(run.recipe.spec)
        found = list[Claim]()
        for member in range(len(run)):
            inside = sample.support.holds(sample.observation, first[member])
            largest = _largest(run, member, step)
            found.append(Claim(
                method=name, step=step, seed=run.members[member]["seed"],
                claim=float(claims[member]), truth=None if truths is None else _known(truths[member]),
                truth_is="fitted" if self.environment is None else "played",
                logged_claim=_mean(logged[member]),
                logged_return=sample.earned(self.data, worth),
                inside=_mean(values[member][inside]), outside=_mean(values[member][~inside]),
                outside_share=float((~inside).mean()),
                diverged=None if limit is None else largest > DIVERGENCE_SLACK * limit,
                discount=algorithm.discount, values_hold=algorithm.values_hold,
                reward_scale=scale, reward_shift=shift,
            ))  # fmt: skip
        return found

    def _starts(self) -> Tree:
        """First states of the log, tree of (n, ...)."""
        chosen = self.data.episode_start[:-1][:: max(1, self.data.episodes // STARTS)]
        return map_arrays(lambda array: array[chosen], self.data.observation)

    def _fitted(self, run: Run) -> dict[int, Array]:
        """The truth at the last checkpoint and some before it: step -> (members,).

        NaN where a fit broke off, or left every bound that the rewards allow. All are fitted by one program,
        on rewards of a size that networks learn well.
        """
        assert self.data.reward is not None
        steps = [run.steps[place] for place in spread_over(len(run.steps), self.fitted_checkpoints)]
        self.say(f"{run.path.name}: fitting what its policies are worth at {len(steps)} checkpoints.")
        algorithm: Any = run.algorithm
        total = returns_to_go(np.asarray(self.data.reward), self.data.episode_start, algorithm.discount)
        size, normaliser = 1 / max(float(total.std()), 1e-6), run.recipe.normaliser
        evaluator = Evaluator(
            run, self.data, scale=(size, size * normaliser.reward_shift / normaliser.reward_scale)
        )

        def worth(policies: Any, seeds: Array) -> Array:
            fitted = evaluator.fit(seeds, steps=self.fitted_steps, policies=policies)
            return fitted.values(self._starts()).mean(1) if fitted.finite else np.full(len(seeds), np.nan)

        each = [run.at(step).policies.policies for step in steps]
        together = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *each)
        seeds = np.tile(np.arange(len(run)), len(steps))
        truths = worth(together, seeds)
        if not np.isfinite(truths).all():  # one that breaks off ends the others' fits: each for itself
            alone = [
                jax.tree.map(lambda leaf, at=at: leaf[at : at + 1], together) for at in range(len(seeds))
            ]
            truths = np.concatenate([worth(one, seeds[at : at + 1]) for at, one in enumerate(alone)])
        truths *= normaliser.reward_scale / size
        limit = algorithm.value_limit(run.recipe.spec) or np.inf
        truths = np.where(np.abs(truths) <= limit, truths, np.nan)
        return dict(zip(steps, truths.reshape(len(steps), -1), strict=True))

    def _played(self, run: Run, worth: Worth) -> tuple[Tree, Array]:
        """First states, tree of (n, ...), and each member's value there, (members,)."""
        assert self.environment is not None
        policies, calls = run.policies, iter(range(1 << 31))
        played = rollout(
            lambda seen: policies.act(seen, sample=True, seed=next(calls)), self.environment,
            episodes=self.episodes, environments=self.episodes, seed=0, members=len(run),
            chunk=policies.chunk, worth=worth,
        )  # fmt: skip
        assert played.discounted is not None
        assert played.starts is not None
        return played.starts, played.discounted.mean(1)

    def _tell(self, claims: list[Claim]) -> None:
        truths = [one.truth for one in claims if one.truth is not None]
        truth = f", truth {np.mean(truths):.4g}" if truths else ""
        claim = np.mean([one.claim for one in claims])
        self.say(f"{claims[0].method}, step {claims[0].step:,}: claims {claim:.4g}{truth}.")


@dataclasses.dataclass(frozen=True, eq=False)
class _Sample:
    """Logged states, and what the log vouches for there.   rows: of the dataset."""

    rows: Array
    observation: Tree
    support: Support

    @staticmethod
    def of(data: Dataset, behaviour: Run) -> "_Sample":
        eligible = np.flatnonzero(data.bootstrappable)
        rows = np.sort(np.random.default_rng(0).choice(eligible, min(ROWS, len(eligible)), replace=False))
        observation = map_arrays(lambda array: array[rows], data.observation)
        return _Sample(rows, observation, Support.of(behaviour, observation, data.action[rows]))

    def decisions(self, data: Dataset, chunk: int) -> tuple[Tree, Array]:
        """The states from which `chunk` actions were recorded, and these side by side, in [-1, 1]."""
        whole = data.episode_start[1:][data.episode_index[self.rows]] - self.rows >= chunk
        rows = self.rows[whole]
        recorded = data.action[rows[:, None] + np.arange(chunk)]
        unit = np.asarray(self.support.behaviour.recipe.normaliser.to_unit(recorded))
        action = unit[:, 0] if chunk == 1 else unit.reshape(len(rows), -1)
        return map_arrays(lambda array: array[whole], self.observation), action

    def earned(self, data: Dataset, worth: Worth) -> float | None:
        """Mean discounted return after the sampled rows from which nearly all of it was recorded."""
        if data.reward is None:
            return None
        scaled = worth.scale * np.asarray(data.reward) + worth.shift
        total = returns_to_go(scaled, data.episode_start, worth.discount)
        left = data.episode_start[1:][data.episode_index] - np.arange(len(data))
        ends = data.terminated[data.episode_start[1:] - 1][data.episode_index]
        whole = (ends | (worth.discount**left <= TAIL))[self.rows]
        return _mean(total[self.rows][whole])


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None


def spread_over(count: int, most: int) -> list[int]:
    """Up to `most` of `count` places, evenly spread; the last is among them."""
    return sorted({round(place) for place in np.linspace(count - 1, 0, min(most, count))})


def _normal(run: Run, observation: Tree) -> Any:
    return run.recipe.normaliser.normalise(observation)


def _largest(run: Run, member: int, step: int) -> float:
    """The largest value up to a step: infinite where one was not finite, 0 where values have not begun."""
    lines = [line for line in run.metrics if line["member"] == member and line["step"] <= step]
    seen = [line["value/max_abs"] for line in lines if "value/max_abs" in line]
    return max((np.inf if value is None else value for value in seen), default=0.0)


def asked(run: Run, observation: Tree) -> tuple[Array, Array]:
    """Each member's actions at some observations, (members, n, ...), and its critics' values of them."""
    policies, seen = run.policies.policies, _normal(run, observation)
    actions, values = _ask(run.algorithm, run.newest.state, policies, seen, key_for(0, "act"))
    return np.asarray(actions), np.asarray(values)


def _claims_of(run: Run, observation: Tree, action: Array) -> Array:
    """Each member's value of given actions, (members, n)."""
    return np.asarray(_value(run.algorithm, run.newest.state, _normal(run, observation), jnp.asarray(action)))


@eqx.filter_jit
def _ask(algorithm: Any, state: Any, policies: Any, observation: Any, key: Any) -> Any:
    def one(state: Any, policy: Any) -> Any:
        action = drawn(policy(observation), key)
        return action, algorithm.pessimistic(algorithm.critic(state)(observation, action))

    return jax.vmap(one)(state, policies)


@eqx.filter_jit
def _value(algorithm: Any, state: Any, observation: Any, action: Any) -> Any:
    return jax.vmap(lambda one: algorithm.pessimistic(algorithm.critic(one)(observation, action)))(state)
