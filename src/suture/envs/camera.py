"""Pictures of a MuJoCo scene by ray casting: no graphics library, and the same pixels on every machine.

Each pixel is one ray: the geom that it meets gives the colour, and the angle between its surface and the
light gives the shade. Shadows, textures and mirrors are left out.
"""

import dataclasses
import functools
import itertools
from typing import Any

import numpy as np

from suture.spaces import Array

AMBIENT = 0.45
"""Brightness of a surface that is turned away from the light."""
BACKGROUND = (0.70, 0.78, 0.85)
LIGHT = (0.35, -0.45, 0.8)
"""Direction towards the light, in the world."""
TO_LIGHT = np.array(LIGHT) / np.linalg.norm(LIGHT)
CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
UNSEEN = 5
"""Geom group in which what moves is hidden while the backdrop is cast."""


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
        rays = self.rays @ rotation.T
        picture, distance, _ = _cast(model, data, position, rays, far=self.far, hidden=hidden, still=True)
        shape = (self.pixels, self.pixels)
        return picture.reshape(*shape, 3), distance.reshape(shape)


class Standing:
    """A camera that does not move: what stands still is cast once, and after that what moves, where it is.

    Its pictures are those of `Camera.see`, several times as fast where little moves.
    """

    def __init__(self, camera: Camera, position: Array, rotation: Array, *, hidden: tuple[int, ...] = ()):
        self.camera, self.position, self.rotation, self.hidden = camera, position, rotation, hidden
        self._rays = np.ascontiguousarray(camera.rays @ rotation.T)
        self._backdrop = self._depth = np.empty(0)
        self._moving = np.empty(0, np.int64)

    def stand(self, model: Any, data: Any) -> None:
        """Cast what stands still: before the first picture, and whenever it was changed."""
        own = model.body_weldid[model.geom_bodyid] > 0
        shown = ~np.isin(model.geom_group, self.hidden) & (model.geom_rgba[:, 3] > 0)
        self._moving = np.flatnonzero(own & shown)
        others = model.geom_group.copy()
        model.geom_group[own] = UNSEEN
        self._backdrop, self._depth, _ = _cast(
            model, data, self.position, self._rays, far=self.camera.far, hidden=(*self.hidden, UNSEEN),
            still=True,
        )  # fmt: skip
        model.geom_group[:] = others

    def see(self, model: Any, data: Any) -> Array:
        """Colours (pixels, pixels, 3) uint8.   The state must be up to date (`mj_forward`)."""
        pixels, picture = self.camera.pixels, self._backdrop.copy()
        near = np.flatnonzero(self._near(model, data))
        if len(near):
            colour, distance, hit = _cast(
                model, data, self.position, self._rays[near], far=self.camera.far, hidden=self.hidden,
                still=False,
            )  # fmt: skip
            before = hit & (distance < self._depth[near])
            picture[near[before]] = colour[before]
        return picture.reshape(pixels, pixels, 3)

    def _near(self, model: Any, data: Any) -> Array:
        """Pixels on which what moves may lie, (pixels ** 2,): rectangles around the corners of boxes."""
        pixels, moving = self.camera.pixels, self._moving
        box, turn = model.geom_aabb[moving], data.geom_xmat[moving].reshape(-1, 3, 3)
        corners = box[:, None, :3] + CORNERS * box[:, None, 3:]
        seen = data.geom_xpos[moving][:, None] - self.position + corners @ turn.transpose(0, 2, 1)
        across, up, behind = np.moveaxis(seen @ self.rotation, -1, 0)
        depth, scale = -behind, pixels / 2 / np.tan(np.radians(self.camera.field) / 2)
        marked = np.zeros((pixels, pixels), bool)
        if depth.min() <= 0:
            return ~marked.ravel()
        places = np.clip(pixels / 2 + scale * np.stack([across, -up]) / depth, 0, pixels)
        (left, top), (right, bottom) = (
            places.min(-1).astype(int).tolist(),
            places.max(-1).astype(int).tolist(),
        )
        for one in range(len(moving)):
            marked[top[one] : bottom[one] + 1, left[one] : right[one] + 1] = True
        return marked.ravel()


def _cast(
    model: Any, data: Any, position: Array, rays: Array, *, far: float, hidden: tuple[int, ...], still: bool
) -> tuple[Array, Array, Array]:
    """Colours (n, 3) uint8, distances (n,) and hits (n,) of rays (n, 3).   still: see what never moves."""
    import mujoco

    engine: Any = mujoco
    count = len(rays)
    groups = np.ones(6, np.uint8)
    groups[list(hidden)] = 0
    geom, distance, normal = np.empty(count, np.int32), np.empty(count), np.zeros(3 * count)
    engine.mj_multiRay(
        model, data, np.asarray(position, np.float64), np.ascontiguousarray(rays).ravel(), groups, still, -1,
        geom, distance, normal, count, far,
    )  # fmt: skip
    hit = geom >= 0
    lit = np.clip(normal.reshape(-1, 3) @ TO_LIGHT, 0.0, 1.0)
    shade = AMBIENT + (1 - AMBIENT) * lit
    colour = np.where(hit[:, None], model.geom_rgba[geom, :3] * shade[:, None], np.array(BACKGROUND))
    return (255 * np.clip(colour, 0.0, 1.0)).astype(np.uint8), np.where(hit, distance, far), hit


def looking(position: Array, target: Array, up: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> Array:
    """The rotation (3, 3) of a camera that looks from one place at another.   up: upwards in the picture."""
    backwards = np.asarray(position, np.float64) - target
    backwards /= np.linalg.norm(backwards)
    right = np.cross(up, backwards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(backwards, right), backwards], axis=1)
