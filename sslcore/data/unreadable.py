"""Images that can't be read: they are found while squares are made, named, and left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslcore.data import Data, Split
from sslcore.data.decoding import header_of
from sslcore.data.form import Form, FormError
from sslcore.data.labels import renumbered
from sslcore.data.names import NamesOfRows
from sslcore.data.originals import Originals, in_threads
from sslcore.data.sources import EncodedImages
from sslcore.errors import DataError, SourceError, first_line
from sslcore.system.watching import Watch

if TYPE_CHECKING:
    import numpy as np

#: Images read between two reports of progress.
_AT_A_TIME = 1024
#: Number of unreadable images to name; the others are only counted.
_NAMED = 3


def readable(originals: Originals, rows: Sequence[int]) -> list[Tensor | None]:
    """Return the squares (C, S, S) of some rows of a source; None for one that can't be read."""

    def square(row: int) -> Tensor | None:
        try:
            return originals.square(row).contiguous()
        except (FormError, SourceError):
            # The image is sound: to leave it out would hide a mixture, or a store that is silent.
            raise
        except (DataError, OSError):
            return None

    return in_threads(square, rows)


def squares_of(split: Split, form: Form, first: int, watch: Watch) -> Iterator[np.ndarray | None]:
    """Yield the squares of the images from a row on; None for one that can't be read."""
    assert not isinstance(split.images, (Tensor, Originals))
    originals, total = Originals(split.images, form, None, split.name_of), len(split)
    for start in range(first, total, _AT_A_TIME):
        watch(start, total)
        for square in readable(originals, range(start, min(start + _AT_A_TIME, total))):
            yield None if square is None else square.numpy()
    watch(total, total)


def at_least_one(
    name: str, split: Split, images: Iterator[np.ndarray | None]
) -> Iterator[np.ndarray | None]:
    """Pass images on; raise `DataError` at the end if there were none."""
    readable = 0
    for image in images:
        readable += image is not None
        yield image
    if not readable:
        raise DataError(none_readable(name, split))


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def none_readable(name: str, split: Split) -> str:
    """Return the message for a split of which no image can be read."""
    names = listed(NamesOfRows(split.name_of, torch.arange(len(split))))
    what_next = reason_of(split, 0) or "replace them"
    return f"none of the {name} images can be read ({names}); {what_next}"


def reason_of(split: Split, row: int) -> str:
    """Return what is wrong with an image that can't be read, with its name; empty if unknown."""
    images = split.images
    try:
        if isinstance(images, Originals):
            images.square(row)
        elif isinstance(images, EncodedImages):
            header_of(images.fetch(row))
    except (DataError, OSError) as error:
        name, message = split.name_of(row), first_line(error)
        return message if name in message else f"{name} {message}"
    return ""


def without_empty_classes(data: Data) -> Data:
    """Return a data set whose classes have an image each, their labels numbered anew."""
    found = {
        label
        for split in data.splits
        if split.labels is not None and split.labels.dim() == 1
        for label in split.labels.unique().tolist()
    }
    kept = [label for label in range(len(data.classes)) if label in found]
    if not found or len(kept) == len(data.classes):
        return data
    number = torch.full((len(data.classes),), -1)
    number[kept] = torch.arange(len(kept))

    def of(_name: str, split: Split) -> Split:
        if split.labels is None:
            return split
        return replace(split, labels=renumbered(split.labels, number, len(kept)))

    classes = tuple(data.classes[label] for label in kept)
    return replace(data.with_splits(of), classes=classes)
