"""TIFF: any number of channels, pages and types of values, by tifffile."""

from __future__ import annotations

import io
import logging
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sslcore.data.decoding import _pillow
from sslcore.data.decoding._arrays import channels_last
from sslcore.data.decoding._image import (
    Array,
    DecodingError,
    Header,
    check_size,
    color_of,
    in_given_type,
    on_background,
    upright,
)

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

#: Both byte orders, of plain TIFF and of BigTIFF.
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 274
#: Values of tags: what colours mean, and what samples beside the colours are.
_WHITE_IS_ZERO, _RGB, _PALETTE = 0, 2, 3
_PREMULTIPLIED, _ALPHA = 1, 2
#: Pictures that Pillow turns into red, green and blue: palette, CMYK, YCbCr, CIELAB.
_PICTURES = (_PALETTE, 5, 6, 8)
#: Compressions that tifffile reads without imagecodecs: none, zlib (two numbers) and lzma.
_WITHOUT_CODECS = (1, 8, 32946, 34925)
#: Axes of pages that mean nothing in particular, or channels; the others, such as Z and T, are
#: those of a stack.
_CHANNEL_AXES = frozenset("CIQS")
_AXES = {"Z": "slices", "T": "times"}

# It logs what is odd in a file, and what is wrong raises an error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class _Layout(NamedTuple):
    """How the values of a file become an image.

    Attributes:
        page: the first page.
        shape: of the values.
        channels_first, loose: where the channels are; loose axes have no names, and the smaller
            one is that of the channels.
        alpha: whether the last channel is the opacity.
    """

    page: TiffPage
    shape: tuple[int, ...]
    channels_first: bool
    loose: bool
    alpha: bool

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        if len(self.shape) == 2:
            return *self.shape, 1
        first = self.shape[0] <= self.shape[-1] if self.loose else self.channels_first
        height, width = self.shape[1:] if first else self.shape[:2]
        return height, width, self.shape[0] if first else self.shape[-1]


def header(data: bytes) -> Header:
    """Return the header of a TIFF file.

    Raises:
        Exception: it has none, or is a stack.
    """
    with _opened(data) as file:
        if _for_pillow(file):
            page, found = file.pages.first, _pillow.header(data)
            size = page.imagelength, page.imagewidth
            return Header.of(size, found.channels, found.dtype, _orientation(page), found.alpha)
        layout = _layout(file)
        height, width, channels = layout.image_shape
        dtype = np.dtype(layout.page.dtype).name
        return Header.of(
            (height, width), channels - layout.alpha, dtype, _orientation(layout.page), layout.alpha
        )


def pixels(data: bytes, background: str, reduce: int) -> Array:
    """Return the pixels (H, W, C) of a TIFF file, upright; it comes in its own size.

    Raises:
        Exception: it can't be decoded, or is a stack.
    """
    with _opened(data) as file:
        if _for_pillow(file):
            return _pillow.pixels(data, background, reduce)
        layout = _layout(file)
        height, width, channels = layout.image_shape
        check_size((height, width), channels)
        values: Array = file.series[0].asarray(maxworkers=1).reshape(layout.shape)
    if layout.loose:
        values = channels_last(values)
    elif values.ndim == 2:
        values = values[..., None]
    elif layout.channels_first:
        values = np.moveaxis(values, 0, -1)
    if layout.page.photometric == _WHITE_IS_ZERO:
        values = _inverted(values)
    if layout.alpha:
        premultiplied = layout.page.extrasamples[-1] == _PREMULTIPLIED
        values = on_background(
            in_given_type(values), color_of(background), premultiplied=premultiplied
        )
    return upright(values, _orientation(layout.page))


@contextmanager
def _opened(data: bytes) -> Iterator[TiffFile]:
    from tifffile import TiffFile

    _check_pages(data)
    with TiffFile(io.BytesIO(data)) as file:
        _check_segments(file.pages.first, len(data))
        yield file


def _check_segments(page: TiffPage, length: int) -> None:
    """Raise `DecodingError` where strips or tiles are missing; tifffile would leave them black.

    Further pages have the shape of the first one, and reading them takes as long as decoding.
    """
    stated, places = math.prod(page.chunked), (page.dataoffsets, page.databytecounts)
    if any(len(of_each) != stated for of_each in places):
        raise DecodingError("its header states more strips or tiles than it has")
    if any(start + size > length for start, size in zip(*places, strict=True)):
        raise DecodingError("it ends before its last strip or tile")


