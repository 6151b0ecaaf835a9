"""Some of the images of a split, which are not copied if they are many."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol, Self, overload, runtime_checkable

from torch import Tensor

from sslcore.data import Split
from sslcore.data.arrays import IN_MEMORY, ArrayImages
from sslcore.data.originals import Originals
from sslcore.data.sources import EncodedImages, Images


@runtime_checkable
class HasSubset(Protocol):
    """A source of images that can give some of them."""

    def subset(self, rows: Tensor) -> Any:
        """Return some of the images, by their rows, int64 (N,)."""
        ...


def chosen(split: Split, rows: Tensor) -> Split:
    """Return some images of a split, by their rows, int64 (N,); many of them are not copied."""
    images = split.images
    if isinstance(images, Tensor):
        if images.nbytes <= IN_MEMORY:
            return split.subset(rows)
        images = ArrayImages(images, split.file)
    part: Images | EncodedImages | Originals
    if isinstance(images, HasSubset):
        part = images.subset(rows)
    elif isinstance(images, EncodedImages):
        part = ChosenFiles(images, rows)
    else:
        part = ChosenImages(images, rows)
    labels = None if split.labels is None else split.labels[rows]
    return Split(part, labels, names=ChosenNames(split, rows), range=split.range)


class _Chosen:
    """Some rows of a source."""

    def __init__(self, source: Any, rows: Tensor) -> None:
        self.source, self.rows = source, rows
        known = getattr(source, "fingerprint", None)
        if known is not None:
            chosen_rows = hashlib.blake2b(rows.numpy().tobytes(), digest_size=16).hexdigest()
            self.fingerprint = f"{known} {chosen_rows}"

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


class ChosenNames(Sequence[str]):
    """The names of some images of a split."""

    def __init__(self, split: Split, rows: Tensor) -> None:
        self.split, self.rows = split, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> ChosenNames: ...

    def __getitem__(self, row: int | slice) -> str | ChosenNames:
        if isinstance(row, slice):
            return ChosenNames(self.split, self.rows[row])
        return self.split.name_of(int(self.rows[row]))
