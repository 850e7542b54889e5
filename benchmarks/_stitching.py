"""What is trained on a log of the five-step task: methods, their settings, and parts of the log as controls.

Settings are the same for all where they mean the same: discount 0.97, targets of 3 steps, target rate 0.02,
step size 0.001, networks of 128 and 128 units with layer norm in the critics, and rewards times 100.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

import suture
from suture import spaces
from suture.algorithms.base import Algorithm
from suture.algorithms.td3 import DeterministicActorCritic
from suture.data.dataset import Dataset
from suture.envs.composite.certificate import SKILLS
from suture.envs.composite.collect import LIMITS

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
    **VALUES, actor_learning_rate=RATE, temperature_learning_rate=RATE, conservative_weight=1.0, samples=2,
    success_value=REWARD_SCALE,
)  # fmt: skip
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
}
"""one-step: values of the behaviour, V being the mean of Q over its actions. -skills: narrow behaviour."""
