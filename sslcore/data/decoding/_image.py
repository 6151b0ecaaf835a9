"""What all decoders share: headers, errors, the limit of size, transparency and orientation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from sslcore.errors import DataError, UsageError

#: Pixels of any type.
Array = NDArray[Any]

#: Orientations of EXIF that exchange height and width.
_ON_ITS_SIDE = (5, 6, 7, 8)
#: The types that values are given in: torch does little with other unsigned types, and nothing is
#: gained by a type of 8 or 16 bits where Pillow and tifffile give it.
_GIVEN_IN = {
    "bool": "uint8",
    "int8": "int16",
    "uint32": "int64",
    "uint64": "int64",
    "float16": "float32",
}
_TYPES = ("uint8", "uint16", "int16", "int32", "int64", "float32", "float64")
#: The same, in the byte order of the machine.
_AS_THEY_ARE = frozenset(np.dtype(name) for name in _TYPES)
#: The part of each colour in a grey value (ITU-R 601), of 2^16, as Pillow has it.
_GREY = (19595, 38470, 7471)
#: Values for each pixel that the limit of size counts as one.
_VALUES_A_PIXEL = 4


class DecodingError(DataError):
    """The content of a file is no image, or is damaged."""


class Header(NamedTuple):
    """What the header of an image file says.

    Attributes:
        height, width: px, after the image is turned upright.
        channels: number of channels without transparency.
        dtype: the type of the values: "uint8", "uint16", "int16", "int32", "int64", "float32" or
            "float64". Booleans are 0 and 255; other types become the next wider one of these.
        alpha: whether it may have transparent parts.
    """

    height: int
    width: int
    channels: int
    dtype: str
    alpha: bool = False

    @classmethod
    def of(
        cls,
        size: tuple[int, int],
        channels: int,
        dtype: str,
        orientation: int = 1,
        alpha: bool = False,
    ) -> Header:
        """Return the header of an image of a height and width, turned upright, within the limit.

        Raises:
            DecodingError: the image has no pixels, or too many.
        """
        check_size(size, channels)
        height, width = size[::-1] if orientation in _ON_ITS_SIDE else size
        return cls(height, width, channels, given_in(dtype), alpha)


def given_in(dtype: str) -> str:
    """Return the type in which values of a type are given.

    Raises:
        DecodingError: values of this type are no image.
    """
    found = _GIVEN_IN.get(dtype, dtype)
    if found not in _TYPES:
        raise DecodingError(f"its values are {dtype}; expected integers, floats or booleans")
    return found


def check_size(size: tuple[int, int], channels: int) -> None:
    """Raise `DecodingError` for an image without pixels, or with more than Pillow allows.

    Pillow takes images of more than 2 · `PIL.Image.MAX_IMAGE_PIXELS` pixels, about 179 million, for
    an attack on the memory; four channels count as one.
    """
    pixels = math.prod(size) * max(1, channels / _VALUES_A_PIXEL)
    if pixels <= 0:
        raise DecodingError("it has no pixels")
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and pixels > 2 * most:
        raise DecodingError(
            f"it has {size[1]} × {size[0]} pixels with {channels} channels, more than the limit of "
            f"{2 * most / 1e6:.0f} million pixels; cut it into tiles"
        )


def in_given_type(values: Array) -> Array:
    """Return values in the type that they are given in, in the byte order of the machine.

    Raises:
        DecodingError: values of this type are no image, or too large for 64 bits with a sign.
    """
    if values.dtype in _AS_THEY_ARE:
        return values
    dtype = values.dtype.newbyteorder("=")
    wanted = given_in(dtype.name)
    if dtype.name == "bool":
        return values.astype(np.uint8) * np.uint8(255)
    if dtype.name == "uint64" and values.size and int(values.max()) > np.iinfo(np.int64).max:
        raise DecodingError("it has integers above 2^63 - 1")
    return values.astype(wanted, copy=False)


@lru_cache
def color_of(background: str) -> tuple[int, int, int]:
    """Return the red, green and blue of a colour's name, 0 to 255.

    Raises:
        UsageError: there is no such colour.
    """
    try:
        return ImageColor.getrgb(background)[:3]
    except (ValueError, AttributeError):
        raise UsageError(
            f"data.background: expected a colour such as white or #808080, got {background!r}"
        ) from None


def on_background(values: Array, color: Sequence[int], *, premultiplied: bool = False) -> Array:
    """Return an image (H, W, C), whose last channel is its opacity, on a colour.

    Args:
        values: unsigned integers, which are opaque at the largest of their type, or floats, which
            are opaque at 1.
        color: red, green and blue of the background, 0 to 255.
        premultiplied: whether the colours are multiplied by the opacity already.
    """
    dtype = values.dtype
    whole = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1.0
    shown, opacity = values[..., :-1].astype(np.float64), values[..., -1:] / whole
    below = np.asarray(color, np.float64)
    if shown.shape[-1] == 1:
        below = np.array([np.dot(below, _GREY) / 2**16])
    made = shown if premultiplied else shown * opacity
    made = made + below / 255 * whole * (1 - opacity)
    if np.issubdtype(dtype, np.integer):
        made = np.rint(made).clip(0, whole)
    result: Array = made.astype(dtype)
    return result


def grey_of(values: Array) -> Array:
    """Return the grey values (H, W, 1) of colours (H, W, 3)."""
    level: Array
    if values.dtype == np.uint8:
        level = (values @ np.array(_GREY, np.uint32) + 2**15) >> 16
    else:
        level = values.astype(np.float64) @ (np.array(_GREY) / 2**16)
        if np.issubdtype(values.dtype, np.integer):
            level = np.rint(level)
    return level.astype(values.dtype)[..., None]


def upright(values: Array, orientation: int) -> Array:
    """Return a view of an image (H, W, C) that undoes an orientation of EXIF, 1 to 8."""
    if orientation in _ON_ITS_SIDE:
        values = values.swapaxes(0, 1)
    # For 5 to 8 the axes are those after the exchange.
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values
