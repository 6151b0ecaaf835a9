"""Image files decoded: their headers, and their pixels as tensors.

The content decides what a file is, and its name does not matter. No bits are lost: values of 16 and
32 bits, signed ones, floats and any number of channels come as they are in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import UnidentifiedImageError
from torch import Tensor

from sslcore.data.decoding import _arrays, _jpeg, _pillow, _png, _tiff
from sslcore.data.decoding._image import (
    Array,
    DecodingError,
    Header,
    color_of,
    grey_of,
    in_given_type,
)

__all__ = [
    "VERSION",
    "DecodingError",
    "Header",
    "codecs",
    "color_of",
    "decoded",
    "header_of",
    "may_be_cut",
]

#: Raise it when files decode to other pixels, or others can be decoded, than before.
VERSION = 3


class _Format(NamedTuple):
    """What reads a format; `pixels` takes the content, the background and the reduction."""

    header: Callable[[bytes], Header]
    pixels: Callable[[bytes, str, int], Array]


#: Formats by the bytes that a file begins with; the others are those of Pillow.
_FORMATS = {
    _jpeg.MAGIC: _Format(_jpeg.header, _jpeg.pixels),
    _png.MAGIC: _Format(_png.header, _png.pixels),
    _arrays.NPY: _Format(_arrays.npy_header, _arrays.npy_pixels),
    **dict.fromkeys(_arrays.PNM, _Format(_arrays.pnm_header, _arrays.pnm_pixels)),
    **dict.fromkeys(_tiff.MAGIC, _Format(_tiff.header, _tiff.pixels)),
}
_OTHER = _Format(_pillow.header, _pillow.pixels)


def header_of(data: bytes) -> Header:
    """Return the header of an image file.

    Raises:
        DecodingError: it has none that can be read.
    """
    try:
        return _format_of(data).header(data)
    except Exception as error:
        raise _undecodable(error) from error


def decoded(
    data: bytes, *, channels: int | None = None, background: str = "white", reduce: int = 1
) -> Tensor:
    """Return the pixels of an image file, (C, H, W), in the type that its header states.

    In memory the channels lie as in the file: last, except where each is stored apart.

    The photo is turned upright as its EXIF data say. Of several frames it is the first; pages of a
    TIFF file are channels.

    Args:
        data: the content of the file.
        channels: 1 or 3 turns colour into grey, or grey into colour, where the file has either;
            None keeps what it has.
        background: the colour below transparent parts.
        reduce: 1, 2, 4 or 8: how many times smaller the image may come, where the decoder can
            scale it.

    Raises:
        DecodingError: it can't be decoded.
        UsageError: there is no such colour.
    """
    color_of(background)
    try:
        values = in_given_type(_format_of(data).pixels(data, background, reduce))
    except Exception as error:
        raise _undecodable(error) from error
    if channels == 1 and values.shape[-1] == 3:
        values = grey_of(values)
    # torch takes no negative strides, which turned images have, and no read-only memory.
    if min(values.strides) < 0 or not values.flags.writeable:
        values = np.array(values)
    image = torch.from_numpy(values).permute(2, 0, 1)
    return image.expand(3, -1, -1) if channels == 3 and len(image) == 1 else image


def may_be_cut(data: bytes) -> bool:
    """Whether a JPEG or PNG file lacks its end: it has to be decoded to know if it is whole."""
    if data.startswith(_jpeg.MAGIC):
        return _jpeg.may_be_cut(data)
    return data.startswith(_png.MAGIC) and _png.may_be_cut(data)


def codecs() -> str:
    """Return a text that changes when other files can be decoded, as a library was installed."""
    return "imagecodecs" if _tiff.codecs_installed() else ""


def _format_of(data: bytes) -> _Format:
    found = (form for magic, form in _FORMATS.items() if data.startswith(magic))
    return next(found, _OTHER)


def _undecodable(error: Exception) -> DecodingError:
    # Broken files make decoders raise nearly anything, and every one of them means the same.
    reason = str(error).splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "it is no image of a known format"
    return DecodingError(f"can't be read as an image: {reason}")