def _check_pages(data: bytes) -> None:
    """Raise `DecodingError` where pages are cut off; tifffile would read those that are left."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    number, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    place, seen = 8 if big else 4, set[int]()
    try:
        while True:
            (start,) = struct.unpack_from(order + number, data, place)
            if start == 0:
                return
            if start in seen:
                raise DecodingError("its pages follow each other in a circle")
            seen.add(start)
            (entries,) = struct.unpack_from(order + count, data, start)
            place = start + struct.calcsize(count) + entry * entries
    except struct.error:
        raise DecodingError("it ends before its last page") from None


def _for_pillow(file: TiffFile) -> bool:
    """Whether Pillow reads all that a file has: a page of a picture of 8 bits.

    It also reads grey of up to 16 bits in compressions that tifffile has no codec for.

    Raises:
        DecodingError: neither has a codec.
    """
    page = file.pages.first
    alone = len(file.pages) == 1
    kind, samples, bits = int(page.photometric), page.samplesperpixel, page.bitspersample
    whole = np.dtype(page.dtype).kind in "ub" if page.dtype is not None else True
    pictured = alone and whole and bits <= 8
    if pictured and kind in _PICTURES:
        return True
    extra = tuple(int(sample) for sample in page.extrasamples)
    plain = (kind == _RGB and samples == 3) or (kind < _RGB and samples == 1)
    with_alpha = kind == _RGB and samples == 4 and extra in ((_ALPHA,), (_PREMULTIPLIED,))
    if pictured and (plain or with_alpha):
        return True
    if bits % 8 == 0 and (int(page.compression) in _WITHOUT_CODECS or codecs_installed()):
        return False
    if alone and whole and bits <= 16 and kind < _RGB and samples == 1:
        return True
    if codecs_installed():
        return False
    from tifffile import COMPRESSION

    name = COMPRESSION(page.compression).name
    raise DecodingError(
        f"it is a TIFF file compressed by {name}; install imagecodecs: pip install 'sslcore[tiff]'"
    )


def codecs_installed() -> bool:
    """Whether imagecodecs is installed, which reads what tifffile does not read itself."""
    try:
        return find_spec("imagecodecs") is not None
    except ValueError:
        return False


def _layout(file: TiffFile) -> _Layout:
    """Return how the values become an image.

    Raises:
        DecodingError: they are a stack, or pages of colours.
    """
    page = file.pages.first
    if len(file.pages) == 1 and not (file.is_imagej or file.is_ome):
        shape, axes = page.shape, page.axes
        loose = False
    else:
        series = file.series[0]
        shape, axes = series.shape, series.axes
        loose = len(file.pages) > 1 and "Q" in axes
        if len(file.series) > 1 and any(np.prod(o.shape) > np.prod(shape) for o in file.series):
            raise DecodingError("its pages differ in size; save the page that is the image alone")
    kept = [
        (size, axis) for size, axis in zip(shape, axes, strict=True) if size > 1 or axis in "YX"
    ]
    shape, axes = tuple(size for size, _ in kept), "".join(axis for _, axis in kept)
    others = [axis for axis in axes if axis not in "YX"]
    if len(others) > 1 or "YX" not in axes.replace("S", "") or not set(others) <= _CHANNEL_AXES:
        stacked = next((axis for axis in others if axis not in _CHANNEL_AXES), others[0])
        count = shape[axes.index(stacked)]
        raise DecodingError(
            f"it is a stack of {count} {_AXES.get(stacked, 'pages')} (axes {axes}); save each as "
            "a file, or all as a .npy file (C, H, W) to use them as channels"
        )
    extra = [int(sample) for sample in page.extrasamples]
    alpha = (
        len(shape) == 3
        and others == ["S"]
        and bool(extra)
        and extra[-1] in (_PREMULTIPLIED, _ALPHA)
        and np.dtype(page.dtype).kind in "uf"
    )
    return _Layout(page, shape, bool(others) and axes[0] in _CHANNEL_AXES, loose, alpha)


def _orientation(page: TiffPage) -> int:
    value = page.tags.valueof(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _inverted(values: Array) -> Array:
    if values.dtype == np.bool_:
        return ~values
    if np.issubdtype(values.dtype, np.unsignedinteger):
        return np.iinfo(values.dtype).max - values
    return values
