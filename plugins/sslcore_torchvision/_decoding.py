"""Image files as arrays of one size: surveyed, decoded and resized by several threads."""

from __future__ import annotations

import os
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

#: Part of what decoded images are known by in the cache: raise it when they come out otherwise.
VERSION = 1

#: What is looked for in a file, whatever its name; others, such as EPS, can run programs.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "MPO")
#: Grey modes of Pillow.
_GREY = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N"})
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
#: Side given to images that differ in size, px, unless they are smaller.
_USUAL_SIDE = 96
#: The largest side that images keep because they all have it, px.
_LARGEST_KEPT = 256
#: Files that a thread handles in a row: handing over each alone would cost more than a small image.
_BATCH = 64

_Result = TypeVar("_Result")


class Header(NamedTuple):
    """What an image file's header says: sides in px, and whether it is grey."""

    width: int
    height: int
    grey: bool


class Format(NamedTuple):
    """What images are turned into: their side in px, and 1 or 3 channels."""

    image_size: int
    channels: int


def survey(paths: Sequence[Path]) -> list[Header]:
    """Return the headers of those files that have a readable one."""
    return [header for header in _in_threads(_header, paths) if header is not None]


def common_format(headers: Sequence[Header]) -> Format:
    """Return the format that suits images with these headers (at least one).

    The side is the images' own if they are all the same square of up to 256 px; otherwise the
    median of their short sides, but no more than 96 px. One channel if all are grey.
    """
    sides = {(header.width, header.height) for header in headers}
    width, height = next(iter(sides))
    if len(sides) == 1 and width == height <= _LARGEST_KEPT:
        size = width
    else:
        short = statistics.median_low(min(header.width, header.height) for header in headers)
        size = min(short, _USUAL_SIDE)
    return Format(size, 1 if all(header.grey for header in headers) else 3)


def decode(paths: Sequence[Path], form: Format) -> Iterator[np.ndarray | None]:
    """Yield each image as uint8 (C, S, S), in order; None for a file that can't be read.

    An image is turned upright as its EXIF data say, its transparent parts become white, 16-bit
    grey keeps its upper 8 bits; its short side is scaled to S bilinearly and the middle cut out.
    """
    return _in_threads(lambda path: _decoded(path, form), paths)


def _in_threads(
    function: Callable[[Path], _Result | None], paths: Sequence[Path]
) -> Iterator[_Result | None]:
    workers = min(32, os.cpu_count() or 1)
    window = _BATCH * workers * 4
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        # Pillow warns of every odd piece of metadata.
        warnings.simplefilter("ignore")
        for start in range(0, len(paths), window):
            # A window at a time: the pool would otherwise keep every image that waits.
            ahead = paths[start : start + window]
            batches = [ahead[at : at + _BATCH] for at in range(0, len(ahead), _BATCH)]
            for results in pool.map(lambda batch: [_attempt(function, p) for p in batch], batches):
                yield from results


def _attempt(function: Callable[[Path], _Result | None], path: Path) -> _Result | None:
    try:
        return function(path)
    except Exception:  # noqa: BLE001
        # Broken files make decoders raise nearly anything, and every one of them means the same.
        return None


def _header(path: Path) -> Header:
    with Image.open(path, formats=_FORMATS) as image:
        return Header(image.width, image.height, image.mode in _GREY)


def _decoded(path: Path, form: Format) -> np.ndarray:
    with Image.open(path, formats=_FORMATS) as opened:
        opened.load()
        image = _in_mode(_upright(opened), "L" if form.channels == 1 else "RGB")
    size = form.image_size
    if image.size != (size, size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        middle = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=middle)
    pixels = np.asarray(image, dtype=np.uint8).reshape(size, size, form.channels)
    return pixels.transpose(2, 0, 1)


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001
        # Damaged EXIF data say nothing about the pixels, which have been read.
        return image
    return image if turn is None else image.transpose(turn)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit values at 255 instead of scaling them.
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert(mode)
    if image.mode == "F":
        raise ValueError("floating-point images have no known range")
    if image.getbands()[-1] == "A" or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)
