"""The bin, the hand and the objects in MuJoCo. Nothing is held but by friction.

What is simplified: there is no arm, the hand is drawn to where it is commanded; rolling is damped; what lies
still is not simulated until something touches it (MuJoCo's sleep).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from suture.envs import gripper
from suture.envs.grasp.objects import Thing
from suture.spaces import Array

REACH = gripper.Reach(displacement=0.07, turn=0.6)
"""The farthest that one action moves."""
BREADTH = 0.02
"""Half of a finger's, along the hand's y (metres): how far beside an object's middle it may close."""
HALF, WALL, THIN, SLOPE = 0.13, 0.035, 0.003, 0.4
"""Half the floor's side, half the walls' height along their slope and thickness (m), their lean (radians)."""
LOW, HIGH = np.array([-0.12, -0.12, 0.016]), np.array([0.12, 0.12, 0.22])
"""Where the hand may be; at the lowest, finger-tips are 2 mm above the floor."""
START = np.array([[-0.06, -0.06, 0.16], [0.06, 0.06, 0.20]])
FOLLOW = '<weld name="follow" body1="target" body2="hand" solref=".02 1" solimp=".2 .2 .001"/>'
"""Draws the hand to its target weakly: what is in the way stops it, or is pushed with some 30 N at most."""
AWAY = np.array([0.0, 0.0, 0.6])
LIFTED = 0.12
"""Height (metres) of its centre of mass above which an object counts as lifted."""
TIME_STEP, MOVING, CLOSING = 0.004, 40, 50
"""Seconds of a substep, and substeps of a motion and of closing the fingers."""
RAMP = 5
"""Substeps after which the target moves on."""
DROP, APART = 0.05, 0.05
"""Objects fall into the bin from here (metres), each from that much higher than the one before."""
QUIET, PATIENCE, TRIES = 0.02, 12, 10
"""Speed (m/s) below which the bin is settled; tenths of seconds to wait for it; drops before giving up."""


def mjcf(things: Sequence[Thing]) -> str:
    """The scene's text."""
    lean, up = WALL * np.sin(SLOPE), WALL * np.cos(SLOPE)
    out, long = HALF + lean, HALF + 2 * lean
    walls = "".join(
        f'<geom class="bin" type="box" rgba=".58 .60 .63 1" pos="{u * out} {v * out} {up}"'
        f' size="{THIN if u else long} {THIN if v else long} {WALL}" euler="{-v * SLOPE} {u * SLOPE} 0"/>'
        for u, v in ((1, 0), (-1, 0), (0, 1), (0, -1))
    )
    return f"""
<mujoco model="grasp">
  <compiler angle="radian"/>
  <option timestep="{TIME_STEP}" integrator="implicitfast" iterations="10" ls_iterations="10" impratio="5">
    <flag sleep="enable"/>
  </option>
  <default>
    <geom contype="2" conaffinity="1" condim="4" friction=".6 .01 .001" solref=".01 1" solimp=".95 .99 .001"/>
    <default class="bin"><geom contype="1" conaffinity="1" condim="3"/></default>
    <default class="thing">
      <joint damping=".0005"/>
      <geom contype="1" conaffinity="1" condim="4"/>
    </default>
  </default>
  <worldbody>
    <geom class="bin" type="plane" size="1 1 .1" rgba=".80 .78 .74 1"/>
    {walls}
    {gripper.bodies(damping=40.0, mass=0.3, breadth=BREADTH)}
    {"".join(thing.xml(f"thing{number}") for number, thing in enumerate(things))}
  </worldbody>
  <equality>{FOLLOW}</equality>
  <actuator>{gripper.actuators(stiffness=1000.0, force=8.0)}</actuator>
</mujoco>
"""


class Scene:
    """One bin at a time: `fill` makes it, `act` moves the hand. Lengths in metres."""

    model: Any
    data: Any
    hand: gripper.Hand

    def __init__(self) -> None:
        import mujoco

        self._engine: Any = mujoco
        self.things: Sequence[Thing] = ()

    def fill(self, things: Sequence[Thing], generator: np.random.Generator) -> None:
        """Drop objects into the bin, wait until they lie still, and set the open hand above them.

        Raises RuntimeError where an object is outside the bin after every try.
        """
        self.things = things
        self.model = self._engine.MjModel.from_xml_string(mjcf(things))
        self.data = self._engine.MjData(self.model)
        self.hand = gripper.Hand(self.model, self.data, leash=0.03)
        first = int(self.model.body("thing0").id)
        self.bodies = slice(first, first + len(things))
        for _ in range(TRIES):
            self._drop(generator)
            if self._inside():
                yaw = float(generator.uniform(-np.pi / 2, np.pi / 2))
                self.hand.place(generator.uniform(*START), yaw, opening=gripper.OPEN, closed=False)
                self.refresh()
                return
        raise RuntimeError(f"{len(things)} objects do not stay in the bin in {TRIES} tries.")

    @property
    def places(self) -> Array:
        """The objects' centres of mass, (n, 3)."""
        return self.data.xipos[self.bodies]

    @property
    def lifted(self) -> Array:
        """Which objects are lifted, (n,)."""
        return self.places[:, 2] > LIFTED

    def act(self, command: gripper.Command) -> None:
        """Carry out one action: close first, then move. The displacement is along the hand's own axes."""
        hand = self.hand
        if command.grip:
            closes = command.grip > 0 and not hand.closed
            hand.closed = command.grip > 0
            hand.squeeze(0.0 if hand.closed else gripper.OPEN)
            if closes:
                self._engine.mj_step(self.model, self.data, nstep=CLOSING)
        cosine, sine = np.cos(hand.yaw), np.sin(hand.yaw)
        x, y, z = command.displacement.tolist()
        here, yaw = hand.position.copy(), hand.yaw
        there = np.clip(here + np.array([cosine * x - sine * y, sine * x + cosine * y, z]), LOW, HIGH)
        ramp = MOVING - 2 * RAMP
        for passed in range(RAMP, MOVING + RAMP, RAMP):
            share = min(passed / ramp, 1.0)
            hand.aim(here + share * (there - here), yaw + share * command.turn)
            self._engine.mj_step(self.model, self.data, nstep=RAMP)
        self.refresh()

    def refresh(self) -> None:
        """Bring bodies to where the joints are: after a step they are a substep behind."""
        self._engine.mj_kinematics(self.model, self.data)

    def _drop(self, generator: np.random.Generator) -> None:
        """Let everything fall from new places, the hand out of the way, and wait."""
        self._engine.mj_resetData(self.model, self.data)
        self.hand.place(AWAY, 0.0, opening=gripper.OPEN, closed=False)
        free = self.data.qpos[6:].reshape(-1, 7)
        free[:, :2] = generator.uniform(-0.09, 0.09, (len(free), 2))
        free[:, 2] = DROP + APART * np.arange(len(free))
        free[:, 3:] = generator.standard_normal((len(free), 4))
        for _ in range(PATIENCE):
            self._engine.mj_step(self.model, self.data, nstep=25)
            if np.abs(self.data.qvel[6:].reshape(-1, 6)[:, :3]).max() < QUIET:
                break
        self.refresh()

    def _inside(self) -> bool:
        return bool((np.abs(self.places[:, :2]) < HALF + 0.02).all() and (self.places[:, 2] > 0.0).all())
