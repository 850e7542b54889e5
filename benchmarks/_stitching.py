"""What is trained on a log of the five-step task: methods, their settings, and parts of the log as controls.

Also what the benchmarks of the task share: the log, proofs of what its parts show, runs, files of results.
Settings are the same for all where they mean the same: discount 0.97, targets of 3 steps, target rate 0.02,
step size 0.001 (of CQL's policy 0.0003, after cloning), networks of 128 and 128 units with layer norm in the
critics, and rewards times 100.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import tyro
from _bench import Options
from _kept import RESULTS
from rich.console import Console

import suture
from suture import config, spaces
from suture.algorithms.base import Algorithm
from suture.algorithms.td3 import DeterministicActorCritic
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.envs.composite.certificate import SKILLS
from suture.envs.composite.certify import Certificate, certify
from suture.envs.composite.collect import LIMITS, Recipe, collect
from suture.envs.composite.env import Observation
from suture.training.outcome import Outcome
from suture.training.run import Run

REWARD_SCALE = 100.0
LONGEST = max(LIMITS.values())
"""Steps of the longest episode of a log."""
HIDDEN, RATE = (128, 128), 1e-3
VALUES: dict[str, Any] = {
    "discount": 0.97, "n_step": 3, "target_rate": 0.02, "critic_learning_rate": RATE, "hidden": HIDDEN,
    "layer_norm": True,
}  # fmt: skip
SHARPNESS, LARGEST_WEIGHT = 10.0, 100.0
"""Logged actions weigh exp(10 advantage), 100 at most."""
IQL = suture.IQL(
    **VALUES, value_learning_rate=RATE, expectile=0.9, inverse_temperature=SHARPNESS,
    max_weight=LARGEST_WEIGHT, actor_learning_rate=RATE, head="mixture",
)  # fmt: skip
CQL = suture.CQL(
    **VALUES, actor_learning_rate=3e-4, temperature_learning_rate=RATE, conservative_weight=0.3, samples=2,
    success_value=REWARD_SCALE, bc_steps=2_000,
)  # fmt: skip
"""The weight of 0.1, 0.3 and 1 whose claims are near the truth; 1 holds the value of the start below 0."""
REBRAC = suture.ReBRAC(**VALUES, actor_learning_rate=RATE, actor_penalty=0.1, critic_penalty=0.0)
SAC = suture.SAC(
    **VALUES, actor_learning_rate=RATE, temperature_learning_rate=RATE, entropy_backup=False
)  # fmt: skip
TD3 = suture.TD3(**VALUES, actor_learning_rate=RATE)
BC = suture.BC(hidden=HIDDEN, learning_rate=RATE, head="mixture")
AWR = suture.AWR(
    discount=0.97, window_length=LONGEST, mixing=1.0, whitened=False, temperature=1 / SHARPNESS,
    max_weight=LARGEST_WEIGHT, head="mixture", value_learning_rate=RATE, critic_learning_rate=RATE,
    actor_learning_rate=RATE, hidden=HIDDEN,
)  # fmt: skip
SMALL_BATCH = 128
"""Rows of a batch of training from pictures."""
Part = Callable[[Dataset], Dataset]


@dataclasses.dataclass(frozen=True)
class Method:
    """An algorithm, and the part of the log that it is given."""

    algorithm: Algorithm[Any]
    part: Part

    @property
    def draws(self) -> tuple[bool, ...]:
        """How its policies are played: with sampled actions and with modes, where these differ."""
        return (False,) if isinstance(self.algorithm, DeterministicActorCritic) else (True, False)

    @property
    def joined(self) -> bool | None:
        """Whether its part of the log holds a path from the start to the reward; None: as it comes."""
        return None if self.part in PRIORS.values() else self.part in (everything, skilled, recorded_alone)


def everything(data: Dataset) -> Dataset:
    """All sets."""
    return data


def without_b(data: Dataset) -> Dataset:
    """Nothing shows how to open the drawer."""
    return data.take_episodes(np.flatnonzero(_sets(data) != "B"))


def task_alone(data: Dataset) -> Dataset:
    """What the reward was seen in."""
    return data.take_episodes(np.flatnonzero(_sets(data) == "task"))


def rewarded(data: Dataset) -> Dataset:
    """Episodes that end outside."""
    return data.take_episodes(np.flatnonzero(np.asarray(data.returns) > 0))


def skilled(data: Dataset) -> Dataset:
    """Episodes of a skill that reach its end: also the narrowest behaviour, for methods that explore."""
    best = np.maximum.reduceat(data.columns["next_stage"], data.episode_start[:-1])
    wanted = np.array([SKILLS.get(name, (0, 99))[1] for name in _sets(data).tolist()])
    return data.take_episodes(np.flatnonzero(best >= wanted))


def recorded_alone(data: Dataset) -> Dataset:
    """Where an episode was cut nothing follows: with windows as long as episodes, targets are Monte-Carlo."""
    last = np.zeros(len(data), bool)
    last[data.episode_start[1:] - 1] = True
    return dataclasses.replace(data, terminated=last, truncated=np.zeros(len(data), bool))


def prior(share: float) -> Part:
    """All of the task's episodes, and a share of every other set's."""

    def part(data: Dataset) -> Dataset:
        sets, generator = _sets(data), np.random.default_rng(0)
        return data.take_episodes(np.flatnonzero((sets == "task") | (generator.random(len(sets)) < share)))

    part.__name__ = f"prior_{share:g}"
    return part


PRIORS = {share: prior(share) for share in (0.5, 0.3, 0.1)}


def unlinked(data: Dataset, *, of: str = "B", seed: int = 0) -> Dataset:
    """What follows the end of a step is taken from another episode: the first observation of one of its set.

    Rows, actions and rewards stay, and every next observation was recorded; but nothing leads on from this
    step any more. (What followed in other episodes' places of the same kind would not do: it is of the
    next stage too, and value would pass as before.) What those episodes recorded behind the joint has no
    next observation then, so that values of several steps do not leap over it.
    """
    stage, after = data.columns["stage"], data.columns["next_stage"]
    own, wanted = data.columns["set"] == of, SKILLS[of][1]
    joint, behind = own & (stage < wanted) & (after >= wanted), own & (stage >= wanted)
    starts = data.episode_start[:-1][_sets(data) == of]
    chosen = np.random.default_rng(seed).choice(starts, int(joint.sum()))
    source = np.arange(len(data))
    source[joint] = chosen

    def moved(now: Any, following: Any) -> Any:
        return np.where((joint | behind).reshape(-1, *(1,) * (now.ndim - 1)), now[source], following)

    columns = data.columns
    return dataclasses.replace(
        data, next_observation=spaces.map_arrays(moved, data.observation, data.next_observation),
        has_next=data.has_next & ~behind,
        columns=columns | {
            f"next_{name}": moved(columns[name], columns[f"next_{name}"])
            for name in ("stage", "state") if name in columns
        },
    )  # fmt: skip


def _sets(data: Dataset) -> Any:
    return data.columns["set"][data.episode_start[:-1]]


def _changed(algorithm: Any, **fields: Any) -> Any:
    return dataclasses.replace(algorithm, **fields)


METHODS: dict[str, Method] = {
    "iql": Method(IQL, everything),
    "cql": Method(CQL, everything),
    "rebrac": Method(REBRAC, everything),
    "bc": Method(BC, everything),
    "bc-skills": Method(BC, skilled),
    "bc-rewarded": Method(BC, rewarded),
    "iql-task": Method(IQL, task_alone),
    "cql-task": Method(CQL, task_alone),
    "awr-monte-carlo": Method(AWR, recorded_alone),
    "one-step": Method(_changed(IQL, expectile=0.5), everything),
    "sac": Method(SAC, everything),
    "td3": Method(TD3, everything),
    "sac-skills": Method(SAC, skilled),
    "td3-skills": Method(TD3, skilled),
    "iql-without-B": Method(IQL, without_b),
    "iql-unlinked": Method(IQL, unlinked),
    "iql-monte-carlo": Method(_changed(IQL, n_step=LONGEST), recorded_alone),
    "iql-1-step": Method(_changed(IQL, n_step=1), everything),
    "iql-slow-targets": Method(_changed(IQL, target_rate=0.005), everything),
    "iql-discount-0.9": Method(_changed(IQL, discount=0.9), everything),
    "iql-discount-0.99": Method(_changed(IQL, discount=0.99), everything),
    **{f"iql-prior-{share:g}": Method(IQL, part) for share, part in PRIORS.items()},
}
"""one-step: values of the behaviour, V being the mean of Q over its actions. -skills: narrow behaviour."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained(Options):
    """Settings of every benchmark that trains on a log of the task."""

    methods: tuple[str, ...]
    steps: int
    episodes: int = 8_000
    """Of the log."""
    seeds: int = 3
    """Of training, in one program."""
    seed: int = 0
    """Of the log."""
    train: Annotated[Literal["missing", "none"], tyro.conf.arg(metavar="WHICH")] = "missing"
    """Train what is not kept, or nothing: kept results alone, for which no log is made."""
    again: bool = False
    """Train even where a result is kept: after a change of the code."""
    observation: ClassVar[Observation] = "state"
    """What policies see; a benchmark that knows pictures makes a setting of it."""
    epsilon: ClassVar[float] = 0.0
    """Share of the log's actions that are drawn at random; a setting of a benchmark that varies it."""

    def fitted(self, algorithm: Algorithm[Any]) -> Algorithm[Any]:
        """An algorithm with smaller batches where it sees pictures."""
        return _changed(algorithm, batch_size=SMALL_BATCH) if self.observation == "image" else algorithm


