"""Some of the images of a split, evenly spread over it."""

from __future__ import annotations

import torch

from sslcore.data import Split
from sslcore.data.reader import Rows

#: Bytes of images that a sample holds at the most.
_BYTES = 2**28


def sample(split: Split, most: int) -> Split:
    """Return images of a split in memory, evenly spread; all of them where they are few.

    Args:
        split: the split.
        most: how many images, at the most; fewer where they are large.
    """
    most = max(2, min(most, _BYTES // max(1, split.images[0].nbytes)))
    rows = torch.linspace(0, len(split) - 1, min(most, len(split))).round().long()
    images = Rows(split.images, split.file).read(rows)
    labels = None if split.labels is None else split.labels[rows]
    return Split(images, labels, names=[split.name_of(row) for row in rows.tolist()])
