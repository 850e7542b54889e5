"""Scripted behaviour for each of the five steps, as sloppy as its habit says.

A script looks at the scene and says what to do next. It aims beside its goal, makes detours, slips, and
gives up after a miss or tries again. It never repairs what an earlier step should have done.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from suture.envs import gripper
from suture.envs.composite import starts
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.env import REACH
from suture.envs.composite.scene import WALL, Scene
from suture.spaces import Array

CARRY, NEAR, LEVEL = 0.10, 0.02, 0.012
"""Height at which the hand travels; how near over its goal it goes down; how level it grips (metres)."""
PULL = 0.13
"""How far a script pulls the drawer."""
WELL = 0.006
"""Standard deviation of where a careful attempt aims, in metres."""
STILL, UP = np.zeros(3), np.array([0.0, 0.0, 1.0])
DRIFT = np.array([[-0.02, -0.02, -0.005], [0.02, 0.02, 0.035]])
"""Displacements, from and to, of a script that has nothing left to do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Habit:
    """How a script errs.   aim: standard deviation of where it aims, in metres, along each axis.

    careful: share of its attempts that aim well (WELL).
    action: standard deviation of the noise on an action's numbers.   slip: chance of a random displacement.
    detour: chance that it goes somewhere else first.   retry: chance that it tries again after a miss.
    """

    aim: float = 0.0
    careful: float = 1.0
    action: float = 0.0
    slip: float = 0.0
    detour: float = 0.0
    retry: float = 1.0


EXACT = Habit()


def habit(generator: np.random.Generator) -> Habit:
    """The habit of one episode: from careful to careless."""
    return Habit(
        aim=0.05, careful=float(generator.uniform(0.0, 0.8)), action=float(generator.uniform(0.05, 0.2)),
        slip=0.06, detour=0.3, retry=0.4,
    )  # fmt: skip


class Script:
    """One step's behaviour in one episode.   step: 0 (move the block) to 4 (leave).

    given_up: the script has missed and does not try again: from then on it drifts.
    """

    def __init__(self, step: int, habit: Habit, generator: np.random.Generator):
        self.step, self.habit, self.generator = step, habit, generator
        self.given_up, self._pushed = False, 0
        self._aim = self._draw()
        self._via = generator.uniform(*starts.ROOM) if generator.random() < habit.detour else None
        self._detour, self._drop = 8, np.empty(0)

    def act(self, scene: Scene) -> Array:
        """The next action (8,) float32."""
        if self.given_up or scene.stage > self.step:
            move, grip = self.generator.uniform(DRIFT[0], DRIFT[1]), self._kept(scene)
        elif self._via is not None and self._detour > 0:
            move, grip = self._away(scene, self._via), self._kept(scene)
        else:
            move, grip = WAYS[self.step](self, scene)
        return self.blur(move, -scene.hand.yaw, grip)

    def _draw(self) -> Array:
        careful = self.generator.random() < self.habit.careful
        aim = min(self.habit.aim, WELL) if careful else self.habit.aim
        return aim * self.generator.standard_normal(3) * [1.0, 1.0, 0.4]

    def _kept(self, scene: Scene) -> int:
        """The grip as it is; what an earlier step held is let go of."""
        held = scene.held
        return 1 if held == "key" or (held is not None and scene.stage <= self.step) else -1

    def _away(self, scene: Scene, via: Array) -> Array:
        self._detour -= 1
        move = via - scene.hand.position
        if np.abs(move).max() < 0.03:
            self._detour = 0
        return move

    def blur(self, move: Array, turn: float, grip: int) -> Array:
        """An action with this habit's noise, (8,) float32."""
        action = gripper.write(move, turn, grip, REACH)
        if self.habit.action or self.habit.slip:
            if self.generator.random() < self.habit.slip:
                action[:3] = self.generator.uniform(-1.0, 1.0, 3)
            spread = self.habit.action * np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5])
            action += spread * self.generator.standard_normal(len(action))
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def grasp(self, scene: Scene, place: Array) -> tuple[Array, int]:
        """Go over a thing, down, and close; open again where something else, or nothing, is held."""
        hand = scene.hand
        if hand.closed:
            if scene.held is None:
                self.miss()
            return UP * 0.02, -1
        goal = place + self._aim
        move = goal - hand.position
        if np.hypot(move[0], move[1]) > NEAR:
            return over(hand.position, goal), -1
        if abs(move[2]) > LEVEL and goal[2] > 0.0:
            return move, -1
        return STILL, 1

    def miss(self) -> None:
        """Aim anew, or give up."""
        self._aim, self._pushed = self._draw(), 0
        self.given_up = self.generator.random() >= self.habit.retry

    def move_block(self, scene: Scene) -> tuple[Array, int]:
        """Step 0: carry the block to a place beside the drawer's way."""
        if scene.held != "block":
            return self.grasp(scene, scene.block + UP * 0.008)
        if not len(self._drop):
            self._drop = self.generator.uniform(*starts.CLEAR)
        here = scene.hand.position
        if np.hypot(*(self._drop - here[:2])) > NEAR:
            return over(here, np.array([*self._drop, CARRY])), 1
        return (STILL, -1) if here[2] < 0.06 else (UP * (0.04 - here[2]), 1)

    def open_drawer(self, scene: Scene) -> tuple[Array, int]:
        """Step 1: pull the handle."""
        if scene.held != "handle":
            return self.grasp(scene, scene.handle)
        if self._pushed > 5:
            self.miss()
            return STILL, -1
        self._pushed += 1
        return (STILL, -1) if scene.pulled > PULL else (np.array([REACH.displacement, 0.0, 0.0]), 1)

    def take_key(self, scene: Scene) -> tuple[Array, int]:
        """Step 2: grip the key in the drawer and lift it."""
        if scene.held != "key":
            return self.grasp(scene, scene.key + UP * 0.012)
        return np.array([0.0, 0.0, CARRY - scene.hand.position[2]]), 1

    def unlock_door(self, scene: Scene) -> tuple[Array, int]:
        """Step 3: put the key into the lock."""
        goal = scene.lock + (scene.hand.position - scene.key) + self._aim * [1.8, 0.0, 1.8]
        return self.push(scene, goal, LEVEL), 1 if scene.held == "key" else -1

    def leave(self, scene: Scene) -> tuple[Array, int]:
        """Step 4: through the door."""
        goal = np.array([scene.door_x, WALL, 0.09]) + self._aim * [2.0, 0.0, 0.0]
        return self.push(scene, goal, 0.03), self._kept(scene)

    def push(self, scene: Scene, goal: Array, level: float) -> Array:
        """The move towards the wall at a place of it, from in front of it."""
        here = scene.hand.position
        off = goal - here
        if max(abs(off[0]), abs(off[2])) > level:
            return np.array([off[0], WALL - 0.09 - here[1], off[2]])
        self._pushed += here[1] > WALL - 0.04 and scene.hand.position[1] < WALL
        if self._pushed > 3:
            self.miss()
        return np.array([off[0], REACH.displacement, off[2]])


