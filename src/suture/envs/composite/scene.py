"""The room of the composite task in MuJoCo: a hand, a block, a drawer with a key, a lock, a door.

What is simplified, for speed and so that every failure is a policy's own: a closed hand holds what lies
between its fingers by a constraint and not by friction; the hand is kept out of walls and cabinet by where
its target may go; block and key slide and fall but do not turn; a block in the drawer's way is immovable to
the drawer; the only contact is that of the hand with the door.
"""

from typing import Any

import numpy as np

from suture.envs import gripper
from suture.envs.composite.layout import Layout
from suture.spaces import Array

FRONT, WALL = -0.20, 0.22
"""Where the closed drawer's front (x) and the wall with the door (y) stand, in metres."""
PULLED, OPENED, HANDLE = 0.15, 0.105, 0.03
"""How far the drawer opens, from where on it counts as open, and how far the handle stands out."""
HANDLE_Z, LOCK_Z, LOCK_X = 0.035, 0.08, 0.11
"""Heights of handle and lock, and how far the lock is to the right of the doorway's middle."""
BLOCK, KEY_TIP, KEY_Z = 0.025, 0.03, 0.01
"""Half the block's side; from the key's middle to its tip; the key's height in the drawer."""
LIFTED = 0.02
"""How far the key is lifted before it counts as taken."""
IN_DRAWER = -0.105
"""The key's x, from the drawer's front: about as far as a drawer opens that counts as open."""
SPRING = 6.0
"""Force (N) that draws the drawer wholly shut before `OPENED`, and wholly open beyond it."""
BESIDE, GAP = 0.075, 0.01
"""Half the drawer's width with room for a block (y); how near to a block its handle comes."""
SUBSTEPS = 5

MJCF = f"""
<mujoco model="composite">
  <compiler angle="radian"/>
  <option timestep=".01" integrator="implicitfast" iterations="8" ls_iterations="6"/>
  <default>
    <geom contype="0" conaffinity="0"/>
    <default class="loose">
      <joint type="slide" frictionloss=".6" damping=".5"/>
    </default>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 .1" rgba=".80 .78 .74 1"/>
    <geom name="cabinet" type="box" size=".075 .21 .03" pos="{FRONT - 0.075} -.02 .03" rgba=".55 .40 .28 1"/>
    {gripper.bodies()}
    <body name="block">
      <joint name="block_x" class="loose" axis="1 0 0"/>
      <joint name="block_y" class="loose" axis="0 1 0"/>
      <joint name="block_z" type="slide" axis="0 0 1" range="{BLOCK} 1" damping=".5"/>
      <geom type="box" size="{BLOCK} {BLOCK} {BLOCK}" rgba=".80 .18 .15 1" mass=".1"/>
    </body>
    <body name="drawer" pos="{FRONT} 0 0">
      <joint name="drawer" type="slide" axis="1 0 0" range="0 {PULLED}" damping="4" frictionloss="1"
             solimplimit=".99 .999 .001"/>
      <geom type="box" size=".006 .05 .027" pos="-.006 0 .028" rgba=".70 .54 .38 1" mass=".2"/>
      <geom type="box" size=".065 .05 .002" pos="-.075 0 .003" rgba=".93 .90 .84 1" mass=".1"/>
      <geom type="box" size=".065 .004 .02" pos="-.075 .046 .022" rgba=".70 .54 .38 1" mass=".05"/>
      <geom type="box" size=".065 .004 .02" pos="-.075 -.046 .022" rgba=".70 .54 .38 1" mass=".05"/>
      <geom type="box" size=".007 .03 .008" pos="{HANDLE} 0 {HANDLE_Z}" rgba=".1 .1 .1 1" mass=".02"/>
    </body>
    <body name="key">
      <joint name="key_x" class="loose" axis="1 0 0"/>
      <joint name="key_y" class="loose" axis="0 1 0"/>
      <joint name="key_z" type="slide" axis="0 0 1" range="{KEY_Z} 1" damping=".5"/>
      <geom type="box" size=".008 {KEY_TIP} .006" rgba=".95 .75 .05 1" mass=".03"/>
      <geom type="cylinder" size=".017 .006" pos="0 -.02 0" rgba=".95 .75 .05 1" mass=".02"/>
    </body>
    <body name="doorway" pos="0 {WALL} 0">
      <geom type="box" size=".3 .01 .09" pos="-.37 .01 .09" rgba=".62 .66 .70 1"/>
      <geom type="box" size=".3 .01 .09" pos=".37 .01 .09" rgba=".62 .66 .70 1"/>
      <geom name="lamp" type="box" size=".02 .006 .02" pos="{LOCK_X} 0 {LOCK_Z}" rgba=".85 .1 .6 1"/>
      <body name="door" pos="-.07 .01 0">
        <joint name="door" type="hinge" axis="0 0 1" range="0 1.9" damping=".01" stiffness=".1"
               springref=".6"/>
        <geom name="panel" type="box" size=".068 .006 .085" pos=".07 0 .085" rgba=".30 .55 .40 1"
              mass=".15"/>
      </body>
    </body>
  </worldbody>
  <contact><pair geom1="bumper" geom2="panel" condim="1"/></contact>
  <equality>
    {gripper.EQUALITY}
    <connect name="hold_block" body1="hand" body2="block" anchor="0 0 0" active="false"/>
    <connect name="hold_handle" body1="hand" body2="drawer" anchor="0 0 0" active="false"/>
    <connect name="hold_key" body1="hand" body2="key" anchor="0 0 0" active="false"/>
    <joint name="carried" joint1="key_x" joint2="drawer" polycoef="0 1 0 0 0" active="false"/>
    <joint name="locked" joint1="door" polycoef="0 0 0 0 0"/>
  </equality>
  <actuator>{gripper.actuators()}</actuator>
</mujoco>
"""
HALF = {"block": BLOCK, "handle": 0.007, "key": 0.008}
"""What a closed hand can hold, and half its width between the fingers."""
GRASP = np.array([0.028, 0.03, 0.022])
"""How far off, in the hand's frame, the middle of a thing may be to be caught."""
SLIPS = 0.035
"""How far the hand may be drawn from the handle before it slips off, in metres."""
TURNED = 0.5
"""The turn (radians) up to which bars and the key fit between the fingers."""
INSERTED = np.array([0.03, 0.024, 0.03])
"""How far off its place in the lock the key's tip may be."""
LOW = np.array([-0.29, -0.21, 0.02])
HIGH = np.array([0.29, 0.34, 0.20])
HALF_DOORWAY, MARGIN, OUTSIDE = 0.045, 0.03, 0.05
"""Half the width that the hand has in the doorway; how near to the wall it comes; where outside begins."""
YAW = 1.2
LOCKED_COLOUR, UNLOCKED_COLOUR = (0.85, 0.1, 0.6, 1.0), (0.1, 0.9, 0.2, 1.0)


