"""Scripted grasps, as sloppy as their habit says.

A script sees where everything is. It chooses an object that fingers can get around, goes over it, down,
closes, lifts, and terminates. It aims beside its goal, slips, and after a miss gives up or tries again.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from suture.envs import gripper
from suture.envs.grasp.scene import BREADTH, HALF, LIFTED, LOW, REACH, Scene
from suture.spaces import Array

TRAVEL, NEAR, LEVEL, FACING = 0.085, 0.012, 0.012, 0.12
"""Height at which the hand travels; how near (metres, metres, radians) it must be to go down, or to close."""
STUCK = 0.005
"""Metres of a way down below which something is under the fingers: then they close where they are."""
TURNS = np.pi * np.arange(12) / 12
"""Yaws of the hand that are considered; a half-turn gives the same fingers."""
AXES = np.stack(
    [[np.cos(TURNS), np.sin(TURNS), 0 * TURNS], [-np.sin(TURNS), np.cos(TURNS), 0 * TURNS]], axis=1
).transpose(2, 1, 0)
"""The hand's x and y axes at each yaw, (12, 2, 3)."""
THICK = 2 * gripper.FINGER
"""A finger's thickness along the hand's x."""
SPHERE, CAPSULE, ELLIPSOID, CYLINDER = 2, 3, 4, 5
"""MuJoCo's numbers of geom types; the rest are boxes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Habit:
    """How a script errs.   aim, turn: standard deviation of place (metres) and yaw (radians) where it closes.

    action: standard deviation of the noise on an action's numbers.   random: chance that an action is random.
    retry: chance that it tries again after a miss.   waver: chance, at each step, that it aims anew.
    doubt: chance that it goes up and aims anew, rather than close, where something is under the fingers.
    stubborn: chance, at each step, that it pushes on there. Without it, no log shows that this leads nowhere.
    low: chance, at each step, that it goes sideways without rising, and presses down. Without it, a low hand
        that is beside its goal is not seen to gain nothing by that.
    haste: chance that it terminates as soon as the hand is high enough, whether or not an object is. Without
        it, a log in which a script never does so where it fails says that it never fails.
    uneven: the share by which it may lift less than it wants to.
    """

    aim: float = 0.0
    turn: float = 0.0
    action: float = 0.0
    random: float = 0.0
    retry: float = 1.0
    waver: float = 0.0
    doubt: float = 0.0
    stubborn: float = 0.0
    low: float = 0.0
    haste: float = 0.0
    uneven: float = 0.0


EXACT = Habit()


def _scripted(generator: np.random.Generator) -> Habit:
    worse = float(generator.random())
    return Habit(
        aim=0.007 + 0.036 * worse,
        turn=0.1 + 0.5 * worse,
        action=0.05 + 0.15 * worse,
        random=0.08,
        retry=0.3,
        waver=0.2,
        doubt=0.5,
        stubborn=0.7,
        low=0.6,
        haste=0.3,
        uneven=0.6,
    )


BEHAVIOURS: Mapping[str, Callable[[np.random.Generator], Habit]] = {
    "exact": lambda _: EXACT,
    "scripted": _scripted,
    "epsilon": lambda generator: Habit(random=float(generator.uniform(0.1, 0.6))),
    "random": lambda _: Habit(random=1.0),
}
"""Who acts in an episode: its habit is drawn when it begins."""


def extents(scene: Scene) -> tuple[Array, Array]:
    """From where to where each object reaches along the hand's axes at each yaw: two arrays (n, 12, 2)."""
    model, data = scene.model, scene.data
    first = model.body_geomadr[scene.bodies]
    geoms = slice(int(first[0]), model.ngeom)
    turned = np.einsum("tak,gkl->gtal", AXES, data.geom_xmat[geoms].reshape(-1, 3, 3))
    size = model.geom_size[geoms][:, None, None]
    kind, one, along = model.geom_type[geoms][:, None, None], size[..., 0], np.abs(turned[..., 2])
    long = size[..., 1] * along
    disc = one * np.sqrt(np.clip(1 - along**2, 0, 1))
    half = np.select(
        [kind == SPHERE, kind == CAPSULE, kind == ELLIPSOID, kind == CYLINDER],
        [one, one + long, np.linalg.norm(turned * size, axis=-1), disc + long],
        np.sum(np.abs(turned) * size, axis=-1),
    )
    middle, where = data.geom_xpos[geoms] @ AXES.reshape(-1, 3).T, first - first[0]
    middle = middle.reshape(half.shape)
    return np.minimum.reduceat(middle - half, where), np.maximum.reduceat(middle + half, where)


@dataclasses.dataclass(frozen=True)
class Plan:
    """A grasp.   number: of the object.   place: of the hand, (3,).   seen: where the object is now, (3,)."""

    number: int
    place: Array
    yaw: float
    seen: Array


def plan(scene: Scene) -> Plan:
    """The grasp with most room for the fingers, of an object that is narrow and near."""
    low, high = extents(scene)
    places, hand = scene.places, scene.hand
    width = high[..., 0] - low[..., 0]
    middle = np.stack([(low[..., 0] + high[..., 0]) / 2, np.einsum("nk,tk->nt", places, AXES[:, 1])], axis=-1)
    room = np.minimum(_room(low, high, middle, width / 2), 0.01)
    at = np.einsum("nta,tak->ntk", middle, AXES)
    turn = np.abs(_half_turn(TURNS - hand.yaw))
    away = np.linalg.norm(at[..., :2] - hand.position[:2], axis=-1)
    worth = 3 * room - 0.3 * width - 0.1 * away - 0.01 * turn - 10 * (width > 2 * gripper.OPEN - 0.008)
    number, which = np.unravel_index(np.argmax(worth), worth.shape)
    place = np.array([*at[number, which, :2], max(LOW[2], places[number, 2] - 0.002)])
    return Plan(int(number), place, float(TURNS[which]), places[number].copy())


