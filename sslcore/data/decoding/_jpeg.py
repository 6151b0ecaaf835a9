"""JPEG, by libjpeg-turbo where it can, which gives the same pixels as Pillow in less time."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import simplejpeg

from sslcore.data.decoding import _pillow
from sslcore.data.decoding._exif import orientation_of
from sslcore.data.decoding._image import Array, DecodingError, Header, check_size, upright

MAGIC = b"\xff\xd8\xff"
#: Markers of a frame's header: its kind of coding does not matter here.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Markers that nothing follows.
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_APP1, _SCAN, _END = 0xE1, 0xDA, 0xD9
_EXIF = b"Exif\0\0"
#: Warnings of libjpeg after which a part of the picture is made up; Pillow ignores them.
_LOSSES = ("premature end of data segment", "bad Huffman code")
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker")
#: Bytes left over that are no sign of damage: cameras and editors write a few.
_FEW = 64


class _Frame(NamedTuple):
    """What stands before the pixels: sides in px as stored, components, and orientation."""

    height: int
    width: int
    components: int
    orientation: int


def header(data: bytes) -> Header:
    """Return the header of a JPEG file.

    Raises:
        DecodingError: it has none.
    """
    frame = _frame(data)
    channels = 1 if frame.components == 1 else 3
    return Header.of((frame.height, frame.width), channels, "uint8", frame.orientation)


def pixels(data: bytes, background: str, reduce: int) -> Array:
    """Return the pixels (H, W, C) of a JPEG file, upright, `reduce` times smaller.

    Raises:
        Exception: it can't be decoded.
    """
    frame = _frame(data)
    check_size((frame.height, frame.width), frame.components)
    if frame.components not in (1, 3):
        return _pillow.pixels(data, background, reduce)
    try:
        values = simplejpeg.decode_jpeg(
            data,
            colorspace="GRAY" if frame.components == 1 else "RGB",
            min_height=-(-frame.height // reduce) if reduce > 1 else 0,
            min_width=-(-frame.width // reduce) if reduce > 1 else 0,
        )
    except ValueError as error:
        if _lost(data, str(error)):
            raise
        # Pillow reads what is odd, and refuses what is cut off.
        return _pillow.pixels(data, background, reduce)
    return upright(values, frame.orientation)


def _lost(data: bytes, warning: str) -> bool:
    """Whether a warning of libjpeg means that a part of the picture is lost."""
    if any(loss in warning for loss in _LOSSES):
        return True
    left_over = _LEFT_OVER.search(warning)
    if left_over is None or int(left_over[1]) < _FEW:
        return False
    end = data.rfind(bytes((0xFF, _END)))
    # Cameras fill a file up with one byte.
    return len(set(data[max(0, end - int(left_over[1])) : end])) > 1


def may_be_cut(data: bytes) -> bool:
    """Whether the last scan of a file has no end; a preview in its metadata has its own."""
    end, scan = (data.rfind(bytes((0xFF, marker))) for marker in (_END, _SCAN))
    return end < max(scan, 0)


def _frame(data: bytes) -> _Frame:
    """Walk the segments of a file up to its frame."""
    at, orientation = 2, 1
    try:
        while True:
            at = data.index(b"\xff", at) + 1
            while data[at] == 0xFF:
                at += 1
            marker = data[at]
            at += 1
            if marker in _ALONE or marker == 0:
                continue
            if marker in (_SCAN, _END):
                raise DecodingError("it has no frame header")
            (length,) = struct.unpack_from(">H", data, at)
            if marker in _FRAMES:
                _, height, width, components = struct.unpack_from(">BHHB", data, at + 2)
                return _Frame(height, width, components, orientation)
            if marker == _APP1 and data[at + 2 : at + 8] == _EXIF:
                orientation = orientation_of(data[at + 8 : at + length])
            at += length
    except (IndexError, ValueError, struct.error):
        raise DecodingError("it ends before its frame header") from None
