"""Images as bytes and back: PNG without loss, or JPEG. What a picture decodes to is checked before it is.

The PNGs are plain ones (8 bits, no filter, one block of data), which any program shows; only such are read.
Source: PNG (ISO/IEC 15948:2004).
"""

import dataclasses
import functools
import struct
import zlib
from typing import Any, Literal, TypeAlias

import numpy as np

from suture.errors import ConfigError, FormatError, HostileFile
from suture.spaces import Array, Box

Name: TypeAlias = Literal["png", "jpeg"]
MOST_BYTES = 64 << 20
"""Of one decoded picture."""
SIGNATURE, END = b"\x89PNG\r\n\x1a\n", b"IEND"
COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> colour type of a PNG. Other numbers of channels are stored side by side as shades of grey."""
WORTH = 0.9
"""What compression makes of a picture, as a share, where it is worth the time that reading then takes."""
GREY, COLOURED = "GRAY", "RGB"


@dataclasses.dataclass(frozen=True)
class Codec:
    """How pictures are stored.   name: "png" loses nothing.   quality: of a JPEG, 1 to 100."""

    name: Name = "png"
    quality: int = 95

    def __post_init__(self) -> None:
        if self.name not in ("png", "jpeg") or type(self.quality) is not int or not 1 <= self.quality <= 100:
            raise ConfigError(
                "codec must be png or jpeg and quality a whole number from 1 to 100, "
                f"found {self.name!r} and {self.quality!r}."
            )

    def require(self, space: Box) -> None:
        """`ConfigError` for pictures that cannot be stored so."""
        if space.size > MOST_BYTES or not space.size:
            raise ConfigError(f"A picture must have 1 to {MOST_BYTES:,} bytes, found {space}.")
        if self.name == "jpeg" and space.shape[2] not in (1, 3):
            raise ConfigError(f"A JPEG has 1 or 3 channels, found {space}. Store it as png.")

    def encode(self, picture: Array) -> bytes:
        """The bytes of a picture (height, width, channels)."""
        if self.name == "png":
            return _png(picture)
        encode: Any = _jpeg().encode_jpeg
        picture, colours = np.ascontiguousarray(picture), _colours(picture.shape)
        return encode(picture, self.quality, colours, GREY if colours == GREY else "420")

    def decode(self, content: bytes, shape: tuple[int, ...]) -> Array:
        """The picture of some bytes, (height, width, channels). `FormatError` where they are no such one."""
        return (_from_png if self.name == "png" else _from_jpeg)(content, shape)


def _colours(shape: tuple[int, ...]) -> str:
    return GREY if shape[2] == 1 else COLOURED


def _head(shape: tuple[int, ...]) -> bytes:
    height, width, channels = shape
    wide = width if channels in COLOURS else width * channels
    return struct.pack(">IIBBBBB", wide, height, 8, COLOURS.get(channels, 0), 0, 0, 0)


def _block(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@functools.cache
def _begin(shape: tuple[int, ...]) -> bytes:
    """All of a PNG before its data."""
    return SIGNATURE + _block(b"IHDR", _head(shape))


END_BLOCK = _block(END, b"")


def _png(picture: Array) -> bytes:
    rows = np.zeros((len(picture), 1 + picture[0].size), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = picture.reshape(len(picture), -1)
    data = zlib.compress(rows.data, 1)
    data = data if len(data) < WORTH * rows.size else zlib.compress(rows.data, 0)
    return _begin(picture.shape) + _block(b"IDAT", data) + END_BLOCK


def _from_png(content: bytes, shape: tuple[int, ...]) -> Array:
    """The blocks' own checksums are left to other programs: the data's is compared when it is inflated."""
    begin, rows = _begin(shape), shape[0] * (1 + shape[1] * shape[2])
    data = memoryview(content)[len(begin) + 8 : -4 - len(END_BLOCK)]
    head = begin + struct.pack(">I", len(data)) + b"IDAT"
    if content[: len(head)] != head or content[-len(END_BLOCK) :] != END_BLOCK:
        raise FormatError(f"it is no PNG of {list(shape)} as Suture writes them")
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(data, rows + 1)
    except zlib.error as error:
        raise FormatError(f"its PNG is damaged ({error})") from error
    if len(plain) != rows or not inflate.eof or inflate.unused_data:
        raise HostileFile(f"its PNG does not hold the {rows:,} bytes that its size says")
    lines = np.frombuffer(plain, np.uint8).reshape(shape[0], -1)
    if lines[:, 0].any():
        raise FormatError("its PNG is filtered, which Suture does not write")
    return lines[:, 1:].reshape(shape)


def _from_jpeg(content: bytes, shape: tuple[int, ...]) -> Array:
    jpeg = _jpeg()
    try:
        height, width, colours, _ = jpeg.decode_jpeg_header(content)
        found = (height, width, 1 if str(colours).upper() == GREY else 3)
        if found != shape:
            raise FormatError(f"it is a JPEG of {list(found)}, expected {list(shape)}")
        return jpeg.decode_jpeg(content, _colours(shape))
    except ValueError as error:
        raise FormatError(f"its JPEG is damaged ({error})") from error


def _jpeg() -> Any:
    try:
        import simplejpeg
    except ImportError as error:
        raise ConfigError(
            "JPEG pictures need the module simplejpeg, which is not installed. Try: pip install simplejpeg"
        ) from error
    return simplejpeg
