"""The images that a data set without a test split holds out."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.errors import DataError
from sslcore.random import generator_for


def held_out(count: int, labels: Tensor | None, fraction: float) -> Tensor:
    """Return which images to test on, bool (N,): the same at every call.

    Args:
        count: number of images N.
        labels: int64, (N,), of which each class gives its part; or None.
        fraction: the part of each class, in (0, 1); a class of one image is trained on.

    Raises:
        DataError: there are fewer than two images.
    """
    if count < 2:
        raise DataError(f"there are {count} images; at least 2 are needed, one to test on")
    groups = torch.zeros(count, dtype=torch.int64) if labels is None else labels
    held = torch.zeros(count, dtype=torch.bool)
    order = torch.randperm(count, generator=generator_for("held out", count))
    # Stable, so that the rows of a class keep their order in the draw.
    sorted_groups, place = groups[order].sort(stable=True)
    for rows in order[place].split(
        sorted_groups.unique_consecutive(return_counts=True)[1].tolist()
    ):
        if len(rows) > 1:
            held[rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)]] = True
    if not held.any():
        held[order[0]] = True
    return held
