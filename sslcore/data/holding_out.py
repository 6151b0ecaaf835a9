"""The images that are held out for testing: by their names, or by their numbers."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from sslcore.data.labels import are_known, are_several
from sslcore.errors import DataError
from sslcore.random import generator_for

#: How a hash is stored: its first bytes count most.
HASH = ">u8"
#: A note for images without labels, where no fraction is set.
NOTHING_HELD_OUT = (
    "the images have no labels, so none is held out for testing; data.test_fraction=0.2 holds out "
    "a fifth"
)


def held_out_by_name(
    names: Sequence[str], groups: Sequence[Hashable] | None, fraction: float
) -> list[int]:
    """Return the rows to test on: of each group the fraction whose names have the least hashes.

    An image stays in its split when others are added, moved or listed in another order.

    Args:
        names: names of the images; at least one.
        groups: the class of each image, of which each gives its fraction; None takes all images as
            one group, and so do groups of one image each.
        fraction: in (0, 1). A group of at least two images gives at least one and keeps one.
    """
    digests = b"".join(hashed(os.fsencode(name)) for name in names)
    numbers: dict[Hashable, int] = {}
    number = [numbers.setdefault(group, len(numbers)) for group in groups or ()]
    held_out = held_out_by_hash(
        np.frombuffer(digests, dtype=HASH).astype(np.uint64),
        np.array(number) if groups is not None else None,
        fraction,
    )
    return [int(row) for row in np.flatnonzero(held_out)]


def hashed(name: bytes) -> bytes:
    """Return the hash of a name, 8 bytes."""
    return blake2b(name, digest_size=16).digest()[:8]


def held_out_by_hash(hashes: np.ndarray, groups: np.ndarray | None, fraction: float) -> np.ndarray:
    """Return which rows to test on: of each group the fraction with the least hashes.

    Args:
        hashes: uint64, (N,).
        groups: number of the group of each row, (N,), or None.
        fraction: in (0, 1).

    Returns:
        booleans, (N,).
    """
    if groups is None or np.bincount(groups).max() == 1:  # nothing to hold out of any group alone
        groups = np.zeros(len(hashes), dtype=np.int64)
    sizes = np.bincount(groups)
    # As `round`, numpy rounds a half to the even number.
    wanted = np.minimum(np.maximum(np.rint(sizes * fraction), 1), sizes - 1)
    order = np.lexsort((hashes, groups))
    place = np.empty(len(hashes), dtype=np.int64)
    place[order] = np.arange(len(hashes))
    begins = np.cumsum(sizes) - sizes
    held_out: np.ndarray = place - begins[groups] < wanted[groups]
    return held_out


def held_out(count: int, labels: Tensor | None, fraction: float) -> Tensor:
    """Return which images without names to test on, bool (N,): the same at every call.

    Args:
        count: number of images N.
        labels: int64, (N,), of which each class gives its part, and images of unknown class
            none; or several labels an image, bool (N, K), of which a part of all is held out; or
            None.
        fraction: the part of each class, in (0, 1); a class of one image is trained on.

    Raises:
        DataError: there are fewer than two images.
    """
    if count < 2:
        raise DataError(f"there are {count} images; at least 2 are needed, one to test on")
    # The place of each image in a draw stands for the hash of its name.
    order = torch.randperm(count, generator=generator_for("held out", count))
    places = order.argsort()
    rows, groups = torch.arange(count), None
    if labels is not None and not are_several(labels) and int(are_known(labels).sum()) > 1:
        rows = are_known(labels).nonzero()[:, 0]
        groups = labels[rows].numpy()
    held = torch.zeros(count, dtype=torch.bool)
    held[rows] = torch.from_numpy(held_out_by_hash(places[rows].numpy(), groups, fraction))
    return held
