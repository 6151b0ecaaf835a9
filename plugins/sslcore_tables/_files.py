"""The image files that a table names, as a source of encoded images."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from sslcore.data import Split
from sslcore.errors import DataError
from sslcore.system.printable import one_line

if TYPE_CHECKING:
    from sslcore_tables._labels import Labels
    from sslcore_tables._reading import Table


class Texts(Sequence[str]):
    """Texts packed into one array, with a number for each: little memory, and fast to pickle.

    Args:
        data: all texts in UTF-8, one after the other.
        ends: where each of them ends, int64 (N,), after a 0: (N + 1,).
    """

    def __init__(self, data: bytes, ends: np.ndarray) -> None:
        self.data, self.ends = data, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Pack texts."""
        encoded = [os.fsencode(text) for text in texts]
        ends = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in encoded], out=ends[1:])
        return cls(b"".join(encoded), ends)

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        return os.fsdecode(self.data[self.ends[row] : self.ends[row + 1]])


class Files:
    """Image files, by their paths in a table.

    Args:
        root: the folder of relative paths.
        paths: as the table has them.
        states: size and time of modification (ns) of each, int64 (N, 2).
    """

    def __init__(self, root: str, paths: Sequence[str], states: np.ndarray) -> None:
        self.root, self.paths = root, Texts.of(paths)
        content = hashlib.blake2b(os.fsencode(root), digest_size=16)
        for part in (self.paths.data, self.paths.ends.tobytes(), states.tobytes()):
            content.update(part)
        #: Changes with the list of files, and with their sizes and times.
        self.fingerprint = content.hexdigest()

    def __len__(self) -> int:
        return len(self.paths)

    def fetch(self, row: int) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: it can't be read.
        """
        with open(os.path.join(self.root, self.paths[row]), "rb") as file:  # noqa: PTH118, PTH123
            return file.read()


class Source:
    """The files of a whole table, of which each split has some.

    Args:
        root: the folder of relative paths.
        paths: as the table has them.
        states: size and time of modification (ns) of each, int64 (N, 2).
    """

    def __init__(self, root: str, paths: Sequence[str], states: np.ndarray) -> None:
        self.root, self.paths, self.states = root, paths, states

    def split(self, rows: np.ndarray, labels: Labels | None = None) -> Split:
        """Return the images of some rows, with their labels if there are any."""
        files = Files(self.root, [self.paths[row] for row in rows.tolist()], self.states[rows])
        return Split(files, None if labels is None else labels.of(rows), names=files.paths)


def paths_of(table: Table, column: str) -> list[str]:
    """Return the paths in a column.

    Raises:
        DataError: a row has no path, or something else than text.
    """
    values = table.column(column, "data.images")
    for row, value in enumerate(values):
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            got = "nothing" if value is None or value == "" else repr(value)
            raise DataError(
                f"{table.path}, {table.place_of(row)}: the column {column!r} must hold the path of "
                f"an image, got {one_line(got)[:80]}; --set data.images=COLUMN takes another column"
            )
    return list(values)  # type: ignore[arg-type]


def found(table: Table, root: str, paths: list[str]) -> np.ndarray:
    """Return size and time (ns) of each file, int64 (N, 2); correct paths in place.

    A path that names no file is tried without spaces around it, and with slashes in place of
    backslashes.

    Raises:
        DataError: a path names no file, or two rows name the same.
    """
    states = np.empty((len(paths), 2), dtype=np.int64)
    missing: list[int] = []
    for row, path in enumerate(paths):
        state = _state(root, path)
        if state is None:
            for other in (path.strip(), path.strip().replace("\\", "/")):
                state = _state(root, other)
                if state is not None:
                    paths[row] = other
                    break
        if state is None:
            missing.append(row)
        else:
            states[row] = state
    if missing:
        raise _missing(table, root, paths, missing)
    _check_duplicates(table, paths)
    return states


def _state(root: str, path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(os.path.join(root, path))  # noqa: PTH116, PTH118 - for each of many rows
    except (OSError, ValueError):
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _missing(table: Table, root: str, paths: list[str], missing: list[int]) -> DataError:
    first = paths[missing[0]]
    place = table.place_of(missing[0])
    full = os.path.join(root, first)  # noqa: PTH118
    what = "is a folder" if os.path.isdir(full) else "does not exist"  # noqa: PTH112
    many = f"{len(missing)} of {len(paths)} paths name no file; the first, " if missing[1:] else ""
    return DataError(
        f"{table.path}: {many}{place}, {one_line(first)!r}: {one_line(full)} {what}; relative "
        "paths begin in the folder of the table, or in --set data.root=FOLDER"
    )


def _check_duplicates(table: Table, paths: list[str]) -> None:
    if any("./" in path or "//" in path for path in paths):
        paths = [os.path.normpath(path) for path in paths]
    if len(set(paths)) == len(paths):
        return
    seen: dict[str, int] = {}
    twice = [row for row, path in enumerate(paths) if seen.setdefault(path, row) != row]
    row = twice[0]
    many = f"; {len(twice)} rows are such duplicates" if twice[1:] else ""
    raise DataError(
        f"{table.path}, {table.place_of(row)}: {one_line(paths[row])!r} is also in "
        f"{table.place_of(seen[paths[row]])}{many}; each image needs one row, with its labels "
        "separated by ';' if it has several"
    )