class Scene:
    """The simulated room: its state is MuJoCo's own and the hand's. Lengths in metres.

    held: what the hand holds: "block", "handle", "key" or None.
    """

    def __init__(self) -> None:
        import mujoco

        self._engine: Any = mujoco
        self.model: Any = self._engine.MjModel.from_xml_string(MJCF)
        self.data: Any = self._engine.MjData(self.model)
        self.hand = gripper.Hand(self.model, self.data)
        joint, equal = self.model.joint, self.model.equality
        self._block, self._key = int(joint("block_x").qposadr[0]), int(joint("key_x").qposadr[0])
        self._drawer, self._door = int(joint("drawer").qposadr[0]), int(joint("door").qposadr[0])
        self._drawer_joint, self._drawer_force = int(joint("drawer").id), int(joint("drawer").dofadr[0])
        self._hold = {name: int(equal(f"hold_{name}").id) for name in HALF}
        self._carried, self._locked = int(equal("carried").id), int(equal("locked").id)
        self._bodies = [int(self.model.body(name).id) for name in ("drawer", "doorway")]
        self._lamp = int(self.model.geom("lamp").id)
        self.held: str | None = None
        self._grasped = np.zeros(3)
        self.drawer_y = self.door_x = 0.0

    @property
    def block(self) -> Array:
        return self.data.qpos[self._block : self._block + 3]

    @property
    def key(self) -> Array:
        return self.data.qpos[self._key : self._key + 3]

    @property
    def pulled(self) -> float:
        """How far the drawer is open."""
        return float(self.data.qpos[self._drawer])

    @property
    def door(self) -> float:
        """The door's angle, in radians."""
        return float(self.data.qpos[self._door])

    @property
    def unlocked(self) -> bool:
        return not self.data.eq_active[self._locked]

    @property
    def handle(self) -> Array:
        return np.array([FRONT + self.pulled + HANDLE, self.drawer_y, HANDLE_Z])

    @property
    def lock(self) -> Array:
        """Where the key's middle is when its tip is in the lock."""
        return np.array([self.door_x + LOCK_X, WALL - KEY_TIP, LOCK_Z])

    @property
    def room(self) -> float:
        """How far the drawer can open as the block stands, or hangs, in front of it."""
        x, y, _ = self.block.tolist()
        free = x - BLOCK - GAP - HANDLE - FRONT
        return PULLED if abs(y - self.drawer_y) > BESIDE else min(max(free, 0.0), PULLED)

    @property
    def stage(self) -> int:
        """How many of the five steps are done, by where things are now: the last that is done counts."""
        if self.hand.position[1] > WALL + OUTSIDE:
            return 5
        if self.unlocked:
            return 4
        if self.held == "key" and self.key[2] > KEY_Z + LIFTED:
            return 3
        if self.pulled > OPENED:
            return 2
        return int(self.room > OPENED + GAP and self.block[2] < BLOCK + 0.01)

    def clear(self, layout: Layout) -> None:
        """Everything in its place for stage 0, at rest, the hand open at the origin."""
        self._engine.mj_resetData(self.model, self.data)
        self.drawer_y, self.door_x, self.held = layout.drawer_y, layout.door_x, None
        drawer, doorway = self._bodies
        self.model.body_pos[drawer, 1], self.model.body_pos[doorway, 0] = self.drawer_y, self.door_x
        self.block[:] = FRONT + HANDLE + 0.055 + layout.block[0], self.drawer_y + layout.block[1], BLOCK
        self.key[:] = FRONT + IN_DRAWER + layout.key[0], self.drawer_y + layout.key[1], KEY_Z
        self.hand.place(np.array([0.0, 0.0, 0.12]), 0.0, opening=gripper.OPEN, closed=False)
        self._bind()

    def pull(self, opening: float) -> None:
        """Set the drawer's opening, with the key in it."""
        self.key[0] += opening - self.pulled
        self.data.qpos[self._drawer] = opening
        self._bind()

    def unlock(self) -> None:
        """Release the door; its spring sets it ajar."""
        self.data.eq_active[self._locked] = 0
        self.model.geom_rgba[self._lamp] = UNLOCKED_COLOUR

    def hold(self, name: str) -> None:
        """Tie a thing to the hand as it lies between the fingers now."""
        number, hand = self._hold[name], self.hand
        place = {"block": self.block, "handle": self.handle, "key": self.key}[name]
        anchor = np.zeros(3) if name != "handle" else np.array([HANDLE, 0.0, HANDLE_Z])
        self.model.eq_data[number, :3], self.model.eq_data[number, 3:6] = hand.local(place), anchor
        self.data.eq_active[number] = 1
        self.held, self._grasped = name, place - hand.position
        hand.squeeze(HALF[name])
        self._bind()

    def release(self) -> None:
        """Let go of what the hand holds."""
        if self.held is not None:
            self.data.eq_active[self._hold[self.held]] = 0
            self.held = None
            self._bind()

    def act(self, command: gripper.Command) -> None:
        """Carry out one action: grip first, then move, and see what has become of lock and drawer."""
        self._grip(command.grip)
        hand = self.hand
        yaw = min(max(hand.yaw + command.turn, -YAW), YAW)
        hand.aim(self.allowed(hand.position + command.displacement), yaw)
        self.data.qfrc_applied[self._drawer_force] = SPRING if self.pulled > OPENED else -SPRING
        self._engine.mj_step(self.model, self.data, nstep=SUBSTEPS)
        if self.held == "key" and not self.unlocked and (np.abs(self.key - self.lock) < INSERTED).all():
            self.unlock()
        if self.held == "handle" and np.abs(self.handle - hand.position - self._grasped).max() > SLIPS:
            self.release()
        self._carry()

    def settle(self) -> None:
        """Bring all that depends on positions up to date, without passing time."""
        self.model.geom_rgba[self._lamp] = UNLOCKED_COLOUR if self.unlocked else LOCKED_COLOUR
        self._engine.mj_forward(self.model, self.data)

    def refresh(self) -> None:
        """Bring bodies to where the joints are, for a picture: after a step they are a substep behind."""
        self._engine.mj_kinematics(self.model, self.data)

    def allowed(self, target: Array) -> Array:
        """The place nearest to a target where the hand may be: not in walls, a shut door or the cabinet."""
        x, y, z = np.clip(target, LOW, HIGH).tolist()
        here = self.hand.position
        if z < 0.085 and x < FRONT + 0.015:  # from the side it stops, from above it rests on top
            x, z = (FRONT + 0.015, z) if here[0] > FRONT else (x, 0.085)
        near, ahead = WALL - MARGIN, abs(here[0] - self.door_x) < HALF_DOORWAY
        if y > near:
            if self.unlocked and (ahead or here[1] > near + 0.01):
                x = min(max(x, self.door_x - HALF_DOORWAY), self.door_x + HALF_DOORWAY)
                z = min(z, 0.15)
            else:
                y = near
        return np.array([x, y, z])

    def _grip(self, grip: int) -> None:
        hand = self.hand
        if grip < 0:
            hand.closed = False
            self.release()
            hand.squeeze(gripper.OPEN)
        elif grip > 0 and not hand.closed:
            hand.closed = True
            caught = self._between()
            if caught is None:
                hand.squeeze(0.0)
            else:
                self.hold(caught)

    def _between(self) -> str | None:
        """What lies between the fingers, and fits."""
        if self.hand.opening < 0.6 * gripper.OPEN:
            return None
        for name, place in (("block", self.block), ("handle", self.handle), ("key", self.key)):
            fits = name == "block" or abs(self.hand.yaw) < TURNED
            if fits and (np.abs(self.hand.local(place)) < GRASP).all():
                return name
        return None

    def _bind(self) -> None:
        """What follows from where things were put: a block in its way stops the drawer."""
        limit = PULLED if self.held == "block" else max(self.room, self.pulled)
        self.model.jnt_range[self._drawer_joint, 1] = limit
        self._carry()

    def _carry(self) -> None:
        """The key that lies in the drawer moves with it."""
        inside = FRONT - 0.14 < self.key[0] - self.pulled < FRONT and abs(self.key[1] - self.drawer_y) < 0.045
        carried = self.held != "key" and self.key[2] < KEY_Z + 0.005 and inside
        if carried and not self.data.eq_active[self._carried]:
            self.model.eq_data[self._carried, 0] = self.key[0] - self.pulled
        self.data.eq_active[self._carried] = carried
