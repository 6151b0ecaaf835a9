"""Some of the images of a split, evenly spread over it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sslcore.data import Split
from sslcore.data.form import UNIT
from sslcore.data.labels import are_known

#: Bytes of images that a sample holds at the most.
_BYTES = 2**28


def sample(split: Split, most: int) -> Split:
    """Return images of a split in memory, evenly spread; all of them where they are few.

    Of images with labels, those whose class is not known are left out.

    Args:
        split: the split.
        most: how many images, at the most; fewer where they are large.
    """
    most = max(2, min(most, _BYTES // max(1, split.read(torch.tensor([0])).nbytes)))
    rows = torch.arange(len(split))
    if split.labels is not None:
        rows = rows[are_known(split.labels)]
    spread = torch.linspace(0, len(rows) - 1, min(most, len(rows))).round().long()
    return rows_of(split, rows[spread])


def rows_of(split: Split, rows: Tensor) -> Split:
    """Return some images of a split in memory, by their rows (B,), int64."""
    images = split.read(rows)
    names = [split.name_of(row) for row in rows.tolist()]
    # Floats are in [0, 1] already.
    values = UNIT if images.is_floating_point() else None
    return replace(split.with_rows(images, rows), names=names, range=values)


def mean_and_std(split: Split, most: int = 1000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the values in [0, 1], by channel, of a sample.

    Args:
        split: the split.
        most: images in the sample, at the most.
    """
    taken = sample(replace(split, labels=None), most)
    images = taken.read(torch.arange(len(taken)))
    values = images.double() / (1 if images.is_floating_point() else 255)
    by_channel = values.movedim(-3, 0).flatten(1)
    mean, std = by_channel.mean(1), by_channel.std(1, correction=0)
    return tuple(mean.tolist()), tuple(std.tolist())
