"""The images that a data set without a test split holds out."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.data.labels import UNKNOWN, are_several
from sslcore.errors import DataError
from sslcore.random import generator_for


def held_out(count: int, labels: Tensor | None, fraction: float) -> Tensor:
    """Return which images to test on, bool (N,): the same at every call.

    Args:
        count: number of images N.
        labels: int64, (N,), of which each class gives its part, and images of unknown class
            none; or several labels an image, bool (N, K); or None.
        fraction: the part of each class, in (0, 1); a class of one image is trained on.

    Raises:
        DataError: there are fewer than two images.
    """
    if count < 2:
        raise DataError(f"there are {count} images; at least 2 are needed, one to test on")
    if labels is None or are_several(labels):
        # Of images with several labels, a part of all is held out.
        labels = torch.zeros(count, dtype=torch.int64)
    held = torch.zeros(count, dtype=torch.bool)
    order = torch.randperm(count, generator=generator_for("held out", count))
    # Stable, so that the rows of a class keep their order in the draw.
    in_classes, place = labels[order].sort(stable=True)
    classes, counts = in_classes.unique_consecutive(return_counts=True)
    for label, rows in zip(classes, order[place].split(counts.tolist()), strict=True):
        if len(rows) > 1 and label != UNKNOWN:
            held[rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)]] = True
    if not held.any():
        held[order[0]] = True
    return held
