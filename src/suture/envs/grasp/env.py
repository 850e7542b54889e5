"""Grasping as an environment: reward 1 for an object that hangs above 12 cm when the policy terminates.

`suture/Grasp-v0` (objects of the training shapes) and `suture/GraspHeldOut-v0` (shapes that no log shows) are
registered with Gymnasium when this module is imported; making one needs MuJoCo.
"""

import dataclasses
from typing import Any, Literal, TypeAlias

import gymnasium
import numpy as np

from suture.envs import gripper
from suture.envs.camera import Camera, carried
from suture.envs.grasp.objects import Objects, draw
from suture.envs.grasp.scene import REACH, Scene
from suture.errors import ConfigError
from suture.spaces import Array

GRASP, GRASP_HELD_OUT = "suture/Grasp-v0", "suture/GraspHeldOut-v0"
HORIZON, PENALTY = 20, 0.01
"""Steps after which an episode is cut, and what each step but the last costs."""
HAND = ("closed", "opening", "height")
"""What the hand knows of itself: 0 or 1; the gap between the fingers as a share of its widest; metres."""
Place: TypeAlias = Literal["crop", "overhead", "wrist", "shoulder"]
HOLD = gripper.Command(np.zeros(3), 0.0, 0, False)


@dataclasses.dataclass(frozen=True)
class Mount:
    """Where a camera is.   eye, sight: from where to where it looks.   field: in degrees.

    follows: these are in the frame of the hand: "plane" follows it along the table and turns with it, "hand"
        in height too, "" does not move.   depth: distances (metres) that are 0 and 255 in the picture.
    """

    eye: tuple[float, float, float]
    sight: tuple[float, float, float]
    field: float
    follows: Literal["plane", "hand", ""]
    depth: tuple[float, float]
    hidden: tuple[int, ...] = ()


MOUNTS: dict[Place, Mount] = {
    "crop": Mount((0, 0, 0.5), (0, 0, 0), 30.2, "plane", (0.25, 0.55), (gripper.PALM_GROUP,)),
    "overhead": Mount((0, 0, 0.62), (0, 0, 0), 33.0, "", (0.30, 0.70)),
    "wrist": Mount((0, -0.07, 0.05), (0, 0, -0.014), 75.0, "hand", (0.05, 0.40)),
    "shoulder": Mount((0, -0.42, 0.38), (0, 0, 0.02), 45.0, "", (0.30, 0.75)),
}
"""By default the camera hangs half a metre above the hand and sees 27 cm of the floor, the fingers in it."""


def check(camera: Place | None, pixels: int) -> None:
    """Raises ConfigError where there is no such camera or picture."""
    if camera is not None and camera not in MOUNTS:
        raise ConfigError(f"camera must be one of {', '.join(MOUNTS)}, found {camera!r}.")
    if not 8 <= pixels <= 1024:
        raise ConfigError(f"pixels must be from 8 to 1024, found {pixels}.")


class View:
    """What a policy sees of a scene.   camera: where it is; None: no picture.   depth: a fourth channel."""

    def __init__(self, scene: Scene, camera: Place | None = "crop", *, pixels: int = 48, depth: bool = False):
        check(camera, pixels)
        self.scene, self.pixels, self.depth = scene, pixels, depth
        self._mount = None if camera is None else MOUNTS[camera]
        self._camera = Camera(pixels=pixels, field=self._mount.field if self._mount else 1.0)

    @property
    def space(self) -> "gymnasium.spaces.Dict":
        """{"hand": (3,), "image": (pixels, pixels, 3 or 4)}."""
        boxes = gymnasium.spaces.Box
        parts: dict[str, gymnasium.Space[Any]] = {"hand": boxes(0.0, 1.0, (len(HAND),), np.float32)}
        if self._mount is not None:
            parts["image"] = boxes(0, 255, (self.pixels, self.pixels, 3 + self.depth), np.uint8)
        return gymnasium.spaces.Dict(parts)

    def see(self) -> dict[str, Array]:
        """An observation, as `space` says."""
        hand = self.scene.hand
        known = np.array([hand.closed, hand.opening / gripper.OPEN, hand.position[2]], np.float32)
        seen = {"hand": np.clip(known, 0.0, 1.0)}
        return seen if self._mount is None else {**seen, "image": self.picture()}

    def picture(self) -> Array:
        """(pixels, pixels, 3 or 4) uint8."""
        scene, mount = self.scene, self._mount
        if mount is None:
            raise ConfigError("There is no picture where camera is None.")
        yaw = scene.hand.yaw if mount.follows else 0.0
        along = {"": (0.0, 0.0, 0.0), "plane": (1.0, 1.0, 0.0), "hand": (1.0, 1.0, 1.0)}[mount.follows]
        place, rotation = carried(scene.hand.position * along, yaw, mount.eye, mount.sight)
        picture, distance = self._camera.see(scene.model, scene.data, place, rotation, hidden=mount.hidden)
        if not self.depth:
            return picture
        near, far = mount.depth
        share = np.clip((distance - near) / (far - near), 0.0, 1.0)
        return np.concatenate([picture, (255 * share[..., None]).astype(np.uint8)], axis=-1)


class Grasp(gymnasium.Env[Any, Array]):
    """Lift an object out of a bin of three to six, and terminate.

    objects: "train", "held-out" (shapes that no log shows) or "any".   camera: "crop" (hangs above the hand
    and follows it), "overhead", "wrist", "shoulder", or None for no picture.   pixels: width and height.
    depth: a fourth channel, nearest 0.   penalty: what each step costs that does not end the episode.
    action: eight numbers in [-1, 1] (`gripper.ACTIONS`): displacement in the hand's own axes, sine and cosine
    of its turn, open, close, terminate. Closing comes first, then motion. What terminates only holds still;
    the reward is 1 if an object is above 12 cm then, else 0. `info` has `success`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 6}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        objects: Objects = "train",
        camera: Place | None = "crop",
        pixels: int = 48,
        depth: bool = False,
        penalty: float = PENALTY,
        render_mode: str | None = None,
    ) -> None:
        self.scene = Scene()
        self.view = View(self.scene, camera, pixels=pixels, depth=depth)
        self.objects: Objects = objects
        self.penalty, self.render_mode = penalty, render_mode
        self._film = View(self.scene, "shoulder", pixels=256)
        self.observation_space = self.view.space
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (len(gripper.ACTIONS),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.scene.fill(draw(self.np_random, self.objects), self.np_random)
        return self.view.see(), {"success": False}

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        command = gripper.read(action, REACH)
        self.scene.act(HOLD if command.last else command)
        success = command.last and bool(self.scene.lifted.any())
        reward = float(success) if command.last else -self.penalty
        return self.view.see(), reward, command.last, False, {"success": success}

    def render(self) -> Any:
        """A picture of 256x256 for people, from the shoulder."""
        return self._film.picture()


for _id, _kind in ((GRASP, "train"), (GRASP_HELD_OUT, "held-out")):
    gymnasium.register(
        _id, "suture.envs.grasp.env:Grasp", max_episode_steps=HORIZON, kwargs={"objects": _kind}
    )
