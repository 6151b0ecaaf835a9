"""The images that are held out for testing, chosen by their names."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Sequence
from hashlib import blake2b


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
    by_group: dict[Hashable, list[int]] = defaultdict(list)
    for row, group in enumerate(groups if groups is not None else [None] * len(names)):
        by_group[group].append(row)
    if max(map(len, by_group.values())) == 1:  # nothing to hold out of any group alone
        by_group = {None: list(range(len(names)))}
    hashes = [blake2b(os.fsencode(name), digest_size=16).digest() for name in names]
    held_out: list[int] = []
    for rows in by_group.values():
        count = min(max(round(len(rows) * fraction), 1), len(rows) - 1)
        held_out += sorted(rows, key=hashes.__getitem__)[:count]
    return sorted(held_out)
