"""What a state of the composite task says, read from its numbers alone: its stage, and its cell.

Certificates read logs with these, so that they trust nothing of what made a log: `Scene.stage` is the
simulator's own account, and a test holds the two to each other.
"""

import numpy as np

from suture.envs.composite.layout import DOOR, DRAWER
from suture.envs.composite.scene import (
    BESIDE,
    BLOCK,
    FRONT,
    GAP,
    GRASP,
    HANDLE,
    IN_DRAWER,
    KEY_Z,
    LIFTED,
    LOW,
    OPENED,
    OUTSIDE,
    PULLED,
    WALL,
)
from suture.spaces import Array

STATE = (
    "hand x", "hand y", "hand z", "hand yaw", "opening", "block x", "block y", "block z", "drawer",
    "drawer y", "key x", "key y", "key z", "door x", "door", "unlocked",
)  # fmt: skip
"""The numbers of a state: metres, radians; the opening is half the distance between the fingers. `unlocked`
is what the lamp over the lock shows: 0 or 1."""
HAND, YAW, OPENING, BLOCK_AT, DRAWER_AT, DRAWER_Y = slice(0, 3), 3, 4, slice(5, 8), 8, 9
KEY, DOOR_X, DOOR_AT, UNLOCKED = slice(10, 13), 13, 14, 15
SHUT, SLACK = 0.024, 0.008
"""The opening below which the fingers hold a key, and how far a held one is off what can be caught."""
CELL = 0.05
"""Cells of places, in metres: an action moves the hand 8 cm, and what a grasp forgives is 5.6 cm wide."""
STRIPE, HALF, TURN = (DRAWER[1] - DRAWER[0]) / 10, (DOOR[1] - DOOR[0]) / 2, 0.5
"""Cells of the drawer's place (18 mm), of the doorway's (logs show 42 mm of each; it forgives 90), and of
turns (radians)."""
GRIPS = (0.004, 0.015, 0.033)
"""Openings between an empty fist, bar or key, block, and open fingers."""


def key_held(states: Array) -> Array:
    """Whether the fingers are around the key, (...).   states: (..., 16)."""
    x, y, z = np.moveaxis(states[..., KEY] - states[..., HAND], -1, 0)
    sine, cosine = np.sin(states[..., YAW]), np.cos(states[..., YAW])
    local = np.stack([cosine * x + sine * y, cosine * y - sine * x, z], axis=-1)
    return (np.abs(local) < GRASP + SLACK).all(axis=-1) & (states[..., OPENING] < SHUT)


def steps_done(states: Array) -> Array:
    """Which of the five steps are done, (..., 5), each told by itself.   states: (..., 16), as in `STATE`."""
    x, y, z = np.moveaxis(states[..., BLOCK_AT], -1, 0)
    beside = np.abs(y - states[..., DRAWER_Y]) > BESIDE
    room = np.where(beside, PULLED, x - BLOCK - GAP - HANDLE - FRONT)
    return np.stack([
        (room > OPENED + GAP) & (z < BLOCK + 0.01),
        states[..., DRAWER_AT] > OPENED,
        key_held(states) & (states[..., 12] > KEY_Z + LIFTED),
        states[..., UNLOCKED] > 0.5,
        states[..., 1] > WALL + OUTSIDE,
    ], axis=-1)  # fmt: skip


def stages(states: Array) -> Array:
    """How many of the five steps are done, (...) from 0 to 5; the last that is done counts."""
    return (steps_done(states) * np.arange(1, 6)).max(axis=-1)


def cells(states: Array) -> Array:
    """The cell of each state (n, 16) as whole numbers (n, 17): stage and every number of the state.

    The key counts from what it goes with, the hand or the drawer. Velocities are not in a state.
    """
    drawer = np.zeros((len(states), 3))
    drawer[:, 0], drawer[:, 1] = FRONT + IN_DRAWER + states[:, DRAWER_AT], states[:, DRAWER_Y]
    carrier = np.where(key_held(states)[:, None], states[:, HAND], drawer)
    return np.column_stack([
        stages(states), np.floor((states[:, HAND] - LOW) / CELL), np.rint(states[:, YAW] / TURN),
        np.digitize(states[:, OPENING], GRIPS), np.floor(states[:, BLOCK_AT] / CELL),
        np.rint(states[:, DRAWER_AT] / CELL), np.floor((states[:, DRAWER_Y] - DRAWER[0]) / STRIPE),
        np.rint((states[:, KEY] - carrier) / CELL), np.floor((states[:, DOOR_X] - DOOR[0]) / HALF),
        np.rint(states[:, DOOR_AT] / TURN), states[:, UNLOCKED],
    ]).astype(np.int64)  # fmt: skip
