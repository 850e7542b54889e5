"""Pictures as PNG: every pixel is what it was."""

import struct
import zlib

import numpy as np
import pytest

from suture.errors import ConfigError
from suture.report.pictures import png


def test_a_picture_holds_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    file, parts = png(pixels), dict[bytes, bytes]()
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(file):
        size, kind = struct.unpack(">I4s", file[at : at + 8])
        parts[kind] = file[at + 8 : at + 8 + size]
        (check,) = struct.unpack(">I", file[at + 8 + size : at + 12 + size])
        assert check == zlib.crc32(kind + parts[kind])
        at += 12 + size
    assert list(parts) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">2I5B", parts[b"IHDR"]) == (7, 5, 8, 2, 0, 0, 0), "width first; 8 bits of RGB"
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(5, 1 + 7 * 3)
    assert not rows[:, 0].any(), "no filter"
    np.testing.assert_array_equal(rows[:, 1:].reshape(5, 7, 3), pixels)


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8)]
)
def test_what_is_no_picture_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"A picture is \(height, width, 3\) uint8, found"):
        png(pixels)
