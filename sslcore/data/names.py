"""The names of images, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class NamesOfRows(Sequence[str]):
    """The names of some rows of what has names.

    Args:
        name_of: returns the name of a row.
        rows: int64 (N,).
    """

    def __init__(self, name_of: Callable[[int], str], rows: Tensor | np.ndarray) -> None:
        self.name_of, self.rows = name_of, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> NamesOfRows: ...
    def __getitem__(self, place: int | slice) -> str | NamesOfRows:
        if isinstance(place, slice):
            return NamesOfRows(self.name_of, self.rows[place])
        return self.name_of(int(self.rows[place]))
