"""Six small worlds whose logs have a regime by construction: what diagnoses are calibrated on.

A world simulates many episodes at once. A behaviour follows the world's guide with some probability (or
noise) and acts at random otherwise; a guide knows two stages of the task, so that episodes may hold only one.
All numbers are drawn from the seed; nothing is read from files.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.log import Log
from suture.spaces import Box, Discrete

Array: TypeAlias = NDArray[Any]
Regime: TypeAlias = Literal["imitation", "mixed", "heterogeneous", "random", "insufficient"]
REGIMES: tuple[Regime, ...] = ("imitation", "mixed", "heterogeneous", "random", "insufficient")


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


def play(
    world: World,
    quality: Array,
    late: Array,
    cut: Array,
    rng: np.random.Generator,
    noise: float,
    bias: Array | float = 0.0,
) -> dict[str, Array]:
    """Episodes as columns in the order of episode and step.

    quality: (n,) probability of following the guide.   late: (n,) begins at the second stage.
    cut: (n,) the recording ends when the first stage is done.   noise: on the guide's continuous actions.
    bias: (n, 1) on them, for the length of an episode: several policies, each wrong in its own way.
    """
    n = len(quality)
    state, alive, rows = world.begin(n, late, rng), np.ones(n, np.bool_), list[dict[str, Array]]()
    for step in range(world.horizon):
        follow = rng.random(n) < quality
        action = world.guide(state, rng)
        if not world.actions:
            action = np.clip(action + bias + noise * rng.standard_normal(action.shape), -1, 1)
        action = np.where(follow if world.actions else follow[:, None], action, world.chance(n, rng))
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


def make(world: World, regime: Regime, seed: int) -> Dataset:
    """One log of a regime. Size, share of good episodes, noise and presence of rewards vary by seed."""
    rng = np.random.default_rng([seed, REGIMES.index(regime), sum(map(ord, world.name))])
    kind, few = regime, regime == "insufficient"
    if few:
        kind = world.regimes[rng.integers(len(world.regimes) - 1)]
    n = 4000
    late, cut = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    quality = np.full(n, rng.uniform(0.85, 1.0))
    bias = np.zeros((n, 1))
    if kind == "mixed" and not world.actions and rng.random() < 0.3:
        bias = rng.choice([-1.0, 0.0, 1.0], (n, 1)) * rng.uniform(0.4, 0.9)
    elif kind == "mixed":
        good = rng.random(n) < rng.uniform(0.1, 0.5)
        poor = rng.uniform(0, rng.uniform(0.05, 0.6), n)
        quality = np.where(good, quality, poor) if rng.random() < 0.6 else rng.random(n) ** rng.uniform(1, 3)
    elif kind == "random":
        quality[:] = rng.uniform(0, 0.08)
    elif kind == "heterogeneous":
        late = rng.random(n) < rng.uniform(0.3, 0.7)
        cut, quality[:] = ~late, rng.uniform(0.6, 0.95)
    columns = play(world, quality, late, cut, rng, rng.uniform(0.05, 0.9), bias)
    rows = np.exp(rng.uniform(*np.log((20, 300) if few else (1_000, 9_000))))
    columns = _first(columns, int(rows))
    if few and rng.random() < 0.5:
        kept = columns["episode"] < rng.integers(1, 4)
        columns = {name: column[kept] for name, column in columns.items()}
    rewarded = kind == "mixed" or rng.random() > 0.15
    return _dataset(world, columns, rewarded, scale=float(10 ** rng.uniform(-2, 2)))


def _first(columns: dict[str, Array], rows: int) -> dict[str, Array]:
    last = columns["episode"][min(rows, len(columns["episode"])) - 1]
    return {name: column[columns["episode"] <= last] for name, column in columns.items()}


def _dataset(world: World, columns: dict[str, Array], rewarded: bool, scale: float) -> Dataset:
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


MOVES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])


def walls_of(text: str) -> Array:
    """Rows of '#' and '.' as a mask of free squares, (columns, rows)."""
    return np.array([[mark != "#" for mark in row] for row in text.split()]).T


def distances(free: Array, goal: tuple[int, int]) -> Array:
    """Steps from each free square to the goal; a large number elsewhere."""
    far = np.full(free.shape, 10_000)
    far[goal], edge = 0, [goal]
    while edge:
        x, y = edge.pop(0)
        for dx, dy in MOVES:
            there = (x + dx, y + dy)
            if (0 <= there[0] < free.shape[0] and 0 <= there[1] < free.shape[1]
                    and free[there] and far[there] == 10_000):  # fmt: skip
                far[there] = far[x, y] + 1
                edge.append(there)
    return far


ROOMS = walls_of("...#... ....... ...#... #.###.# ...#... ....... ...#...")
DOORS = walls_of("....#.... ......... ....#.... ....#.... ....#.... ....#.... ....#.... ......... ....#....")
LOOPS = walls_of("........ .##.##.. .#...#.. ...#...# .#.#.#.. .#...##. ........ .##.##..")


def grid(
    free: Array, start: tuple[int, int], goal: tuple[int, int], *, slip: float, cost: float, name: str
) -> World:
    """A grid with walls: four moves that slip sometimes; 1 at the goal, or a cost a step until there."""
    far = distances(free, goal)
    squares = np.argwhere(free & (far < 10_000))
    middle = far[start] * 0.55
    near = squares[(far[tuple(squares.T)] < middle) & (far[tuple(squares.T)] > 0)]

    def moved(state: Array, action: Array) -> Array:
        there = state + MOVES[action]
        inside = ((there >= 0) & (there < free.shape)).all(1)
        there = np.where(inside[:, None], there, state)
        return np.where(free[tuple(there.T)][:, None], there, state)

    def begin(n: int, late: Array, rng: np.random.Generator) -> Array:
        return np.where(late[:, None], near[rng.integers(len(near), size=n)], np.array(start))

    def guide(state: Array, rng: np.random.Generator) -> Array:
        after = np.stack([far[tuple(moved(state, np.full(len(state), a)).T)] for a in range(4)], axis=1)
        return (after + 0.5 * rng.random(after.shape)).argmin(1)

    def step(state: Array, action: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        there = moved(
            state, np.where(rng.random(len(state)) < slip, rng.integers(4, size=len(state)), action)
        )
        ended = far[tuple(there.T)] == 0
        return there, ended - cost, ended

    return World(name=name, horizon=60, actions=4, size=1, begin=begin, guide=guide, step=step,
                 staged=lambda state: far[tuple(state.T)] < 0.5 * far[start])  # fmt: skip


def point_maze(
    free: Array, start: tuple[int, int], goal: tuple[int, int], *, name: str, cost: float
) -> World:
    """A point that walks through a maze of unit squares; an action moves it by up to 0.4 along each axis."""
    far = distances(free, goal)

    def square(state: Array) -> tuple[Array, Array]:
        cell = np.clip(np.floor(state).astype(int), 0, np.array(free.shape) - 1)
        return cell[:, 0], cell[:, 1]

    near = np.argwhere((far < 0.55 * far[start]) & (far > 0))

    def begin(n: int, late: Array, rng: np.random.Generator) -> Array:
        corner = np.where(late[:, None], near[rng.integers(len(near), size=n)], np.array(start))
        return corner + rng.uniform(0.2, 0.8, (n, 2))

    def guide(state: Array, rng: np.random.Generator) -> Array:
        x, y = square(state)
        options = np.stack([
            np.where(
                ((x + dx >= 0) & (x + dx < free.shape[0]) & (y + dy >= 0) & (y + dy < free.shape[1])),
                far[np.clip(x + dx, 0, free.shape[0] - 1), np.clip(y + dy, 0, free.shape[1] - 1)], 10_000)
            for dx, dy in MOVES
        ], axis=1)  # fmt: skip
        target = np.stack([x, y], axis=1) + MOVES[options.argmin(1)] + 0.5
        return np.clip((target - state) / 0.4, -1, 1)

    def step(state: Array, action: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        for axis in (0, 1):
            tried = state.copy()
            tried[:, axis] += 0.4 * action[:, axis] + 0.02 * rng.standard_normal(len(state))
            inside = ((tried >= 0) & (tried < free.shape)).all(1)
            state = np.where((inside & free[square(tried)])[:, None], tried, state)
        ended = far[square(state)] == 0
        return state, ended - cost, ended

    return World(name=name, horizon=120, actions=0, size=2, begin=begin, guide=guide, step=step,
                 staged=lambda state: far[square(state)] < 0.5 * far[start])  # fmt: skip


def swing_up(*, name: str) -> World:
    """A pendulum with a weak motor: pump energy, then balance. Pays near the top; nothing ends."""

    def angle(state: Array) -> Array:
        return np.asarray((state[:, 0] + np.pi) % (2 * np.pi) - np.pi)

    def begin(n: int, late: Array, rng: np.random.Generator) -> Array:
        hanging = np.stack([np.pi + 0.2 * rng.standard_normal(n), 0.3 * rng.standard_normal(n)], axis=1)
        side = np.where(rng.random(n) < 0.5, 1.0, -1.0)
        tilt = 1.2 + 0.1 * rng.standard_normal(n)
        rising = np.stack([side * tilt, -side * np.sqrt(19.6 * (1 - np.cos(tilt)))], axis=1)
        return np.where(late[:, None], rising, hanging)

    def guide(state: Array, rng: np.random.Generator) -> Array:
        tilt, speed = angle(state), state[:, 1]
        missing = 9.8 * (1 - np.cos(tilt)) - 0.5 * speed**2
        pump = np.sign(speed + 1e-3) * np.clip(missing, -1, 1)
        return np.clip(np.where(np.abs(tilt) < 0.5, -(4 * tilt + 1.2 * speed), pump), -1, 1)[:, None]

    def step(state: Array, action: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        speed = state[:, 1] + 0.08 * (9.8 * np.sin(state[:, 0]) + 3.5 * action[:, 0])
        after = np.stack([state[:, 0] + 0.08 * speed, np.clip(speed, -8, 8)], axis=1)
        return after, np.exp(-((angle(after) / 0.5) ** 2)), np.zeros(len(state), np.bool_)

    def observe(state: Array) -> Array:
        return np.stack([np.cos(state[:, 0]), np.sin(state[:, 0]), state[:, 1]], axis=1)

    return World(name=name, horizon=150, actions=0, size=1, begin=begin, guide=guide, step=step,
                 observe=observe, staged=lambda state: np.abs(angle(state)) < 1.0)  # fmt: skip


def carts(*, axes: int, name: str) -> World:
    """Masses on rails that are to be brought to the origin and held there; pays minus the distance."""

    def begin(n: int, late: Array, rng: np.random.Generator) -> Array:
        reach = np.where(late, 1.1, 2.0)[:, None]
        place = reach * (1 + 0.1 * rng.standard_normal((n, axes)))
        return np.concatenate([place, 0.1 * rng.standard_normal((n, axes))], axis=1)

    def guide(state: Array, rng: np.random.Generator) -> Array:
        return np.clip(-(1.5 * state[:, :axes] + 1.8 * state[:, axes:]), -1, 1)

    def step(state: Array, action: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        speed = state[:, axes:] + 0.1 * (1.5 * action - 0.2 * state[:, axes:])
        speed = speed + 0.01 * rng.standard_normal(speed.shape)
        place = np.clip(state[:, :axes] + 0.1 * speed, -4, 4)
        reward = -np.abs(place).mean(1)
        return np.concatenate([place, speed], axis=1), reward, np.zeros(len(state), np.bool_)

    return World(name=name, horizon=100, actions=0, size=axes, begin=begin, guide=guide, step=step,
                 staged=lambda state: np.abs(state[:, :axes]).mean(1) < 1.0)  # fmt: skip


def machine(*, name: str, states: int = 24) -> World:
    """A machine that wears out by chance: run it hard, gently, or mend it; worn machines break.

    It has no stages: there is nothing to stitch.
    """
    worn = states // 2

    def begin(n: int, late: Array, rng: np.random.Generator) -> Array:
        return rng.integers(3, size=n)[:, None]

    def guide(state: Array, rng: np.random.Generator) -> Array:
        wear = state[:, 0]
        return np.where(wear < worn, 0, np.where(wear < worn + 3, 2, 1))

    def step(state: Array, action: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        wear, n = state[:, 0], len(state)
        faster = np.array([1.3, 0.5, 0.0, 2.5])[action]
        after = wear + rng.poisson(faster)
        after = np.where(action == 2, np.maximum(wear - 6 - rng.integers(3, size=n), 0), after)
        ended = after >= states
        pay = np.array([1.0, 0.45, -0.5, 0.9])[action] - 8.0 * ended
        return np.minimum(after, states - 1)[:, None], pay, ended

    return World(name=name, horizon=80, actions=4, size=1, begin=begin, guide=guide, step=step)


def key_and_door(*, name: str, length: int = 7) -> World:
    """Fetch the key in one corner of a room, then open the door in another. Late episodes hold the key."""
    key, door, start = (
        np.array([length - 1, 0]),
        np.array([length - 1, length - 1]),
        np.array([0, length // 2]),
    )

    def begin(n: int, late: Array, rng: np.random.Generator) -> Array:
        place = np.where(late[:, None], key + rng.integers(0, 2, (n, 2)) * np.array([-1, 1]), start)
        return np.concatenate([place, late[:, None].astype(int)], axis=1)

    def guide(state: Array, rng: np.random.Generator) -> Array:
        target = np.where(state[:, 2:] > 0, door, key)
        gap = target - state[:, :2]
        along = np.where(gap[:, 0] == 0, 1, np.where(gap[:, 1] == 0, 0, rng.integers(2, size=len(state))))
        sign = gap[np.arange(len(state)), along] < 0
        return np.where(along == 0, 0, 2) + sign

    def step(state: Array, action: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        place = np.clip(state[:, :2] + MOVES[action], 0, length - 1)
        holds = (state[:, 2] > 0) | (place == key).all(1)
        ended = holds & (place == door).all(1)
        return np.concatenate([place, holds[:, None].astype(int)], axis=1), ended.astype(float), ended

    return World(name=name, horizon=70, actions=4, size=1, begin=begin, guide=guide, step=step,
                 staged=lambda state: state[:, 2] > 0)  # fmt: skip


FAMILIES: dict[str, tuple[World, ...]] = {
    "grid": (
        grid(ROOMS, (0, 0), (6, 6), slip=0.1, cost=0.0, name="rooms"),
        grid(DOORS, (0, 2), (8, 6), slip=0.0, cost=0.0, name="doors"),
        grid(LOOPS, (0, 0), (7, 6), slip=0.2, cost=0.05, name="loops"),
    ),
    "point-maze": (
        point_maze(ROOMS, (0, 0), (6, 6), name="point-rooms", cost=0.0),
        point_maze(LOOPS, (0, 0), (7, 6), name="point-loops", cost=0.02),
    ),
    "swing-up": (swing_up(name="swing-up"),),
    "carts": tuple(
        carts(axes=axes, name=name) for axes, name in ((1, "cart"), (3, "three-carts"), (8, "eight-carts"))
    ),
    "machine": (machine(name="machine"),),
    "key-and-door": (key_and_door(name="key-and-door"),),
}  # fmt: skip
