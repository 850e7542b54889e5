"""Logs that have a regime by construction, from worlds that can be simulated: to calibrate diagnoses on.

A world simulates many episodes at once. A behaviour follows the world's guide with some probability, weakly,
askew or noisily, and acts at random otherwise; a guide knows two stages of the task, so that episodes may
hold only one. How good a behaviour is, is measured in its world, not in the log. All numbers are drawn from
the seed.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.log import Log
from suture.diagnosis.returns import starting_values
from suture.diagnosis.statistics import LIMIT
from suture.spaces import Box, Discrete

Array: TypeAlias = NDArray[Any]
Regime: TypeAlias = Literal["imitation", "mixed", "heterogeneous", "random", "insufficient"]
REGIMES: tuple[Regime, ...] = ("imitation", "mixed", "heterogeneous", "random", "insufficient")
TRIED, DISCOUNT = 200, 0.99
ENOUGH, LITTLE = (1_000, LIMIT), (20, 300)
"""Transitions of a log: up to what a diagnosis looks at, and too few."""
SKILLED, MIDDLING, POOR, JOINED = 0.9, (0.3, 0.8), 0.15, 0.2
"""From chance (0) to the guide (1): what an expert earns at least, what a middling policy earns, what an
aimless one earns at most, and by how much at least whole episodes beat those cut halfway, if they shall be
worth joining."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """begin(n, late, rng) -> states; `late` (n,) marks episodes that begin at the second stage.

    guide(state, rng) -> actions that solve the task.   chance(n, rng) -> random actions.
    step(state, action, rng) -> next state, reward, ended.
    staged(state) -> whether the first stage is done, (n,); None: the task has one stage.
    """

    name: str
    horizon: int
    actions: int
    size: int
    begin: Callable[[int, Array, np.random.Generator], Array]
    guide: Callable[[Array, np.random.Generator], Array]
    step: Callable[[Array, Array, np.random.Generator], tuple[Array, Array, Array]]
    staged: Callable[[Array], Array] | None = None
    observe: Callable[[Array], Array] = lambda state: state

    @property
    def regimes(self) -> tuple[Regime, ...]:
        """The regimes that its logs can have: without stages there is nothing to stitch."""
        return tuple(one for one in REGIMES if self.staged is not None or one != "heterogeneous")

    def chance(self, n: int, rng: np.random.Generator) -> Array:
        if self.actions:
            return rng.integers(self.actions, size=n)
        return rng.uniform(-1, 1, (n, self.size))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How n episodes are acted, (n, 1) each; with one row, all of them.

    quality: probability of following the guide.   gain, bias, noise: of its continuous actions, which are
    multiplied, shifted for the length of the episode, and disturbed step by step.
    """

    quality: Array
    gain: Array
    bias: Array
    noise: Array

    def of(self, episodes: Array) -> "Behaviour":
        """The behaviour whose i-th episode is acted as this one's episodes[i]."""
        return Behaviour(**{name: column[episodes] for name, column in vars(self).items()})


def behaviour(
    quality: Array | float, *, gain: float = 1.0, bias: float = 0.0, noise: float = 0.0
) -> Behaviour:
    """A behaviour that has the same flaws in all episodes, except for its quality, a number or (n,)."""
    columns = np.broadcast_arrays(np.atleast_1d(quality), gain, bias, noise)
    return Behaviour(
        **dict(zip(("quality", "gain", "bias", "noise"), (c[:, None] for c in columns), strict=True))
    )


def play(
    world: World, acted: Behaviour, late: Array, cut: Array, rng: np.random.Generator
) -> dict[str, Array]:
    """Episodes as columns in the order of episode and step.

    late: (n,) begins at the second stage.   cut: (n,) the recording ends when the first stage is done.
    """
    n = len(late)
    state, alive, rows = world.begin(n, late, rng), np.ones(n, np.bool_), list[dict[str, Array]]()
    for step in range(world.horizon):
        follow = rng.random((n, 1)) < acted.quality
        action = world.guide(state, rng)
        if not world.actions:
            action = acted.gain * action + acted.bias + acted.noise * rng.standard_normal(action.shape)
            action = np.clip(action, -1, 1)
        action = np.where(follow[:, 0] if world.actions else follow, action, world.chance(n, rng))
        after, reward, ended = world.step(state, action, rng)
        halfway = world.staged(after) if world.staged is not None else np.zeros(n, np.bool_)
        stop = (cut & halfway) | (step == world.horizon - 1)
        row = {
            "episode": np.arange(n), "observation": world.observe(state), "action": action, "reward": reward,
            "next_observation": world.observe(after), "terminal": ended, "timeout": stop & ~ended,
        }  # fmt: skip
        rows.append({name: column[alive] for name, column in row.items()})
        state, alive = after, alive & ~ended & ~stop
        if not alive.any():
            break
    columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    order = np.argsort(columns["episode"], kind="stable")
    return {name: column[order] for name, column in columns.items()}


def value(world: World, acted: Behaviour, *, cut: bool = False) -> float:
    """The mean discounted value of a behaviour from the world's own starts, by simulation."""
    none = np.zeros(TRIED, np.bool_)
    played = play(world, acted, none, none | cut, np.random.default_rng(0))
    start = np.searchsorted(played["episode"], np.arange(TRIED + 1))
    return float(starting_values(played["reward"], start, played["terminal"], DISCOUNT).mean())


