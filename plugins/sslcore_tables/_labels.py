"""Labels in a table: a class for each image, or several labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sslcore.errors import DataError
from sslcore.system.printable import one_line, printable

if TYPE_CHECKING:
    from sslcore_tables._reading import Table

#: What separates the labels of an image in one column.
_SEPARATORS = ("|", ";")
#: Cells of a column that is one yes/no label.
_YES_NO = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "y"), True),
    **dict.fromkeys(("0", "0.0", "false", "no", "n"), False),
}


@dataclass(frozen=True)
class Labels:
    """The labels of all rows.

    Attributes:
        values: int64 (N,), classes; or bool (N, K), which of K labels an image has.
        known: which rows have a label, bool (N,).
        classes: names of the classes, or of the labels.
        notes: sentences for the user.
    """

    values: np.ndarray
    known: np.ndarray
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.values.ndim == 2

    @property
    def problem(self) -> str:
        """What makes the labels useless; empty if nothing does."""
        count = int(self.known.sum())
        if count < 2:
            return "only one row has a label" if count else "no row has a label"
        if self.several:
            return ""
        if len(self.classes) == 1:
            return f"all labels are {printable(self.classes[0])!r}"
        return "no two rows have the same label" if len(self.classes) == count else ""

    def of(self, rows: np.ndarray) -> Tensor:
        """Return the labels of some rows: int64 (B,), or bool (B, K)."""
        return torch.from_numpy(self.values[rows])

    def used(self, rows: np.ndarray) -> np.ndarray:
        """Return which of the K classes some rows have, bool (K,)."""
        if self.several:
            return np.asarray(self.values[rows].any(axis=0))
        used = np.zeros(len(self.classes), dtype=bool)
        used[self.values[rows]] = True
        return used

    def with_note(self, note: str) -> Labels:
        """Return the labels with a further note."""
        return replace(self, notes=(*self.notes, note))


def labels_of(table: Table, columns: Sequence[str]) -> Labels:
    """Return the labels in one column, or in several columns of yes and no.

    Raises:
        DataError: a column is missing, or a value is no label.
    """
    read = [table.column(name, "data.label") for name in columns]
    if len(columns) > 1:
        return _yes_no(table, columns, read)
    (name,), (values,) = columns, read
    texts = _texts(table, name, values)
    parted = _parted(texts)
    if parted is not None:
        return _several(*parted)
    return _classes(texts)


def _texts(table: Table, column: str, values: Sequence[object]) -> list[str | tuple[str, ...]]:
    """Return values as text, empty where there is none; lists become tuples."""
    if {*map(type, values)} == {str}:
        stripped = {value: str(value).strip() for value in {*values}}
        return [stripped[value] for value in values]
    return [
        tuple(_text(table, column, row, item) for item in value)
        if isinstance(value, list)
        else _text(table, column, row, value)
        for row, value in enumerate(values)
    ]


def _text(table: Table, column: str, row: int, value: object) -> str:
    if value is None or value != value:  # a missing number is not a number
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        # A column of whole numbers with gaps, as other programs write it.
        return str(int(value))
    if isinstance(value, (str, int)):
        return str(value).strip()
    raise DataError(
        f"{table.path}, {table.place_of(row)}: {one_line(repr(value))[:80]} in the column "
        f"{column!r} is no label; expected text or a whole number"
    )


def _parted(
    texts: list[str | tuple[str, ...]],
) -> tuple[list[tuple[str, ...]], np.ndarray, str] | None:
    """Return the labels of each row, and which rows have any; None where each has one at most."""
    known = np.fromiter(map(bool, texts), dtype=bool, count=len(texts))
    if tuple in {*map(type, texts)}:
        # An empty list is an answer: this image has none of the labels. No list is none.
        rows = [text if isinstance(text, tuple) else (text,) if text else () for text in texts]
        known |= np.fromiter((text == () for text in texts), dtype=bool, count=len(texts))
        return rows, known, "lists"
    distinct = {str(text) for text in {*texts}}
    for separator in _SEPARATORS:
        if any(separator in text for text in distinct):
            split = {
                text: tuple(part.strip() for part in text.split(separator) if part.strip())
                for text in distinct
            }
            return [split[str(text)] for text in texts], known, f"separated by '{separator}'"
    return None


def _several(rows: list[tuple[str, ...]], known: np.ndarray, how: str) -> Labels:
    classes = _in_order({name for row in rows for name in row})
    number = {name: place for place, name in enumerate(classes)}
    values = np.zeros((len(rows), len(classes)), dtype=bool)
    for place, row in enumerate(rows):
        for name in row:
            values[place, number[name]] = True
    note = f"an image may have several of {len(classes)} labels ({how})"
    return Labels(values, known, tuple(classes), (note,))


def _classes(texts: list[str | tuple[str, ...]]) -> Labels:
    classes = _in_order({str(text) for text in {*texts} if text})
    number: dict[object, int] = {name: place for place, name in enumerate(classes)}
    number[""] = -1
    values = np.fromiter(map(number.__getitem__, texts), dtype=np.int64, count=len(texts))
    return Labels(values, values >= 0, tuple(classes))


def _in_order(names: set[str]) -> list[str]:
    """Return names sorted; numbers by their value."""
    numbers = all(name.isascii() and name.isdigit() for name in names)
    key: Callable[[str], tuple[int, str]] = (
        (lambda name: (int(name), name)) if numbers else (lambda name: (0, name))
    )
    return sorted(names, key=key)


def _yes_no(table: Table, columns: Sequence[str], read: Sequence[Sequence[object]]) -> Labels:
    """Return labels of which each has a column; an empty cell in a row with others is a no."""
    values = np.zeros((table.size, len(columns)), dtype=bool)
    given = np.zeros((table.size, len(columns)), dtype=bool)
    for place, (name, cells) in enumerate(zip(columns, read, strict=True)):
        for row, text in enumerate(_texts(table, name, cells)):
            if text == "":
                continue
            answer = _YES_NO.get(text.lower()) if isinstance(text, str) else None
            if answer is None:
                raise DataError(
                    f"{table.path}, {table.place_of(row)}: {one_line(str(text))[:80]!r} in the "
                    f"column {name!r} is neither yes nor no; expected 1 or 0"
                )
            values[row, place], given[row, place] = answer, True
    known = np.asarray(given.any(axis=1))
    labels = Labels(values, known, tuple(columns))
    empty = int((~given[known]).sum())
    return labels.with_note(f"{empty} empty cells of labels count as no") if empty else labels
