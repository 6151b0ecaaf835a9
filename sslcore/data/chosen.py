"""Some of the images of a split, which are not copied if they are many."""

from __future__ import annotations

from torch import Tensor

from sslcore.data import Split
from sslcore.data.arrays import IN_MEMORY, ArrayImages
from sslcore.data.names import ChosenNames


def chosen(split: Split, rows: Tensor) -> Split:
    """Return some images of a split, by their rows, int64 (N,); many of them are not copied."""
    images = split.images
    if isinstance(images, Tensor) and images.nbytes > IN_MEMORY:
        labels = None if split.labels is None else split.labels[rows]
        part = ArrayImages(images, split.file).subset(rows)
        return Split(part, labels, names=ChosenNames(split, rows), range=split.range)
    return split.subset(rows)
