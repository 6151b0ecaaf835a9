"""Some of the images of a split, which are not copied if they are many."""

from __future__ import annotations

from torch import Tensor

from sslcore.contract.holding_out import fraction_held_out
from sslcore.data import Split
from sslcore.data.arrays import IN_MEMORY, ArrayImages
from sslcore.data.holding_out import held_out


def chosen(split: Split, rows: Tensor) -> Split:
    """Return some images of a split, by their rows, int64 (N,); many of them are not copied."""
    images = split.images
    if isinstance(images, Tensor) and images.nbytes > IN_MEMORY:
        return split.with_rows(ArrayImages(images, split.file).subset(rows), rows)
    return split.subset(rows)


def with_test_part(split: Split, fraction: float | None) -> tuple[Split, Split | None]:
    """Return the images to train on, and those held out for testing: the same at every call.

    Args:
        split: all images.
        fraction: fraction of each class to hold out, in [0, 1); 0 holds out nothing. None holds out
            a fifth of images with labels, and nothing of others.
    """
    fraction = fraction_held_out(fraction, labelled=split.labels is not None)
    if not fraction:
        return split, None
    held = held_out(len(split), split.labels, fraction)
    return chosen(split, (~held).nonzero()[:, 0]), chosen(split, held.nonzero()[:, 0])
