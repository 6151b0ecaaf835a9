"""Image files decoded: their headers, and their pixels as tensors."""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from sslcore.errors import DataError

#: What is looked for in a file, whatever its name; others, such as EPS, can run programs.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
#: Grey modes of Pillow.
_GREY = frozenset({"1", "L", "I", "I;16", "I;16B", "I;16L", "I;16N", "F", "LA"})
#: The EXIF tag that tells how a camera was held, and what undoes each of its values.
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: Orientations that exchange height and width.
_ON_ITS_SIDE = (5, 6, 7, 8)

# Pillow warns of every odd piece of metadata; threads share one list of filters, so it is set once.
warnings.filterwarnings("ignore", module=r"PIL\.")


class DecodingError(DataError):
    """The content of a file is no image, or is damaged."""


class Header(NamedTuple):
    """What the header of an image file says.

    Attributes:
        height, width: px, after the image is turned upright.
        channels: number of channels without transparency.
        dtype: "uint8", "uint16", "int32" or "float32".
    """

    height: int
    width: int
    channels: int
    dtype: str


def header_of(data: bytes) -> Header:
    """Return the header of an image file.

    Raises:
        DecodingError: it has none that can be read.
    """
    try:
        with _opened(data) as image:
            width, height = image.size
            if _orientation(image) in _ON_ITS_SIDE:
                width, height = height, width
            return Header(height, width, 1 if image.mode in _GREY else 3, _dtype(image.mode))
    except Exception as error:
        raise _undecodable(error) from error


def decoded(
    data: bytes, *, channels: int | None = None, background: str = "white", reduce: int = 1
) -> Tensor:
    """Return the pixels of an image file, (C, H, W), as its type has them.

    Args:
        data: the content of the file.
        channels: 1 or 3 turns colour into grey, or grey into colour, where the file has either;
            None keeps what it has.
        background: the colour below transparent parts.
        reduce: 1, 2, 4 or 8: how many times smaller the image may come, where the decoder can
            scale it.

    Raises:
        DecodingError: it can't be decoded.
    """
    try:
        with _opened(data) as opened:
            if reduce > 1:
                opened.draft(None, (opened.width // reduce, opened.height // reduce))
            opened.load()
            image = _upright(opened)
            if image.mode.startswith("I") or image.mode == "F":
                pixels = np.asarray(image)
            else:
                mode = "L" if channels == 1 or (channels is None and image.mode in _GREY) else "RGB"
                pixels = np.asarray(_in_mode(image, mode, background), dtype=np.uint8)
    except Exception as error:
        raise _undecodable(error) from error
    # torch takes no read-only memory, and no other byte order.
    pixels = np.array(pixels, dtype=pixels.dtype.newbyteorder("="))
    tensor = torch.from_numpy(pixels)
    return tensor[None] if tensor.dim() == 2 else tensor.permute(2, 0, 1)


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def _undecodable(error: Exception) -> DecodingError:
    # Broken files make decoders raise nearly anything, and every one of them means the same.
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "it is no image of a known format"
    return DecodingError(f"can't be read as an image: {reason}")


def _dtype(mode: str) -> str:
    if mode.startswith("I;16"):
        return "uint16"
    return {"I": "int32", "F": "float32"}.get(mode, "uint8")


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info and image.format not in ("TIFF", "PNG", "WEBP"):
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001
        # Damaged EXIF data say nothing about the pixels.
        return 1


def _upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _in_mode(image: Image.Image, mode: str, background: str) -> Image.Image:
    if image.getbands()[-1] in ("A", "a") or "transparency" in image.info:
        image = image.convert("RGBA")
        below = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(below, image)
    return image if image.mode == mode else image.convert(mode)