@functools.cache
def ends_of_scale(world: World) -> tuple[float, float]:
    """What chance and the guide are worth."""
    return value(world, behaviour(0.0)), value(world, behaviour(1.0))


def skill(world: World, acted: Behaviour, *, cut: bool = False) -> float:
    """How far a behaviour stands from chance (0) to the guide (1)."""
    low, high = ends_of_scale(world)
    return (value(world, acted, cut=cut) - low) / (high - low)


def expert(world: World, rng: np.random.Generator) -> Behaviour:
    """One policy that is nearly as good as the guide, as noisy as its world bears."""
    lapses, noise = rng.uniform(0, 0.15), rng.uniform(0.05, 0.9)
    while skill(world, found := behaviour(1 - lapses, noise=noise)) < SKILLED:
        lapses, noise = 0.8 * lapses, 0.8 * noise
    return found


def joinable(world: World, rng: np.random.Generator) -> Behaviour:
    """One policy whose whole episodes earn more than those that are cut when the first stage is done."""
    lapses, noise = rng.uniform(0.05, 0.4), rng.uniform(0.05, 0.9)
    while skill(world, found := behaviour(1 - lapses, noise=noise)) < skill(world, found, cut=True) + JOINED:
        lapses, noise = 0.8 * lapses, 0.8 * noise
    return found


def aimless(world: World, rng: np.random.Generator) -> Behaviour:
    """One policy that is hardly better than chance."""
    quality, noise = rng.uniform(0, 0.08), rng.uniform(0.05, 0.9)
    while skill(world, found := behaviour(quality, noise=noise)) > POOR:
        quality *= 0.8
    return found


def middling(world: World, n: int, rng: np.random.Generator) -> Behaviour:
    """One to four policies, each with flaws of its own and far from the guide and from chance, by turns."""
    found = list[Behaviour]()
    wanted = rng.integers(1, 5)
    while len(found) < wanted:
        one = behaviour(
            rng.uniform(0.1, 1), gain=rng.uniform(0.1, 1), bias=rng.uniform(-0.6, 0.6),
            noise=rng.uniform(0.05, 0.9),
        )  # fmt: skip
        if MIDDLING[0] < skill(world, one) < MIDDLING[1]:
            found.append(one)
    all_of_them = Behaviour(
        **{name: np.concatenate([vars(one)[name] for one in found]) for name in vars(found[0])}
    )
    return all_of_them.of(rng.integers(wanted, size=n))


def unequal(n: int, rng: np.random.Generator) -> Behaviour:
    """Good and bad episodes: two levels, or every level between the guide and chance."""
    good = rng.random(n) < rng.uniform(0.1, 0.5)
    poor = rng.uniform(0, rng.uniform(0.05, 0.6), n)
    two = np.where(good, rng.uniform(0.85, 1.0), poor)
    quality = two if rng.random() < 0.6 else rng.random(n) ** rng.uniform(1, 3)
    return behaviour(quality, noise=rng.uniform(0.05, 0.9))


def make(world: World, regime: Regime, seed: int) -> Dataset:
    """One log of a regime. Size, share of good episodes, noise and presence of rewards vary by seed."""
    rng = np.random.default_rng([seed, REGIMES.index(regime), sum(map(ord, world.name))])
    kind, few = regime, regime == "insufficient"
    if few:
        kind = world.regimes[rng.integers(len(world.regimes) - 1)]
    rows = int(np.exp(rng.uniform(*np.log(LITTLE if few else ENOUGH))))
    n = 20 + 10 * rows // world.horizon
    late = np.zeros(n, np.bool_)
    if kind == "heterogeneous":
        late = rng.random(n) < rng.uniform(0.3, 0.7)
    acted = {
        "imitation": lambda: expert(world, rng),
        "mixed": lambda: middling(world, n, rng) if rng.random() < 0.4 else unequal(n, rng),
        "heterogeneous": lambda: joinable(world, rng),
        "random": lambda: aimless(world, rng),
    }[kind]()
    columns = play(world, acted, late, ~late if kind == "heterogeneous" else np.zeros_like(late), rng)
    columns = _first(columns, rows)
    if few and rng.random() < 0.5:
        kept = columns["episode"] < rng.integers(1, 4)
        columns = {name: column[kept] for name, column in columns.items()}
    rewarded = kind == "mixed" or rng.random() > 0.15
    return dataset_of(world, columns, rewarded, scale=float(10 ** rng.uniform(-2, 2)))


def _first(columns: dict[str, Array], rows: int) -> dict[str, Array]:
    last = columns["episode"][min(rows, len(columns["episode"])) - 1]
    return {name: column[columns["episode"] <= last] for name, column in columns.items()}


def dataset_of(world: World, columns: dict[str, Array], rewarded: bool, scale: float) -> Dataset:
    """Columns of `play` as a dataset; rewards times `scale`, or none."""
    width = columns["observation"].shape[1]
    log = Log(
        source=world.name, layout="world", episode=columns["episode"], terminal=columns["terminal"],
        timeout=columns["timeout"], observation=columns["observation"].astype(np.float32),
        next_observation=columns["next_observation"].astype(np.float32),
        action=columns["action"].astype(np.int32 if world.actions else np.float32),
        reward=(scale * columns["reward"]).astype(np.float32) if rewarded else None,
        observation_space=Box((width,)),
        action_space=Discrete(world.actions) if world.actions
        else Box((world.size,), low=(-1.0,) * world.size, high=(1.0,) * world.size),
    )  # fmt: skip
    return build(log)
