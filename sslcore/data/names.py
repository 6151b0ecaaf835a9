"""The names of images, made when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, overload

from torch import Tensor


class Named(Protocol):
    """Images that have names."""

    def name_of(self, row: int) -> str:
        """Return the name of an image."""
        ...


class ChosenNames(Sequence[str]):
    """The names of some images of a split.

    Args:
        split: the split.
        rows: its rows, int64 (N,).
    """

    def __init__(self, split: Named, rows: Tensor) -> None:
        self.split, self.rows = split, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> ChosenNames: ...

    def __getitem__(self, row: int | slice) -> str | ChosenNames:
        if isinstance(row, slice):
            return ChosenNames(self.split, self.rows[row])
        return self.split.name_of(int(self.rows[row]))
