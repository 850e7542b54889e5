"""Pictures of a MuJoCo scene by ray casting: no graphics library, and the same pixels on every machine.

Each pixel is one ray: the geom that it meets gives the colour, and the angle between its surface and the
light gives the shade. Shadows, textures and mirrors are left out.
"""

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from suture.spaces import Array

AMBIENT = 0.45
"""Brightness of a surface that is turned away from the light."""
BACKGROUND = (0.70, 0.78, 0.85)
LIGHT = (0.35, -0.45, 0.8)
"""Direction towards the light, in the world."""
TO_LIGHT = np.array(LIGHT) / np.linalg.norm(LIGHT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """A pin-hole camera.   pixels: width and height.   field: of view, in degrees.   far: metres."""

    pixels: int = 64
    field: float = 60.0
    far: float = 5.0

    @functools.cached_property
    def rays(self) -> Array:
        """Unit directions (pixels ** 2, 3), row by row; in the camera's frame: x right, y up, z backwards."""
        edge = np.tan(np.radians(self.field) / 2)
        steps = edge * ((2 * np.arange(self.pixels) + 1) / self.pixels - 1)
        x, y = np.meshgrid(steps, -steps)
        rays = np.stack([x, y, np.full_like(x, -1.0)], axis=-1).reshape(-1, 3)
        return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))

    def see(
        self, model: Any, data: Any, position: Array, rotation: Array, *, hidden: tuple[int, ...] = ()
    ) -> tuple[Array, Array]:
        """Colours (pixels, pixels, 3) uint8, and distances (pixels, pixels) in metres (`far` for nothing).

        position: (3,).   rotation: (3, 3), its columns are the camera's axes in the world.
        hidden: geom groups that are not seen.   The state must be up to date (`mj_forward`).
        """
        import mujoco

        engine: Any = mujoco
        count, shape = self.pixels**2, (self.pixels, self.pixels)
        groups = np.ones(6, np.uint8)
        groups[list(hidden)] = 0
        rays = np.ascontiguousarray(self.rays @ rotation.T).ravel()
        geom, distance, normal = np.empty(count, np.int32), np.empty(count), np.zeros(3 * count)
        engine.mj_multiRay(
            model, data, np.asarray(position, np.float64), rays, groups, True, -1, geom, distance, normal,
            count, self.far,
        )  # fmt: skip
        hit = geom >= 0
        lit = np.clip(normal.reshape(-1, 3) @ TO_LIGHT, 0.0, 1.0)
        shade = AMBIENT + (1 - AMBIENT) * lit
        colour = np.where(hit[:, None], model.geom_rgba[geom, :3] * shade[:, None], np.array(BACKGROUND))
        picture = (255 * np.clip(colour, 0.0, 1.0)).astype(np.uint8)
        return picture.reshape(*shape, 3), np.where(hit, distance, self.far).reshape(shape)


def looking(position: Array, target: Array, up: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> Array:
    """The rotation (3, 3) of a camera that looks from one place at another.   up: upwards in the picture."""
    backwards = np.asarray(position, np.float64) - target
    backwards /= np.linalg.norm(backwards)
    right = np.cross(up, backwards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(backwards, right), backwards], axis=1)


def carried(
    at: Array,
    yaw: float,
    eye: tuple[float, float, float],
    sight: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> tuple[Array, Array]:
    """Place (3,) and rotation (3, 3) of a camera that goes and turns with something.

    at, yaw: where that is, and its turn about the vertical.   eye, sight: from where to where the camera
    looks, in its frame; what is ahead of it (y) is up in the picture.
    """
    cosine, sine = math.cos(yaw), math.sin(yaw)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    place = at + turn @ eye
    return place, looking(place, at + turn @ sight, up=(-sine, cosine, 0.0))
