"""Images of any size, read when they are needed: whole, as squares, or the boxes asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from sslcore.compute.threads import one_thread_each, works_beside_others
from sslcore.data.decoding import DecodingError, Header, decoded, header_of
from sslcore.data.form import Form, resized, resized_box
from sslcore.data.sources import Boxing, Crops, EncodedImages, Images
from sslcore.errors import DataError, first_line
from sslcore.random import BatchRandom
from sslcore.signals import Boxes

#: An image is scaled by its decoder as long as it stays this many times larger than what is
#: wanted, so that the filter that follows decides how it looks.
_SPARE = 1.5
#: How many times smaller decoders can make an image.
_REDUCTIONS = (8, 4, 2)
#: Images that a thread reads in a row: to hand over each would take longer than a small image.
_IN_A_ROW = 8

_Result = TypeVar("_Result")


class Originals:
    """The images of a source, some of them or all, and their form.

    Args:
        source: where they come from.
        form: what they are brought into.
        rows: the rows of the source that there are, int64 (N,); None takes all.
        name_of: returns the name of a row of the source, for messages.
    """

    def __init__(
        self,
        source: Images | EncodedImages,
        form: Form,
        rows: Tensor | None = None,
        name_of: Callable[[int], str] = "image {}".format,
    ) -> None:
        self.source, self.form, self.rows, self.name_of = source, form, rows, name_of

    def __len__(self) -> int:
        return len(self.source) if self.rows is None else len(self.rows)

    def subset(self, rows: Tensor) -> Originals:
        """Return some of the images, by their rows, int64 (N,)."""
        own = rows if self.rows is None else self.rows[rows]
        return Originals(self.source, self.form, own, self.name_of)

    def read(self, rows: Tensor, device: torch.device | None = None) -> Tensor:
        """Return squares (B, C, S, S) of some rows (B,): uint8, or float32 in [0, 1].

        Raises:
            OSError, DataError: an image can't be read; the message names it.
        """
        return torch.stack(list(in_threads(self.square, self._own(rows))))

    def square(self, row: int) -> Tensor:
        """Return the square (C, S, S) of a row of the source."""
        return _Opened(self, row).middle()

    def sizes(self, rows: Tensor) -> Tensor:
        """Return the heights and widths of the originals of some rows (B,): int64 (B, 2)."""
        sizes = in_threads(lambda row: _Opened(self, row).size, self._own(rows))
        return torch.tensor(sizes, dtype=torch.int64).view(-1, 2)

    def crops(self, rows: Tensor, boxing: Boxing, random: BatchRandom) -> Crops:
        """Return the boxes that an augmentation asks for of some rows (B,).

        Args:
            rows: of the batch.
            boxing: from the sizes of the originals to boxes.
            random: the random numbers of the step.

        Raises:
            OSError, DataError: an image can't be read; the message names it.
        """
        opened = [_Opened(self, row) for row in self._own(rows)]
        sizes = torch.tensor([item.size for item in opened], dtype=torch.int64).view(-1, 2)
        boxes = boxing(sizes, random)
        dtype = torch.float32 if self.form.floats else torch.uint8
        made = {
            name: torch.empty((*box.top.shape, self.form.channels, box.size, box.size), dtype=dtype)
            for name, box in boxes.items()
        }
        for place, item in enumerate(opened):
            item.cut(place, boxes, made)
            # The image is not needed again, and a batch of large photos is a lot of memory.
            opened[place] = item.closed()
        return Crops(made)

    def _own(self, rows: Tensor) -> list[int]:
        own: list[int] = (rows if self.rows is None else self.rows[rows]).tolist()
        return own


class _Opened:
    """An image of a source: its size is known, and its pixels when they are asked for."""

    def __init__(self, originals: Originals, row: int) -> None:
        self.form = originals.form
        self.name = originals.name_of(row)
        self._data: bytes | None = None
        self._image: Tensor | None = None
        source = originals.source
        self.size: tuple[int, int]
        if isinstance(source, EncodedImages):
            self._data = self.guarded(lambda: source.fetch(row))
            header: Header = self.guarded(lambda: header_of(self._data or b""))
            self.size = (header.height, header.width)
        else:
            self._image = self.guarded(lambda: source.read([row])[0])
            self.size = (self._image.shape[-2], self._image.shape[-1])

    def guarded(self, run: Callable[[], _Result]) -> _Result:
        """Run something, and name the image in its errors."""
        try:
            return run()
        except (DataError, OSError, ValueError) as error:
            message = first_line(error)
            if self.name in message:
                raise
            between = " " if isinstance(error, DecodingError) else ": "
            kind = type(error) if isinstance(error, DataError) else DataError
            raise kind(f"{self.name}{between}{message}") from error

    def image(self, smaller: Sequence[float]) -> Tensor:
        """Return the image (C, H, W) in the form's values; by a whole number smaller, perhaps.

        Args:
            smaller: how many times smaller each of the results is than the part it is made of.
        """
        if self._image is not None:
            return self.form.values(self._image)
        assert self._data is not None
        least = min(smaller) / _SPARE
        reduce = next((number for number in _REDUCTIONS if number <= least), 1)
        channels = self.form.channels if self.form.channels in (1, 3) else None
        image = decoded(
            self._data, channels=channels, background=self.form.background, reduce=reduce
        )
        return self.form.values(image)

    def middle(self) -> Tensor:
        """Return the middle of the image, as a square of the form's side."""
        height, width = self.size
        side = min(height, width)
        box = ((height - side) // 2, (width - side) // 2, side, side)
        size = self.form.image_size
        return self.guarded(lambda: self._resized(self.image([side / size]), box, size))

    def cut(self, place: int, boxes: Mapping[str, Boxes], made: dict[str, Tensor]) -> None:
        """Write the boxes of this image, image `place` of the batch, to where they belong."""
        self.guarded(lambda: self._cut(place, boxes, made))

    def _cut(self, place: int, boxes: Mapping[str, Boxes], made: dict[str, Tensor]) -> None:
        parts = {name: torch.stack(box[:4], -1)[:, place].tolist() for name, box in boxes.items()}
        smaller = [
            min(height, width) / boxes[name].size
            for name, part in parts.items()
            for _, _, height, width in part
        ]
        image = self.image(smaller)
        for name, part in parts.items():
            size, interpolation = boxes[name].size, boxes[name].interpolation
            for view, box in enumerate(part):
                made[name][view, place] = self._resized(image, box, size, interpolation)

    def _resized(
        self,
        image: Tensor,
        box: Sequence[int],
        size: int,
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    ) -> Tensor:
        """Return a box of the original, resized, from an image that may have been reduced."""
        top, left, height, width = box
        # A decoder rounds the sides up, so the ratio is that of the long one, rounded.
        reduced = max(1, round(max(self.size) / max(image.shape[-2:])))
        if reduced == 1:
            cut = image[:, top : top + height, left : left + width]
            return resized(cut, size, interpolation)
        edges = (left, top, left + width, top + height)
        return resized_box(image, [edge / reduced for edge in edges], size, interpolation)

    def closed(self) -> _Opened:
        """Let go of the content."""
        self._data = self._image = None
        return self


def in_threads(function: Callable[[int], _Result], rows: Sequence[int]) -> list[_Result]:
    """Return what a function makes of rows, in order, with a thread for each core.

    A thread or a process of several that read ahead does it alone.
    """
    cores = min(32, os.cpu_count() or 1)
    alone = works_beside_others() or get_worker_info() is not None
    if len(rows) <= _IN_A_ROW or cores == 1 or alone:
        return [function(row) for row in rows]
    parts = [rows[start : start + _IN_A_ROW] for start in range(0, len(rows), _IN_A_ROW)]
    with ThreadPoolExecutor(cores, initializer=one_thread_each) as pool:
        made = pool.map(lambda part: [function(row) for row in part], parts)
        return [item for part in made for item in part]
