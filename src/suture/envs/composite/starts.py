"""Where episodes of the composite task begin: any stage, and the hand as the step before may leave it."""

import numpy as np

from suture.envs import gripper
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.layout import Layout
from suture.envs.composite.scene import PULLED, WALL, Scene
from suture.errors import ConfigError
from suture.spaces import Array

ROOM = np.array([[-0.12, -0.16, 0.08], [0.24, 0.12, 0.15]])
"""Where a hand that is at no particular place may be: (lowest, highest) x, y, z in metres."""
CLEAR = np.array([[0.08, -0.12], [0.18, 0.0]])
"""Where a block that was moved away lies: (lowest, highest) x, y, out of every drawer's way.

It is small so that where one set of a log ends others start, in all that a state holds.
"""
LEFT = 0.5
"""Share of the starts in which the hand is where the step before left it."""


def begin(scene: Scene, layout: Layout, stage: int, generator: np.random.Generator) -> None:
    """Set a scene to a random start of a stage (0 to 4), at rest.   Raises ConfigError for another stage."""
    if not 0 <= stage < len(STEPS):
        raise ConfigError(f"An episode starts at stage 0 to {len(STEPS) - 1}, found {stage}.")
    scene.clear(layout)
    if stage >= 1:
        scene.block[:2] = generator.uniform(*CLEAR)
    if stage >= 2:
        scene.pull(PULLED)
    at, yaw = generator.uniform(*ROOM), float(generator.uniform(-0.5, 0.5))
    if generator.random() < LEFT:
        at = _left(scene, stage, generator, at)
    scene.hand.place(at, yaw, opening=gripper.OPEN, closed=False)
    if stage >= 3:
        scene.key[:] = scene.hand.position + generator.uniform(-0.6, 0.6, 3) * [0.01, 0.02, 0.01]
        scene.hand.place(at, yaw, opening=0.008, closed=True)
        scene.hold("key")
    if stage == 4:
        scene.unlock()
    scene.settle()


def _left(scene: Scene, stage: int, generator: np.random.Generator, elsewhere: Array) -> Array:
    """Where the hand is just after the step before this stage."""
    near = generator.uniform(-0.02, 0.02, 3)
    if stage == 1:
        return scene.block + near + [0.0, 0.0, 0.03]
    if stage == 2:
        return scene.handle + near + [0.0, 0.0, 0.02]
    if stage == 3:
        return np.array([scene.key[0], scene.drawer_y, 0.10]) + near
    if stage == 4:
        return np.array([scene.lock[0], WALL - 0.05, scene.lock[2]]) + near
    return elsewhere
