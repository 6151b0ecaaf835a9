"""The formats of which Pillow keeps all: pictures of 8 bits, and grey of 16 and 32."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from sslcore.data.decoding._image import Array, Header, check_size, color_of, upright

#: What is looked for in a file, whatever its name; others, such as EPS, can run programs.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
#: Grey modes, and the types of those with more than 8 bits.
_GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
_WIDE = {"I": "int32", "F": "float32"}
_ORIENTATION = 0x0112

# Pillow warns of every odd piece of metadata; threads share one list of filters, so it is set once.
warnings.filterwarnings("ignore", module=r"PIL\.")


def header(data: bytes) -> Header:
    """Return the header of a file.

    Raises:
        Exception: Pillow can't read it.
    """
    with _opened(data) as image:
        channels = 1 if image.mode in _GREY else 3
        size, dtype = image.size[::-1], _dtype(image.mode)
        return Header.of(size, channels, dtype, _orientation(image), _has_alpha(image))


def pixels(data: bytes, background: str, reduce: int) -> Array:
    """Return the pixels (H, W, C) of the first frame, upright.

    Args:
        data: the content of the file.
        background: the colour below transparent parts.
        reduce: how many times smaller the image comes, where the decoder can scale it.

    Raises:
        Exception: Pillow can't read it.
    """
    with _opened(data) as image:
        check_size(image.size[::-1], len(image.getbands()))
        if reduce > 1:
            image.draft(None, (image.width // reduce, image.height // reduce))
        image.load()
        orientation = _orientation(image)
        values = np.array(image if _is_wide(image.mode) else _of_bytes(image, background))
    return upright(values if values.ndim == 3 else values[..., None], orientation)


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def _is_wide(mode: str) -> bool:
    return mode.startswith("I") or mode == "F"


def _dtype(mode: str) -> str:
    return "uint16" if mode.startswith("I;16") else _WIDE.get(mode, "uint8")


def _orientation(image: Image.Image) -> int:
    # Pillow turns TIFF files itself.
    if image.format == "TIFF" or ("exif" not in image.info and image.format not in ("PNG", "WEBP")):
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001
        # Damaged EXIF data say nothing about the pixels.
        return 1


def _of_bytes(image: Image.Image, background: str) -> Image.Image:
    """Return an image as grey or red, green and blue, on the background."""
    mode = "L" if image.mode in _GREY else "RGB"
    if _has_alpha(image):
        image = image.convert("RGBA")
        below = Image.new("RGBA", image.size, color_of(background))
        image = Image.alpha_composite(below, image)
    return image if image.mode == mode else image.convert(mode)


def _has_alpha(image: Image.Image) -> bool:
    return image.getbands()[-1] in ("A", "a") or "transparency" in image.info
