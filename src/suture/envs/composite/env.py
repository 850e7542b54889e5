"""The composite task as an environment: five steps, reward 1 for the last.

`suture/Composite-v0` (state) and `suture/CompositeImage-v0` (64x64 pictures) are registered with Gymnasium
when this module is imported; making one needs MuJoCo. By default episodes have layouts that no log of
`collect.py` shows.
"""

from typing import Any, Literal, TypeAlias

import gymnasium
import numpy as np

from suture.envs import gripper
from suture.envs.camera import Camera, carried, looking
from suture.envs.composite import layout, starts
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.layout import Layouts
from suture.envs.composite.scene import Scene
from suture.envs.composite.states import STATE
from suture.errors import ConfigError
from suture.spaces import Array, Tree

COMPOSITE, COMPOSITE_IMAGE = "suture/Composite-v0", "suture/CompositeImage-v0"
HORIZON = 100
REACH = gripper.Reach()
HOME = np.array([0.05, -0.02, 0.15])
"""Where an action whose last number is set takes the hand, whatever its displacement says."""
FLAGS = ("block_moved", "drawer_open", "key_taken", "door_unlocked", "outside")
PIXELS, ABOVE, FIELD = 64, 0.62, 48.0
"""A policy's picture: width, metres above the floor, degrees; it shows 55 cm of the floor."""
FILM, EYE, SIGHT = Camera(pixels=256, field=41.0), np.array([0.0, -0.62, 0.60]), np.array([0.02, 0.03, 0.03])
"""What people are shown, and from where to where it looks."""
Observation: TypeAlias = Literal["state", "image"]


def state_of(scene: Scene) -> Array:
    """The state (16,) float32, as `STATE` names it."""
    hand = scene.hand
    return np.array(
        [*hand.position, hand.yaw, hand.opening, *scene.block, scene.pulled, scene.drawer_y, *scene.key,
         scene.door_x, scene.door, scene.unlocked],
        np.float32,
    )  # fmt: skip


def command_of(scene: Scene, action: Array) -> gripper.Command:
    """An action (8,), read; where its last number is set, the way home."""
    command = gripper.read(action, REACH)
    if not command.last:
        return command
    home = np.clip(HOME - scene.hand.position, -REACH.displacement, REACH.displacement)
    return gripper.Command(home, command.turn, command.grip, True)


class View:
    """What a policy sees of a scene.   kind: "state", or "image" with what the hand knows of itself.

    The camera hangs ABOVE the floor over the hand and turns with it, so that a place in the picture is a
    displacement; the palm would hide what the hand is about, and is left out.
    """

    def __init__(self, scene: Scene, kind: Observation, *, pixels: int = PIXELS):
        if kind not in ("state", "image"):
            raise ConfigError(f"observation must be state or image, found {kind!r}.")
        self.scene, self.kind = scene, kind
        self._camera = Camera(pixels=pixels, field=FIELD)

    def picture(self) -> Array:
        """(pixels, pixels, 3) uint8."""
        scene, hand = self.scene, self.scene.hand
        scene.refresh()
        below = hand.position * (1.0, 1.0, 0.0)
        place, rotation = carried(below, hand.yaw, eye=(0.0, 0.0, ABOVE))
        return self._camera.see(scene.model, scene.data, place, rotation, hidden=(gripper.PALM_GROUP,))[0]

    def see(self) -> Tree:
        """The state (16,), or {"hand": (5,), "image": (pixels, pixels, 3)}."""
        state = state_of(self.scene)
        return state if self.kind == "state" else {"hand": state[:5], "image": self.picture()}

    def space(self) -> "gymnasium.Space[Any]":
        """The space of what `see` returns."""
        boxes = gymnasium.spaces.Box
        if self.kind == "state":
            return boxes(-np.inf, np.inf, (len(STATE),), np.float32)
        image = boxes(0, 255, (PIXELS, PIXELS, 3), np.uint8)
        return gymnasium.spaces.Dict({"hand": boxes(-np.inf, np.inf, (5,), np.float32), "image": image})


class Composite(gymnasium.Env[Any, Array]):
    """Move the block, open the drawer, take the key, unlock the door, leave: reward 1 outside, which ends it.

    observation: "state" (16 numbers, `STATE`) or "image" (a picture and the hand's own five numbers).
    action: eight numbers in [-1, 1] (`gripper.ACTIONS`); the last one sends the hand home.
    layouts: which are drawn; `reset(options={"layouts": ...})` overrides it for an episode.
    stage: the stage to start from, 0 to 4; `reset(options={"stage": ...})` overrides it.
    `info` has the stage, 0 to 5, as `certificate.py` counts it, a flag for each step, and success.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        observation: Observation = "state",
        layouts: Layouts = "held-out",
        stage: int = 0,
        render_mode: str | None = None,
    ) -> None:
        layout.check(layouts)
        self.scene = Scene()
        self.view = View(self.scene, observation)
        self.layouts: Layouts = layouts
        self.stage, self.render_mode = stage, render_mode
        self.observation_space = self.view.space()
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (len(gripper.ACTIONS),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        options = options or {}
        drawn = layout.draw(self.np_random, options.get("layouts", self.layouts))
        starts.begin(self.scene, drawn, int(options.get("stage", self.stage)), self.np_random)
        return self.view.see(), self._info()

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.scene.act(command_of(self.scene, action))
        info = self._info()
        success = info["success"]
        return self.view.see(), float(success), success, False, info

    def render(self) -> Any:
        """A picture of 256x256 for people."""
        self.scene.refresh()
        return FILM.see(self.scene.model, self.scene.data, EYE, looking(EYE, SIGHT))[0]

    def _info(self) -> dict[str, Any]:
        stage = self.scene.stage
        flags = {name: stage > number for number, name in enumerate(FLAGS)}
        return {"stage": stage, "success": stage == len(STEPS), **flags}


for _id, _kind in ((COMPOSITE, "state"), (COMPOSITE_IMAGE, "image")):
    gymnasium.register(
        _id, "suture.envs.composite.env:Composite", max_episode_steps=HORIZON, kwargs={"observation": _kind}
    )