def _room(low: Array, high: Array, middle: Array, half: Array) -> Array:
    """Metres between where the fingers pass and the nearest obstacle, (n, 12); below 0 they would meet."""
    others = ~np.eye(len(low), dtype=bool)
    below, above = low[None] - middle[:, None], high[None] - middle[:, None]  # (n, others, 12, 2)
    inner, outer = half[:, None], gripper.OPEN + THICK
    across = np.maximum(below[..., 1] - BREADTH, -BREADTH - above[..., 1])
    along = np.minimum(
        np.maximum(below[..., 0] - outer, inner - above[..., 0]),
        np.maximum(-outer - above[..., 0], below[..., 0] + inner),
    )
    gap = np.where(others[..., None], np.maximum(across, along), np.inf).min(axis=1)
    at = np.einsum("nta,tak->ntk", middle, AXES)[..., :2]
    reach = outer * np.abs(AXES[:, 0, :2]) + BREADTH * np.abs(AXES[:, 1, :2])
    return np.minimum(gap, (HALF - reach - np.abs(at)).min(axis=-1))


def _half_turn(angle: Any) -> Any:
    """An angle's equal in [-pi/2, pi/2) for a hand whose fingers are alike."""
    return (angle + np.pi / 2) % np.pi - np.pi / 2


class Script:
    """One episode's behaviour."""

    def __init__(self, habit: Habit, generator: np.random.Generator):
        self.habit, self.generator = habit, generator
        self._plan: Plan | None = None
        self._off, self._before = np.zeros(4), np.inf

    def act(self, scene: Scene) -> Array:
        """The next action (8,) float32."""
        generator, habit = self.generator, self.habit
        if self._does(habit.random):
            return random_action(generator)
        action = self._next(scene)
        if habit.action:
            action[:7] += habit.action * generator.normal(0.0, [1, 1, 1, 0.5, 0.5, 0.5, 0.5])
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def _next(self, scene: Scene) -> Array:
        hand, habit = scene.hand, self.habit
        height = float(hand.position[2])
        if hand.closed:
            if height > LIFTED and (scene.lifted.any() or self._does(habit.haste)):
                return _write(np.zeros(3), last=True)
            if hand.opening < 0.003 or height > LIFTED + 0.03:
                if self.generator.random() >= habit.retry:
                    return _write(np.zeros(3), last=True)
                self._plan = None
                return _write(np.array([0.0, 0.0, 0.03]), grip=-1)
            return self._lift(LIFTED + 0.04 - height)
        goal = self._goal(scene)
        move, turn = hand.local(goal.place), float(_half_turn(goal.yaw - hand.yaw))
        near, facing = NEAR + REACH.displacement * habit.action, FACING + REACH.turn * habit.action
        if np.hypot(move[0], move[1]) > near or abs(turn) > facing:
            down = self._does(habit.low)
            self._before = np.inf
            move[2] = -REACH.displacement * self.generator.random() if down else TRAVEL - height
            return _write(move, turn=turn)
        stuck = height >= self._before - STUCK
        if move[2] < -LEVEL and (not stuck or self._does(habit.stubborn)):
            self._before = height
            return _write(move, turn=turn)
        self._before = np.inf
        if move[2] < -LEVEL and self._does(habit.doubt):
            self._plan = None
            return _write(np.array([0.0, 0.0, TRAVEL - height]))
        return self._lift(REACH.displacement, grip=1)

    def _lift(self, wanted: float, *, grip: int = 0) -> Array:
        less = self.habit.uneven and self.habit.uneven * self.generator.random()
        return _write(np.array([0.0, 0.0, wanted * (1 - less)]), grip=grip)

    def _does(self, chance: float) -> bool:
        return chance > 0 and self.generator.random() < chance

    def _goal(self, scene: Scene) -> Plan:
        """The plan, with its error; a new one where the object is no longer where it was."""
        habit, plan_ = self.habit, self._plan
        wavers = self._does(habit.waver)
        if plan_ is None or wavers or np.abs(scene.places[plan_.number] - plan_.seen).max() > 0.01:
            plan_ = self._plan = plan(scene)
            spread = np.array([habit.aim, habit.aim, 0.3 * habit.aim, habit.turn])
            self._off = spread * self.generator.standard_normal(4)
        place = np.maximum(plan_.place + self._off[:3], LOW)
        return dataclasses.replace(plan_, place=place, yaw=plan_.yaw + self._off[3])


def _write(move: Array, *, turn: float = 0.0, grip: int = 0, last: bool = False) -> Array:
    return gripper.write(move, turn, grip, REACH, last=last)


def random_action(generator: np.random.Generator) -> Array:
    """An action (8,) float32 to anywhere; of ten, two open, two close and two terminate.

    A search asks what each choice is worth everywhere, and of an open hand a script shows one alone.
    """
    move, turn = generator.uniform(-1.0, 1.0, 3), float(generator.uniform(-REACH.turn, REACH.turn))
    grip, last = [(0, False), (0, False), (-1, False), (1, False), (0, True)][int(generator.integers(5))]
    action = gripper.write(move * REACH.displacement, turn, grip, REACH, last=last)
    return action.astype(np.float32)
