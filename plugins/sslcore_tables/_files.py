"""The image files that a table names, as a source of encoded images."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, overload

import numpy as np

from sslcore.data import Split
from sslcore.errors import DataError
from sslcore.system.addresses import is_address, read_address, state_of_address
from sslcore.system.printable import one_line

if TYPE_CHECKING:
    from sslcore_tables._labels import Labels
    from sslcore_tables._reading import Table

#: Rows in one folder from which on the folder is listed, which is faster than a look at each file.
_LISTED = 16


class Paths(Sequence[str]):
    """Paths packed into one text, which takes little memory and is fast to pickle.

    Args:
        paths: without null characters.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.data = os.fsencode("\0".join(["", *paths, ""]))
        #: Where the null characters are: before each path, and at the end.
        self.bounds = np.flatnonzero(np.frombuffer(self.data, dtype=np.uint8) == 0)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __iter__(self) -> Iterator[str]:
        return iter(os.fsdecode(self.data).split("\0")[1:-1])

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        return os.fsdecode(self.data[self.bounds[row] + 1 : self.bounds[row + 1]])


class Files:
    """Image files, by their paths in a table.

    Args:
        root: the folder of relative paths.
        paths: as the table has them.
        table: the path or the address of the table.
        part: the name of this part of the table.
    """

    def __init__(self, root: str, paths: Sequence[str], table: str, part: str) -> None:
        self.root, self.paths, self.table = root, Paths(paths), table
        #: Names this part of the table, whatever it holds at the time.
        self.place = f"{table} {part}"

    def __len__(self) -> int:
        return len(self.paths)

    def fetch(self, row: int) -> bytes:
        """Return the content of a file.

        Raises:
            OSError, DataError: it can't be read.
        """
        path = _joined(self.root, self.paths[row])
        if is_address(path):
            return read_address(path)
        with open(path, "rb") as file:
            return file.read()

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes with the list of files, and with their sizes and times.

        An object store would need a request for each file: there, it changes with the table.
        """
        states = np.zeros((len(self), 2), dtype=np.int64)
        content = hashlib.blake2b(os.fsencode(self.root), digest_size=16)
        content.update(self.paths.data)
        elsewhere = False
        for row, path in enumerate(self.paths):
            full = _joined(self.root, path)
            if is_address(full):
                elsewhere = True
                continue
            try:
                status = os.stat(full)
            except OSError:  # it has gone meanwhile, which `fetch` reports
                continue
            states[row] = status.st_size, status.st_mtime_ns
        content.update(states.tobytes())
        if elsewhere:
            content.update(self.table.encode() + _state_of(self.table).encode())
        return content.hexdigest()


class Source:
    """The files of a whole table, of which each split has some.

    Args:
        table: the table.
        root: the folder of relative paths.
        paths: as the table has them.
    """

    def __init__(self, table: Table, root: str, paths: Sequence[str]) -> None:
        self.table, self.root, self.paths = table, root, paths

    def split(self, name: str, rows: np.ndarray, labels: Labels | None = None) -> Split:
        """Return the images of some rows, with their labels if there are any."""
        paths = [self.paths[row] for row in rows.tolist()]
        files = Files(self.root, paths, self.table.path, name)
        return Split(files, None if labels is None else labels.of(rows), names=files.paths)


def paths_of(table: Table, column: str) -> list[str]:
    """Return the paths in a column.

    Raises:
        DataError: a row has no path, or something else than text.
    """
    paths: list[str] = []
    for row, value in enumerate(table.column(column, "data.images")):
        if not isinstance(value, str) or not value or value.isspace() or "\0" in value:
            got = "nothing" if value is None or value == "" else repr(value)
            raise DataError(
                f"{table.path}, {table.place_of(row)}: the column {column!r} must hold the path of "
                f"an image, got {one_line(got)[:80]}; --set data.images=COLUMN takes another column"
            )
        paths.append(value)
    return paths


def check_files(table: Table, root: str, paths: list[str]) -> None:
    """Check that each path names a file of its own; correct paths in place.

    A path that names no file is tried without spaces around it, and with slashes in place of
    backslashes. Nothing but names is read: files are opened when their images are needed. Files
    at addresses are not looked for, which would need a request each.

    Raises:
        DataError: a path names no file, or two rows name the same.
    """
    missing = []
    for row in _not_listed(root, paths):
        # What a folder lists may be written otherwise, where upper and lower case are the same.
        stripped = paths[row].strip()
        for path in (paths[row], stripped, stripped.replace("\\", "/")):
            if _is_file(root, path):
                paths[row] = path
                break
        else:
            missing.append(row)
    if missing:
        raise _missing(table, root, paths, missing)
    _check_duplicates(table, paths)


def _not_listed(root: str, paths: list[str]) -> list[int]:
    """Return the rows whose files are not in the listings of their folders."""
    by_folder: dict[str, list[int]] = defaultdict(list)
    for row, path in enumerate(paths):
        by_folder[path[: path.rfind("/") + 1]].append(row)
    absent: list[int] = []
    for folder, rows in by_folder.items():
        if is_address(_joined(root, folder)):
            continue
        names = _listed(root, folder) if len(rows) >= _LISTED else frozenset()
        absent += [row for row in rows if paths[row][len(folder) :] not in names]
    return sorted(absent)


def _joined(root: str, path: str) -> str:
    if is_address(path) or os.path.isabs(path):
        return path
    return f"{root.rstrip('/')}/{path}" if is_address(root) else os.path.join(root, path)


def _state_of(table: str) -> str:
    if is_address(table):
        return state_of_address(table)
    status = os.stat(table)
    return f"{status.st_size} {status.st_mtime_ns}"


def _listed(root: str, folder: str) -> frozenset[str]:
    try:
        with os.scandir(_joined(root, folder)) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except (OSError, ValueError):
        return frozenset()


def _is_file(root: str, path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(_joined(root, path)).st_mode)
    except (OSError, ValueError):
        return False


def _missing(table: Table, root: str, paths: list[str], missing: list[int]) -> DataError:
    first = paths[missing[0]]
    place = table.place_of(missing[0])
    full = _joined(root, first)
    what = "is a folder" if os.path.isdir(full) else "does not exist"
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