def over(here: Array, goal: Array) -> Array:
    """The move to over a goal: up first where there is far to go, then across."""
    move = goal - here
    move[2] = max(CARRY, goal[2]) - here[2]
    if here[2] < CARRY - 0.04 and np.hypot(move[0], move[1]) > 0.05:
        move[:2] = 0.0
    return move


WAYS: tuple[Callable[[Script, Scene], tuple[Array, int]], ...] = (
    Script.move_block, Script.open_drawer, Script.take_key, Script.unlock_door, Script.leave,
)  # fmt: skip


class Tries:
    """The door tried without the key: to the door, or the lock, and push."""

    given_up = False

    def __init__(self, habit: Habit, generator: np.random.Generator):
        self._script, self._at_lock = Script(len(STEPS) - 1, habit, generator), generator.random() < 0.3

    def act(self, scene: Scene) -> Array:
        """The next action (8,) float32."""
        script, here = self._script, scene.hand.position
        if self._at_lock:
            return script.blur(script.push(scene, scene.lock, 0.02), -scene.hand.yaw, -1)
        goal = np.array([scene.door_x, WALL, 0.09])
        move = script.push(scene, goal, 0.03) if here[1] < WALL else STILL
        return script.blur(move, -scene.hand.yaw, -1)


class Drift:
    """Undirected noise: a slow random walk of the hand, its grip and its turn."""

    given_up = False

    def __init__(self, generator: np.random.Generator):
        self.generator, self._drift, self._grip = generator, generator.uniform(-1.0, 1.0, 3), 0.0

    def act(self, scene: Scene) -> Array:
        """The next action (8,) float32."""
        generator = self.generator
        self._drift = 0.7 * self._drift + 0.6 * generator.standard_normal(3)
        if generator.random() < 0.15:
            self._grip = float(generator.choice([-0.8, 0.8]))
        turn = generator.normal(0.0, 0.3)
        last = 0.8 if generator.random() < 0.03 else -0.8
        action = [*self._drift, np.sin(turn), np.cos(turn), -self._grip, self._grip, last]
        action = np.array(action) + 0.1 * generator.standard_normal(len(action))
        return np.clip(action, -1.0, 1.0).astype(np.float32)
