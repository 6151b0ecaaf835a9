"""The part of a batch that one process scores, where several share it."""

from __future__ import annotations


def positions(rows: slice | None, count: int) -> slice:
    """Return `rows` of a batch of `count` images with its bounds as numbers; None: all of them.

    Raises:
        ValueError: there is no image in them, or they are not next to each other.
    """
    if rows is None:
        return slice(0, count)
    start, stop, step = rows.indices(count)
    if step != 1 or start >= stop:
        raise ValueError(
            f"rows must be one or more neighbouring positions among the {count} images of the "
            f"batch, got {rows}"
        )
    return slice(start, stop)
