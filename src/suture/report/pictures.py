"""Pictures as PNG, which every browser shows; written without an imaging library."""

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from suture import spaces
from suture.errors import ConfigError
from suture.report.story import Picture, Strip, number
from suture.spaces import Array

if TYPE_CHECKING:
    from suture.data.dataset import Dataset

SHOWN, WIDTH = 5, 192
"""Pictures in a strip, and how wide small ones are drawn, in pixels."""


def png(pixels: Array) -> bytes:
    """A picture as a PNG file.   pixels: (height, width, 3) uint8, red, green, blue.

    Source: Portable Network Graphics Specification (Second Edition), W3C 2003.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != "uint8":
        raise ConfigError(f"A picture is (height, width, 3) uint8, found {pixels.shape} {pixels.dtype}.")
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # each begins with its filter: none
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def strip_of(data: "Dataset", *, whose: str) -> Strip | None:
    """The episode with the greatest return (the first one, without returns), as it was seen.

    None where no part of the observation is a picture.   whose: whose episode it is, for the caption.
    """
    leaves = spaces.leaves_of(data.observation_space)
    images = [name for name, leaf in leaves.items() if isinstance(leaf, spaces.Box) and leaf.is_image]
    if not images or not data.episodes:
        return None
    best = 0 if data.returns is None else int(np.argmax(data.returns))
    first, steps = int(data.episode_start[best]), int(data.lengths[best])
    at = np.unique(np.linspace(0, steps - 1, SHOWN).round().astype(int))
    frames = np.asarray(spaces.arrays_of(data.observation)[images[0]][first + at])
    earned = "" if data.returns is None else f", return {number(float(data.returns[best]))}"
    return Strip(
        caption=f"{whose}: episode {best:,}{earned}.",
        pictures=[
            Picture(png=png(_for_people(frame)), alt=f"What was seen at step {step + 1} of {steps}",
                    caption=f"Step {step + 1} of {steps}")
            for step, frame in zip(at.tolist(), frames, strict=True)
        ],
    )  # fmt: skip


def _for_people(frame: Any) -> Array:
    """(height, width, channels) uint8 as red, green, blue, each pixel drawn large where there are few."""
    colour = frame[..., :3] if frame.shape[-1] >= 3 else np.repeat(frame[..., :1], 3, axis=-1)
    times = max(1, WIDTH // frame.shape[1])
    return np.ascontiguousarray(colour.repeat(times, axis=0).repeat(times, axis=1))
