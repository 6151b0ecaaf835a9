"""The labels in a column: numbers, text, or several of these an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sslcore.errors import DataError
from sslcore.system.printable import one_line

if TYPE_CHECKING:
    import pyarrow as pa

#: More classes than this are most likely no classes, but texts or identifiers.
_MOST = 100_000


def labels_of(
    columns: Sequence[pa.ChunkedArray], name: str, names: Sequence[str]
) -> tuple[list[Tensor | None], tuple[str, ...]]:
    """Return the labels of each split, and the names of the classes.

    Args:
        columns: the column in each split.
        name: of the column, for messages.
        names: names of the classes where the schema has them; empty otherwise.

    Returns:
        int64 (N,), or bool (N, K) where each image has a list of labels; None for a split in which
        no image is labelled: all are null or -1.

    Raises:
        DataError: the values are no labels, or some images of a split have none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [column.combine_chunks() for column in columns]
    kind = columns[0].type
    several = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    flat = [pc.list_flatten(column) if several else column for column in columns]
    if not names:
        names, flat = _numbered(flat, name)
    numbers = [_integers(column, name, len(names)) for column in flat]
    if several:
        rows = [np.asarray(pc.list_parent_indices(column)) for column in columns]
        pairs = zip(columns, rows, numbers, strict=True)
        made = [_indicators(len(column), at, own, len(names)) for column, at, own in pairs]
        return list(made), tuple(map(one_line, names))
    return [_all_or_none(own, name) for own in numbers], tuple(map(one_line, names))


def _numbered(columns: Sequence[pa.Array], name: str) -> tuple[list[str], list[pa.Array]]:
    """Return the classes, sorted, and the values as their numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = columns[0].type
    if pa.types.is_dictionary(kind):
        columns = [column.dictionary_decode() for column in columns]
        kind = columns[0].type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (text or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"data.label: the column {name} holds {kind}, expected integers or text")
    found = {value for column in columns for value in pc.unique(column).to_pylist()} - {None}
    if not text:
        found -= {-1}
    classes = sorted(found)
    if len(classes) > _MOST:
        raise DataError(
            f"data.label: the column {name} has {len(classes):,} different values; choose a "
            "column of classes, or data.label=none"
        )
    known = pa.array(classes, kind)
    return [str(value) for value in classes], [pc.index_in(each, known) for each in columns]


def _integers(column: pa.Array, name: str, count: int) -> np.ndarray:
    """Return class numbers, -1 where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_integer(column.type):
        raise DataError(
            f"data.label: the column {name} holds {column.type}, and its classes are numbered"
        )
    numbers = np.asarray(pc.fill_null(column, -1)).astype(np.int64)
    if len(numbers) and not -1 <= numbers.min() <= numbers.max() < count:
        wrong = numbers[(numbers < -1) | (numbers >= count)][0]
        raise DataError(
            f"data.label: the column {name} has the label {wrong}, and there are {count} classes"
        )
    return numbers


def _all_or_none(numbers: np.ndarray, name: str) -> Tensor | None:
    missing = numbers < 0
    if missing.all():
        return None
    if missing.any():
        raise DataError(
            f"data.label: {missing.sum()} of {len(numbers)} images have no label in the column "
            f"{name}, the first in row {missing.argmax()}; label all of them, or use "
            "data.label=none"
        )
    return torch.from_numpy(numbers)


def _indicators(count: int, rows: np.ndarray, numbers: np.ndarray, classes: int) -> Tensor:
    made = torch.zeros(count, classes, dtype=torch.bool)
    kept = numbers >= 0
    made[torch.from_numpy(rows[kept].astype(np.int64)), torch.from_numpy(numbers[kept])] = True
    return made
