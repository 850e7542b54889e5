"""A parallel gripper that follows a target, and the eight numbers that command it.

The hand slides along x, y and z and turns about the vertical; a weld draws it to a mocap body, the target,
so that no arm has to be solved for. Environments build their scene's text from the parts below, and move
the hand with `Hand`. Actions are QT-Opt's (arXiv:1806.10293): where to, how to turn, open, close, and one
number more, which QT-Opt reads as "terminate" and COG (arXiv:2010.14500) as "return to neutral".
"""

import dataclasses
import math
from typing import Any

import numpy as np

from suture.spaces import Array

ACTIONS = ("x", "y", "z", "sine", "cosine", "open", "close", "last")
"""What each of the eight numbers, all in [-1, 1], means."""
OPEN, FINGER = 0.04, 0.006
"""Half the distance between open fingers, and half a finger's thickness, in metres."""
PALM_GROUP = 2
"""Geom group of what stands above the fingers: a camera on the hand hides it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reach:
    """The farthest that one action moves: displacement in metres along each axis, turn in radians."""

    displacement: float = 0.08
    turn: float = 0.6


@dataclasses.dataclass(frozen=True)
class Command:
    """An action, read.   displacement: (3,) metres.   turn: radians.   grip: 1 close, -1 open, 0 as it is."""

    displacement: Array
    turn: float
    grip: int
    last: bool


def read(action: Array, reach: Reach) -> Command:
    """What an action (8,) commands; numbers outside [-1, 1] are clipped.

    The turn is the angle of (cosine, sine). The greater of open and close counts if it is above 0, so that
    the grip has three choices; `last` is set above 0.
    """
    values = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
    sine, cosine, opening, closing, last = values[3:].tolist()
    turn = min(max(math.atan2(sine, cosine), -reach.turn), reach.turn)
    grip = 0 if max(opening, closing) <= 0 else 1 if closing > opening else -1
    return Command(reach.displacement * values[:3], turn, grip, last > 0)


def write(displacement: Array, turn: float, grip: int, reach: Reach, *, last: bool = False) -> Array:
    """The action (8,) float64 that `read` reads so: the inverse, as far as the action reaches."""
    turn = min(max(turn, -reach.turn), reach.turn)
    pressed = 0.8
    return np.array(
        [
            *np.clip(displacement / reach.displacement, -1.0, 1.0),
            math.sin(turn), math.cos(turn),
            pressed if grip < 0 else -pressed, pressed if grip > 0 else -pressed,
            pressed if last else -pressed,
        ]
    )  # fmt: skip


def bodies(*, damping: float = 6.0, mass: float = 1.0, breadth: float = 0.01) -> str:
    """The hand at the origin, which is the point between its finger-tips, and the target that it follows.

    damping: of the fingers, in N s/m.   mass: of the hand without its fingers, in kg.   breadth: half of a
    finger's, along y, in metres.
    `bumper` touches nothing but what a scene pairs it with.
    """
    return f"""
<body name="target" mocap="true"/>
<body name="hand" gravcomp="1">
  <joint name="hand_x" type="slide" axis="1 0 0"/>
  <joint name="hand_y" type="slide" axis="0 1 0"/>
  <joint name="hand_z" type="slide" axis="0 0 1"/>
  <joint name="hand_yaw" type="hinge" axis="0 0 1"/>
  <inertial pos="0 0 .05" mass="{mass:g}" diaginertia=".002 .002 .002"/>
  <geom name="palm" type="box" size=".055 .016 .012" pos="0 0 .062" rgba=".25 .27 .32 1" mass="0"
        group="{PALM_GROUP}"/>
  <geom name="wrist" type="cylinder" size=".014 .03" pos="0 0 .1" rgba=".35 .37 .42 1" mass="0"
        group="{PALM_GROUP}"/>
  <geom name="bumper" type="sphere" size=".02" rgba="0 0 0 0" mass="0" group="4"
        contype="0" conaffinity="0"/>
  <body name="left" gravcomp="1">
    <joint name="left" type="slide" axis="-1 0 0" range="0 {OPEN}" damping="{damping:g}"/>
    <geom type="box" size="{FINGER} {breadth:g} .032" pos="-{FINGER} 0 .018" rgba=".15 .35 .75 1" mass=".05"/>
  </body>
  <body name="right" gravcomp="1">
    <joint name="right" type="slide" axis="1 0 0" range="0 {OPEN}" damping="{damping:g}"/>
    <geom type="box" size="{FINGER} {breadth:g} .032" pos="{FINGER} 0 .018" rgba=".15 .35 .75 1" mass=".05"/>
  </body>
</body>
"""


EQUALITY = '<weld name="follow" body1="target" body2="hand" solref=".02 1"/>'


def actuators(*, stiffness: float = 120.0, force: float = 1e3) -> str:
    """What drives the fingers.   stiffness: N/m.   force: of a finger at most, in N."""
    same = f'kp="{stiffness:g}" ctrlrange="0 1" forcerange="-{force:g} {force:g}"'
    return f'<position name="left" joint="left" {same}/><position name="right" joint="right" {same}/>'


class Hand:
    """The gripper of one model: where it is, and how it is moved.   leash: metres between target and hand."""

    def __init__(self, model: Any, data: Any, *, leash: float = 0.1):
        self.data, self.leash = data, leash
        first, left = model.joint("hand_x"), model.joint("left")
        self._at = int(first.qposadr[0])
        self._finger = int(left.qposadr[0])
        self._mocap = int(model.body("target").mocapid[0])
        self._fingers = [int(model.actuator(name).id) for name in ("left", "right")]
        self.body = int(model.body("hand").id)
        self.closed = False

    @property
    def position(self) -> Array:
        """The point between the finger-tips, (3,), a view."""
        return self.data.qpos[self._at : self._at + 3]

    @property
    def yaw(self) -> float:
        return float(self.data.qpos[self._at + 3])

    @property
    def opening(self) -> float:
        """Half the distance between the fingers, in metres."""
        return float(self.data.qpos[self._finger])

    @property
    def target(self) -> Array:
        """Where the hand is drawn to, (3,)."""
        return self.data.mocap_pos[self._mocap]

    def place(self, position: Array, yaw: float, *, opening: float, closed: bool) -> None:
        """Put the hand somewhere at rest."""
        at, finger = self._at, self._finger
        self.data.qpos[at : at + 3], self.data.qpos[at + 3] = position, yaw
        self.data.qpos[finger : finger + 2] = opening
        self.closed = closed
        self.aim(position, yaw)
        self.squeeze(opening)

    def aim(self, position: Array, yaw: float) -> None:
        """Move the target; it stays on its leash, so that a hand that is held up does not wind it away."""
        here = self.position
        self.data.mocap_pos[self._mocap] = here + np.clip(position - here, -self.leash, self.leash)
        self.data.mocap_quat[self._mocap] = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))

    def squeeze(self, opening: float) -> None:
        """Drive the fingers towards half an opening."""
        self.data.ctrl[self._fingers] = opening

    def local(self, point: Array) -> Array:
        """A point of the world in the hand's frame, (3,)."""
        x, y, z = (point - self.position).tolist()
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([cosine * x + sine * y, cosine * y - sine * x, z])
