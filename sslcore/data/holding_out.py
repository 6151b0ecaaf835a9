"""The images that are held out for testing, chosen by their names."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from hashlib import blake2b

import numpy as np


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


#: How a hash is stored: its first bytes count most.
HASH = ">u8"


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
