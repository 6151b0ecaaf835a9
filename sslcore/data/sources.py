"""Where the images of a split come from, and which boxes of them an augmentation asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from sslcore.random import BatchRandom
from sslcore.signals import Boxes


@runtime_checkable
class Images(Protocol):
    """Images that are read by their rows, each of a size, type and range of values of its own.

    The engine may call `read` in several threads at once, and pickles the object for reading
    processes. An attribute `fingerprint`, a text that changes with the content, lets the engine
    keep what it has read in a cache on disk.
    """

    def __len__(self) -> int: ...

    def read(self, rows: Sequence[int]) -> Sequence[Tensor]:
        """Return images (C, H, W): uint8, uint16, int16, int32, or floats.

        Raises:
            OSError, DataError: an image can't be read; the message names it.
        """
        ...


@runtime_checkable
class EncodedImages(Protocol):
    """Images as the content of image files, which the engine decodes.

    Threads, processes and `fingerprint` as for `Images`.
    """

    def __len__(self) -> int: ...

    def fetch(self, row: int) -> bytes:
        """Return the content of an image file: JPEG, PNG, TIFF, WebP, .npy, and others.

        Raises:
            OSError, DataError: it can't be read; the message names it.
            SourceError: none can be read; the run stops instead of leaving it out.
        """
        ...


#: From the heights and widths of the originals, int64 (B, 2), and the step's random numbers to
#: boxes by signal: the method `boxes` of an augmentation.
Boxing = Callable[[Tensor, BatchRandom], Mapping[str, Boxes]]


class Crops:
    """The boxes of a batch, cut out and resized: by signal, (V, B, C, size, size).

    Args:
        signals: uint8, or float in [0, 1].
    """

    def __init__(self, signals: Mapping[str, Tensor]) -> None:
        self.signals = dict(signals)

    def __len__(self) -> int:
        """Return the number of images in the batch."""
        return next(iter(self.signals.values())).shape[1]

    def __getitem__(self, rows: slice) -> Crops:
        """Return the boxes of some of the images."""
        return Crops({name: item[:, rows] for name, item in self.signals.items()})

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Crops:
        """Return the boxes on a device."""
        moved = {
            name: item.to(device, non_blocking=non_blocking) for name, item in self.signals.items()
        }
        return Crops(moved)

    def pin_memory(self) -> Crops:
        """Return the boxes in pinned memory."""
        return Crops({name: item.pin_memory() for name, item in self.signals.items()})


@runtime_checkable
class HasSubset(Protocol):
    """A source of images that can give some of them."""

    def subset(self, rows: Tensor) -> Any:
        """Return some of the images, by their rows, int64 (N,)."""
        ...


def part_of(source: Images | EncodedImages, rows: Tensor) -> Images | EncodedImages:
    """Return some images of a source, by their rows, int64 (N,)."""
    if isinstance(source, HasSubset):
        part: Images | EncodedImages = source.subset(rows)
        return part
    encoded = isinstance(source, EncodedImages)
    return ChosenFiles(source, rows) if encoded else ChosenImages(source, rows)


class _Chosen:
    """Some rows of a source."""

    def __init__(self, source: Any, rows: Tensor) -> None:
        self.source, self.rows = source, rows
        known = getattr(source, "fingerprint", None)
        if known is not None:
            chosen_rows = hashlib.blake2b(rows.numpy().tobytes(), digest_size=16).hexdigest()
            self.fingerprint = f"{known} {chosen_rows}"
            self.place = f"{getattr(source, 'place', known)} {chosen_rows}"

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, rows: Tensor) -> Self:
        """Return some of the images, by their rows, int64 (N,)."""
        return type(self)(self.source, self.rows[rows])


class ChosenImages(_Chosen):
    """Some rows of `Images`."""

    def read(self, rows: Sequence[int]) -> Sequence[Tensor]:
        """Return images (C, H, W)."""
        read: Sequence[Tensor] = self.source.read([int(self.rows[row]) for row in rows])
        return read


class ChosenFiles(_Chosen):
    """Some rows of `EncodedImages`."""

    def fetch(self, row: int) -> bytes:
        """Return the content of an image file."""
        content: bytes = self.source.fetch(int(self.rows[row]))
        return content
