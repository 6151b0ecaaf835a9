"""Encoded images read by their places in files, or from groups of rows where they have none."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sslcore.errors import DataError, SourceError
from sslcore.system.open_files import OpenFiles
from sslcore.system.printable import printable
from sslcore_huggingface._places import ELSEWHERE, Column, group, group_sizes

if TYPE_CHECKING:
    import pyarrow as pa

#: Bytes of groups of rows that stay in memory.
_GROUPS = 2**30


class StoredImages:
    """Encoded images of one or several files.

    Args:
        files: paths of the files that hold them.
        places: of type `PLACE`, (N,); `file` is the number of one of `files`.
        fingerprint: changes with the content of the files.
        place: identifies the data set; of earlier content of a place, nothing is kept.
    """

    def __init__(
        self, files: Sequence[str], places: np.ndarray, fingerprint: str, place: str
    ) -> None:
        self.files, self.places = tuple(files), places
        self.fingerprint, self.place = fingerprint, place
        self._opened = OpenFiles(partial(_open, self.files))

    def __reduce__(self) -> tuple[type[StoredImages], tuple[object, ...]]:
        return StoredImages, (self.files, self.places, self.fingerprint, self.place)

    def __len__(self) -> int:
        return len(self.places)

    def fetch(self, row: int) -> bytes:
        """Return the content of an image file.

        Raises:
            OSError: an image that is named by its path is missing.
            SourceError: the file of many images is missing, or shorter than it was.
        """
        file, length, offset = self.places[row].item()
        if length == ELSEWHERE:
            return self._opened.read(file, 0)
        try:
            content = self._opened.read(file, offset, length)
        except OSError as error:
            raise SourceError(f"{self.files[file]} can't be read: {error.strerror}") from error
        if len(content) < length:
            raise SourceError(
                f"{self.files[file]} ends before byte {offset + length}: it was changed or "
                "truncated"
            )
        return content


def _open(files: Sequence[str], number: int) -> int:
    return os.open(files[number], os.O_RDONLY)


class GroupedImages:
    """Encoded images of compressed files that were not copied: read by groups of rows.

    Some groups stay in memory. In a random order of rows, nearly every image needs another group.

    Args:
        columns: the images of each file.
        rows: numbers of the file and of the row in it, int64 (N, 2).
        fingerprint: changes with the content of the files.
        place: identifies the data set; of earlier content of a place, nothing is kept.
    """

    def __init__(
        self, columns: Sequence[Column], rows: np.ndarray, fingerprint: str, place: str
    ) -> None:
        self.columns, self.rows = tuple(columns), rows
        self.fingerprint, self.place = fingerprint, place
        self._ends: dict[int, np.ndarray] = {}
        self._groups: OrderedDict[tuple[int, int], pa.Array] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[GroupedImages], tuple[object, ...]]:
        return GroupedImages, (self.columns, self.rows, self.fingerprint, self.place)

    def __len__(self) -> int:
        return len(self.rows)

    def fetch(self, row: int) -> bytes:
        """Return the content of an image file.

        Raises:
            DataError: the file can't be read.
            OSError: an image that is named by its path is missing.
        """
        file, place = self.rows[row].tolist()
        ends = self._ends.get(file)
        if ends is None:
            ends = self._ends[file] = np.cumsum(group_sizes(self.columns[file]))
        number = int(np.searchsorted(ends, place, side="right"))
        begin = int(ends[number - 1]) if number else 0
        content: bytes | None = self._group(file, number)[place - begin].as_py()
        if content is None:
            raise DataError(f"{self.columns[file].table} has no image in row {place}")
        return content

    def _group(self, file: int, number: int) -> pa.Array:
        # One thread reads at a time: others most likely want the same group.
        with self._lock:
            key = (file, number)
            if key in self._groups:
                self._groups.move_to_end(key)
                return self._groups[key]
            made = group(self.columns[file], number)
            self._groups[key] = made
            while len(self._groups) > 1 and self._size() > _GROUPS:
                self._groups.popitem(last=False)
            return made

    def _size(self) -> int:
        return sum(each.nbytes for each in self._groups.values())


class Named:
    """Names of images: what the column names them, or else their place.

    Args:
        paths: the member `path` of each image of each file, or None where there is none.
        tables: names of the files.
        rows: numbers of the file and of the row in it, int64 (N, 2).
    """

    def __init__(
        self, paths: Sequence[pa.ChunkedArray | None], tables: Sequence[str], rows: np.ndarray
    ) -> None:
        self.paths, self.tables, self.rows = tuple(paths), tuple(tables), rows

    def name(self, row: int) -> str:
        """Return the name of an image."""
        table, place = self.rows[row].tolist()
        paths = self.paths[table]
        path = None if paths is None else paths[place].as_py()
        return printable(path) if path else f"{self.tables[table]} row {place}"
