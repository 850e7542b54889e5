"""Eight families of small worlds for `_logs.make`, with and without stages. Nothing is read from files."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from _logs import World
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
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


def springs(*, name: str, masses: int, pays: Callable[[Array], Array], jump: float) -> World:
    """A chain of masses on springs, each to be held at a target of its own, which is seen. Some are far off.

    pays: what the masses earn for their gaps.   jump: probability that the targets change in a step.
    """
    drawn = np.random.default_rng(masses)
    inertia, damping, ground, between = drawn.uniform((0.5, 0.2, 0.2, 0.1), (2.0, 1.0, 1.0, 0.8))
    pull = np.eye(masses) * (ground + 2 * between) - between * (np.eye(masses, k=1) + np.eye(masses, k=-1))
    force = 1.8 * (ground + 4 * between)
    parts = (slice(masses), slice(masses, 2 * masses), slice(2 * masses, None))

    def targets(n: int, rng: np.random.Generator) -> Array:
        far = rng.choice([-1.0, 1.0], (n, 1)) * rng.uniform(0.3, 1.5, (n, 1))
        return far * rng.uniform(0.7, 1.3, (n, masses))

    def gaps(state: Array) -> Array:
        return np.abs(state[:, parts[0]] - state[:, parts[2]])

    def begin(n: int, late: Array, rng: np.random.Generator) -> Array:
        target = targets(n, rng)
        place = np.where(late[:, None], 0.6 * target, 0) + 0.05 * rng.standard_normal((n, masses))
        return np.concatenate([place, 0.1 * rng.standard_normal((n, masses)), target], axis=1)

    def guide(state: Array, rng: np.random.Generator) -> Array:
        place, speed, target = (state[:, part] for part in parts)
        wanted = inertia * (4.0 * (target - place) - 4.0 * speed) + place @ pull + damping * speed
        return np.clip(wanted / force, -1, 1)

    def step(state: Array, action: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        place, speed, target = (state[:, part] for part in parts)
        speed = speed + 0.1 / inertia * (force * action - place @ pull - damping * speed)
        jumps = rng.random((len(state), 1)) < jump
        after = np.concatenate(
            [place + 0.1 * speed, speed, np.where(jumps, targets(len(state), rng), target)], axis=1
        )
        return after, pays(gaps(after)).sum(1), np.zeros(len(state), np.bool_)

    def near(state: Array) -> Array:
        return gaps(state).mean(1) < 0.45 * np.abs(state[:, parts[2]]).mean(1)

    return World(name=name, horizon=100, actions=0, size=masses, begin=begin, guide=guide, step=step,
                 staged=near)  # fmt: skip


def regulator(*, name: str, states: int, forces: int, ends: bool) -> World:
    """An unstable linear system that is to be brought to rest; it pays minus the square of the state.

    It begins anywhere, so that where an episode begins decides much of what it earns. It has no stages. The
    guide is the linear-quadratic regulator.   ends: at rest.
    """
    drawn = np.random.default_rng(states)
    moves = 1.02 * np.linalg.qr(drawn.standard_normal((states, states)))[0]
    pushes = drawn.standard_normal((states, forces)) / np.sqrt(states)
    cost = np.eye(states)
    for _ in range(1_000):
        gain = np.linalg.solve(0.1 * np.eye(forces) + pushes.T @ cost @ pushes, pushes.T @ cost @ moves)
        cost = np.eye(states) + moves.T @ cost @ (moves - pushes @ gain)

    def begin(n: int, late: Array, rng: np.random.Generator) -> Array:
        return 1.5 * rng.standard_normal((n, states))

    def guide(state: Array, rng: np.random.Generator) -> Array:
        return np.clip(-state @ gain.T, -1, 1)

    def step(state: Array, action: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        after = state @ moves.T + action @ pushes.T + 0.02 * rng.standard_normal(state.shape)
        after = np.clip(after, -4, 4)
        size = np.square(after).mean(1)
        return after, -size, ends & (size < 0.04)

    return World(name=name, horizon=60, actions=0, size=forces, begin=begin, guide=guide, step=step)


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
    "springs": (
        springs(masses=1, pays=lambda gap: -np.sqrt(gap), jump=0.02, name="mass-on-spring"),
        springs(masses=2, pays=lambda gap: np.exp(-np.square(gap / 0.3)), jump=0.0, name="two-on-springs"),
        springs(masses=3, pays=lambda gap: -np.log(gap + 0.05), jump=0.02, name="three-on-springs"),
        springs(masses=8, pays=lambda gap: -np.sqrt(gap), jump=0.0, name="eight-on-springs"),
    ),
    "regulators": (
        regulator(name="four-states", states=4, forces=2, ends=True),
        regulator(name="twelve-states", states=12, forces=4, ends=False),
        regulator(name="twenty-states", states=20, forces=6, ends=False),
        regulator(name="eight-states", states=8, forces=3, ends=True),
    ),
}  # fmt: skip