def log_of(settings: Trained, console: Console) -> Dataset:
    """The log, whose certificates are printed."""
    recipe = Recipe(
        episodes=settings.episodes, seed=settings.seed, observation=settings.observation,
        epsilon=settings.epsilon,
    )  # fmt: skip
    data = build(collect(recipe)).admit()
    proof = certify(data)
    console.print(f"{len(data):,} transitions in {data.episodes:,} episodes.")
    console.print(json.dumps(proof.to_json()))
    if not proof.holds:
        raise SystemExit("The log shows too much or too little: a certificate does not hold.")
    return data


def certified(name: str, method: Method, data: Dataset) -> Certificate:
    """What is proved of the part that a method is given.   Ends the program unless it is as it should be."""
    proof = certify(method.part(data))
    if not proof.never_shown.holds or method.joined not in (None, proof.stitched.share > 0):
        raise SystemExit(
            f"{name}: expected a part that never shows the whole and holds {'a' if method.joined else 'no'} "
            f"path; found {json.dumps(proof.to_json())}."
        )
    return proof


def identity(method: Method, settings: Trained, data: Dataset | None) -> dict[str, Any]:
    """What a method's run depends on.   data: the log; None: what it would be is taken on trust."""
    return {
        "algorithm": method.algorithm.name, "fields": config.to_json(settings.fitted(method.algorithm)),
        "part": method.part.__name__, "reward_scale": REWARD_SCALE, "log_episodes": settings.episodes,
        "log_seed": settings.seed, "steps": settings.steps, "seeds": settings.seeds,
        **({} if settings.observation == "state" else {"observation": settings.observation}),
        **({"epsilon": settings.epsilon} if settings.epsilon else {}),
        **({} if data is None else {"fingerprint": data.fingerprint}),
    }  # fmt: skip


def file_of(benchmark: str, name: str, settings: Trained) -> Path:
    """Where a benchmark keeps a method's result."""
    size = f"{settings.steps}-steps-{settings.seeds}-seeds-{settings.episodes}-episodes"
    name = name if settings.observation == "state" else f"{name}-{settings.observation}"
    name += f"-epsilon-{settings.epsilon:g}" if settings.epsilon else ""
    return RESULTS / benchmark / f"{name}-{size}.json"


def trained(method: Method, data: Dataset, settings: Trained, out: Path, **options: Any) -> Run:
    """A finished run.   Ends the program where a signal stopped it, so that nothing is kept of it."""
    run = suture.train(
        settings.fitted(method.algorithm), method.part(data), out=out, seeds=settings.seeds,
        steps=settings.steps, reward_scale=REWARD_SCALE, on_divergence="continue",
        **options,
    )  # fmt: skip
    if run.outcome is Outcome.PREEMPTED:
        raise SystemExit("Stopped on the way: this run is not kept. Start again to go on with it.")
    return run
