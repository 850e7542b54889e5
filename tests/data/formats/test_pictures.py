"""Pictures come back as they were, any program shows them, and bytes that are none are refused (D21)."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making.episodes import smooth

from suture.data.formats.pictures import SIGNATURE, Codec
from suture.errors import ConfigError, FormatError, HostileFile
from suture.spaces import Array

PNG, JPEG = Codec(), Codec("jpeg")
SHAPE = (5, 7, 3)


def noise(shape: tuple[int, ...] = SHAPE) -> Array:
    return np.random.default_rng(0).integers(256, size=shape).astype(np.uint8)


@given(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6)), st.integers(0, 2**32))
def test_a_png_loses_nothing(shape: tuple[int, int, int], seed: int) -> None:
    picture = np.random.default_rng(seed).integers(256, size=shape).astype(np.uint8)
    found = PNG.decode(PNG.encode(picture), shape)
    np.testing.assert_array_equal(found, picture, strict=True)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_another_program_shows_it(channels: int) -> None:
    images: Any = pytest.importorskip("PIL.Image")
    picture = noise((6, 4, channels))
    shown = np.asarray(images.open(io.BytesIO(PNG.encode(picture))))
    np.testing.assert_array_equal(shown.reshape(picture.shape), picture)


def test_what_compresses_is_compressed_and_noise_is_not() -> None:
    """Noise takes its own size, and next to no time to read."""
    shape = (64, 64, 3)
    assert len(PNG.encode(np.full(shape, 7, np.uint8))) < 300
    assert 64 * 193 < len(PNG.encode(noise(shape))) < 64 * 193 + 100


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_is_close(channels: int) -> None:
    picture = smooth(np.random.default_rng(0), 1, (48, 40, channels))[0]
    found = JPEG.decode(JPEG.encode(picture), picture.shape)
    assert found.shape == picture.shape
    assert 0 < np.abs(found.astype(int) - picture).mean() < 2


def block(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(plain: bytes, shape: tuple[int, int, int] = SHAPE, head: bytes = b"\x08\x02\0\0\0") -> bytes:
    parts = (
        block(b"IHDR", struct.pack(">II", shape[1], shape[0]) + head),
        block(b"IDAT", zlib.compress(plain)),
    )
    return SIGNATURE + b"".join(parts) + block(b"IEND", b"")


PLAIN = b"".join(b"\0" + row.tobytes() for row in noise())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no PNG of"), (png(PLAIN)[:-1], "no PNG of"), (png(PLAIN) + b"x", "no PNG of"),
        (png(PLAIN, head=b"\x10\x02\0\0\0"), "no PNG of"), (png(PLAIN, shape=(7, 5, 3)), "no PNG of"),
        (png(PLAIN).replace(b"IDAT", b"IDAX"), "no PNG of"), (png(PLAIN[:-1]), "does not hold the 110 bytes"),
        (png(PLAIN + b"\0"), "does not hold the 110 bytes"), (png(bytes(10**8)), "does not hold the 110"),
        (png(b"\1" + PLAIN[1:]), "filtered"),
    ],
)  # fmt: skip
def test_d21_bytes_that_are_no_such_png_are_refused(content: bytes, said: str) -> None:
    assert PNG.decode(png(PLAIN), SHAPE).tobytes() == noise().tobytes()
    with pytest.raises(FormatError, match=said) as refused:
        PNG.decode(content, SHAPE)
    assert isinstance(refused.value, HostileFile) == ("hold" in said)


@pytest.mark.parametrize("place", [*range(8, 45, 3), -60, -20, -12, -5])
def test_d18_a_flipped_byte_of_a_png_is_found(place: int) -> None:
    content = bytearray(PNG.encode(noise()))
    content[place] ^= 4
    with pytest.raises(FormatError):
        PNG.decode(bytes(content), SHAPE)


def test_d21_a_jpeg_of_another_size_is_refused_by_its_head() -> None:
    large = JPEG.encode(np.zeros((4000, 4000, 3), np.uint8))
    with pytest.raises(FormatError, match=r"JPEG of \[4000, 4000, 3\], expected \[5, 7, 3\]"):
        JPEG.decode(large, SHAPE)
    with pytest.raises(FormatError, match=r"JPEG of \[5, 7, 1\], expected"):
        JPEG.decode(JPEG.encode(noise((5, 7, 1))), SHAPE)
    for content in (b"", b"\xff\xd8", JPEG.encode(noise())[:-40]):
        with pytest.raises(FormatError, match="JPEG is damaged"):
            JPEG.decode(content, SHAPE)


@pytest.mark.parametrize("wrong", [{"name": "gif"}, {"quality": 0}, {"quality": 101}, {"quality": True}])
def test_a_codec_that_does_not_exist_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="codec must be png or jpeg"):
        Codec(**wrong)
