"""Pictures as PNG, which every browser shows; written without an imaging library."""

import struct
import zlib

from suture.errors import ConfigError
from suture.spaces import Array


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
