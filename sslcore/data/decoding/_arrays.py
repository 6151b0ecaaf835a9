"""Files that are little more than an array: .npy, and PGM and PPM of 16 bits."""

from __future__ import annotations

import io
import math
import re
from typing import NamedTuple

import numpy as np

from sslcore.data.decoding import _pillow
from sslcore.data.decoding._image import Array, DecodingError, Header, check_size

NPY = b"\x93NUMPY"
PNM = (b"P2", b"P3", b"P5", b"P6")
#: Width, height and largest value behind the kind; comments may stand between them.
_PNM_HEADER = re.compile(
    rb"(P[2356])(?:\s|#[^\n]*\n)+(\d+)" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 2 + rb"\s"
)


def npy_header(data: bytes) -> Header:
    """Return the header of a .npy file.

    Raises:
        DecodingError: it holds no image.
    """
    array = _Npy.of(data)
    return Header.of(array.size, array.channels, array.dtype.newbyteorder("=").name)


def npy_pixels(data: bytes, background: str, reduce: int) -> Array:
    """Return the pixels (H, W, C) of a .npy file; nothing in it is transparent.

    Raises:
        DecodingError: it holds no image, or is cut off.
    """
    array = _Npy.of(data)
    check_size(array.size, array.channels)
    count = math.prod(array.shape)
    if len(data) - array.start < count * array.dtype.itemsize:
        raise DecodingError("it ends before its last value")
    flat = np.frombuffer(data, array.dtype, count, array.start)
    return channels_last(flat.reshape(array.shape, order="F" if array.fortran else "C"))


def channels_last(values: Array) -> Array:
    """Return an image (H, W), (C, H, W) or (H, W, C) as (H, W, C).

    The smaller one of the first and the last axis is that of the channels; the first if both are
    equal.
    """
    if values.ndim == 2:
        return values[..., None]
    return np.moveaxis(values, 0, -1) if values.shape[0] <= values.shape[-1] else values


class _Npy(NamedTuple):
    """The header of a .npy file."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[np.generic]
    start: int

    @classmethod
    def of(cls, data: bytes) -> _Npy:
        file = io.BytesIO(data[: 2**17])
        try:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(file)
        except Exception as error:
            raise DecodingError("its .npy header is damaged") from error
        if dtype.hasobject or dtype.names is not None:
            raise DecodingError(f"its values are {dtype}; expected integers, floats or booleans")
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise DecodingError(
                f"its array has the shape {shape}; expected (H, W), (C, H, W) or (H, W, C)"
            )
        return cls(shape, fortran, dtype, file.tell())

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.shape[-2:] if self._channels_first else self.shape[:2]
        return height, width

    @property
    def channels(self) -> int:
        """Number of channels."""
        if len(self.shape) == 2:
            return 1
        return self.shape[0] if self._channels_first else self.shape[-1]

    @property
    def _channels_first(self) -> bool:
        return len(self.shape) == 3 and self.shape[0] <= self.shape[-1]


def pnm_header(data: bytes) -> Header:
    """Return the header of a PGM or PPM file.

    Raises:
        Exception: it has none.
    """
    wide = _wide_pnm(data)
    if wide is None:
        return _pillow.header(data)
    return Header.of(wide.size, wide.channels, "uint16")


def pnm_pixels(data: bytes, background: str, reduce: int) -> Array:
    """Return the pixels (H, W, C) of a PGM or PPM file; Pillow would scale 16 bits.

    Raises:
        Exception: it can't be decoded.
    """
    wide = _wide_pnm(data)
    if wide is None:
        return _pillow.pixels(data, background, reduce)
    check_size(wide.size, wide.channels)
    shape = (*wide.size, wide.channels)
    count = math.prod(shape)
    if wide.plain:
        content = re.sub(rb"#[^\n]*", b"", data[wide.start :])
        values = np.array(content.split(maxsplit=count)[:count], dtype=np.uint32)
        if len(values) < count or values.max() > wide.largest:
            raise DecodingError("it has too few values, or larger ones than its header says")
        return values.reshape(shape).astype(np.uint16)
    if len(data) - wide.start < 2 * count:
        raise DecodingError("it ends before its last value")
    return np.frombuffer(data, ">u2", count, wide.start).reshape(shape)


class _WidePnm(NamedTuple):
    """The header of a PGM or PPM file with more than 8 bits."""

    size: tuple[int, int]
    channels: int
    largest: int
    plain: bool
    start: int


def _wide_pnm(data: bytes) -> _WidePnm | None:
    """Return the header of a file with more than 8 bits; None for others."""
    found = _PNM_HEADER.match(data[: 2**12])
    if found is None or not 255 < int(found[4]) <= 65535:
        return None
    kind = found[1]
    return _WidePnm(
        (int(found[3]), int(found[2])),
        3 if kind in (b"P3", b"P6") else 1,
        int(found[4]),
        plain=kind in (b"P2", b"P3"),
        start=found.end(),
    )
