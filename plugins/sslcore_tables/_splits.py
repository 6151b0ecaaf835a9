"""Which rows of a table are to train on, and which to test on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sslcore.data.holding_out import held_out_by_name
from sslcore.errors import DataError
from sslcore.system.printable import one_line

if TYPE_CHECKING:
    from sslcore_tables._labels import Labels
    from sslcore_tables._reading import Table

#: What a cell may say, in any case, and what it means.
_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
}


@dataclass(frozen=True)
class Parts:
    """The rows of both splits, int64, in the order of the table.

    Attributes:
        train: those to train on.
        test: those to test on.
        held_out: whether the table states no splits.
        notes: sentences for the user.
    """

    train: np.ndarray
    test: np.ndarray
    held_out: bool
    notes: tuple[str, ...] = ()


def split_by_column(table: Table, column: str) -> Parts:
    """Return the rows of the splits that a column states.

    Rows of `val` are used to test on where the column has no `test`.

    Raises:
        DataError: a cell names no split, or a split has no rows.
    """
    cells = table.column(column, "data.split")
    # Lists and such can't be looked up.
    usable = [cell if isinstance(cell, str) else None for cell in cells]
    meaning = {cell: _NAMES.get((cell or "").strip().casefold()) for cell in {*usable}}
    if None in meaning.values():
        row = next(row for row, cell in enumerate(usable) if meaning[cell] is None)
        got = "nothing" if cells[row] in (None, "") else one_line(repr(cells[row]))[:80]
        raise DataError(
            f"{table.path}, {table.place_of(row)}: the column {column!r} must hold train, "
            f"test or val, got {got}; --set data.split= splits the images without it"
        )
    parts = np.array([meaning[cell] for cell in usable])
    rows = {name: np.flatnonzero(parts == name) for name in ("train", "test", "val")}
    test = "test" if len(rows["test"]) else "val"
    if not len(rows["train"]) or not len(rows[test]):
        lacks = "train" if not len(rows["train"]) else "test or val"
        raise DataError(
            f"{table.path}: no row of the column {column!r} is {lacks}; --set data.split= splits "
            "the images without it"
        )
    notes: tuple[str, ...] = ()
    if test == "test" and len(rows["val"]):
        notes = (f"only train and test are used; {len(rows['val'])} rows of val are left out",)
    return Parts(rows["train"], rows[test], held_out=False, notes=notes)


def all_to_train_on(paths: Sequence[str]) -> Parts:
    """Return all rows as those to train on."""
    return Parts(np.arange(len(paths)), np.arange(0), held_out=True)


def split_by_hash(paths: Sequence[str], labels: Labels | None, fraction: float) -> Parts:
    """Return the rows with a fraction of each class held out to test on.

    Where only some rows have labels, all others are trained on. Folders that all paths begin with
    make no difference.

    Args:
        paths: at least two.
        labels: at least two are known; or None.
        fraction: in (0, 1).
    """
    rows = np.arange(len(paths)) if labels is None else np.flatnonzero(labels.known)
    groups = None
    if labels is not None and not labels.several:
        groups = labels.values[rows].tolist()
    begin = len(_common_folder(paths))
    names = [paths[row][begin:] for row in rows.tolist()]
    held_out = rows[held_out_by_name(names, groups, fraction)]
    train = np.ones(len(paths), dtype=bool)
    train[held_out] = False
    return Parts(np.flatnonzero(train), held_out, held_out=True)


def _common_folder(paths: Sequence[str]) -> str:
    """Return the folder that all paths begin with, with its last slash."""
    # Of sorted paths, the first and the last differ earliest.
    first, last = min(paths), max(paths)
    same = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    return first[: first.rfind("/", 0, same) + 1]
