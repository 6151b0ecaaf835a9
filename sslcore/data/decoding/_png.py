"""PNG: Pillow decodes it; of 16 bits in colour it would keep the upper 8, so it decodes twice."""

from __future__ import annotations

import io
import struct
from typing import NamedTuple

import numpy as np
from PIL import Image

from sslcore.data.decoding import _pillow
from sslcore.data.decoding._exif import orientation_of
from sslcore.data.decoding._image import (
    Array,
    DecodingError,
    Header,
    check_size,
    color_of,
    on_background,
    upright,
)

MAGIC = b"\x89PNG\r\n\x1a\n"
#: Channels of each type of colour, and which of them have one for the opacity.
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PALETTE = 3
#: The chunk that ends a file, with its checksum.
_LAST = b"IEND\xae\x42\x60\x82"
_WITH_ALPHA = (4, 6)
#: Names that Pillow has for bytes as they are stored, by channels, and what they become: all bytes,
#: or of each value the first byte, and then the second.
_RAW = {2: ("RGBA",), 3: ("RGB;16B", "RGB;16L"), 4: ("RGBA;16B", "RGBA;16L")}


def may_be_cut(data: bytes) -> bool:
    """Whether a file does not end with its last chunk."""
    return not data.endswith(_LAST)


class _Chunks(NamedTuple):
    """What the chunks of a file say."""

    height: int
    width: int
    bits: int
    color: int
    orientation: int
    transparent: bytes | None


def header(data: bytes) -> Header:
    """Return the header of a PNG file.

    Raises:
        DecodingError: it has none.
    """
    chunks = _chunks(data)
    channels = _CHANNELS[chunks.color] - (chunks.color in _WITH_ALPHA)
    if chunks.color == _PALETTE:
        # A palette of greys is grey, as Pillow opens it.
        channels = _pillow.header(data).channels
    dtype = "uint16" if chunks.bits == 16 else "uint8"
    alpha = chunks.color in _WITH_ALPHA or chunks.transparent is not None
    return Header.of((chunks.height, chunks.width), channels, dtype, chunks.orientation, alpha)


def pixels(data: bytes, background: str, reduce: int) -> Array:
    """Return the pixels (H, W, C) of a PNG file, upright; it comes in its own size.

    Raises:
        Exception: it can't be decoded.
    """
    chunks = _chunks(data)
    if chunks.bits < 16:
        return _pillow.pixels(data, background, reduce)
    check_size((chunks.height, chunks.width), _CHANNELS[chunks.color])
    values = _sixteen_bits(data, _CHANNELS[chunks.color])
    if chunks.color in _WITH_ALPHA:
        values = on_background(values, color_of(background))
    elif chunks.transparent is not None:
        key = np.frombuffer(chunks.transparent, ">u2", values.shape[-1])
        shown = np.where((values == key).all(-1, keepdims=True), 0, np.iinfo(np.uint16).max)
        opaque = np.concatenate([values, shown.astype(np.uint16)], -1)
        values = on_background(opaque, color_of(background))
    return upright(values, chunks.orientation)


def _sixteen_bits(data: bytes, channels: int) -> Array:
    """Return the values (H, W, C), uint16."""
    if channels == 1:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.array(image).astype(np.uint16, copy=False)[..., None]
    parts = []
    for raw in _RAW[channels]:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            # A tile tells the decoder where its input is, and how it is stored.
            image.tile = [tile._replace(args=raw) for tile in image.tile]
            parts.append(np.array(image))
    if channels == 2:
        return parts[0].view(">u2").astype(np.uint16)
    values: Array = parts[0].astype(np.uint16) << 8 | parts[1]
    return values


def _chunks(data: bytes) -> _Chunks:
    """Walk the chunks of a file."""
    at, orientation, transparent = len(MAGIC), 1, None
    try:
        length, kind, width, height, bits, color = struct.unpack_from(">I4sIIBB", data, at)
    except struct.error:
        raise DecodingError("it ends before its header does") from None
    if kind != b"IHDR" or length != 13 or color not in _CHANNELS:
        raise DecodingError("its header is damaged")
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = slice(at + 8, at + 8 + length)
        if kind == b"eXIf":
            orientation = orientation_of(data[content])
        elif kind == b"tRNS":
            transparent = data[content]
        at = content.stop + 4
    return _Chunks(height, width, bits, color, orientation, transparent)
