"""The images of a split: their places in the files of the data set, in copies, or neither."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sslcore.errors import DataError, RunFolderError, first_line
from sslcore.system.cache import cache_directory
from sslcore_huggingface import _places as places_
from sslcore_huggingface._places import ELSEWHERE, IN_COPY, PLACE, Column, Found, TooLarge
from sslcore_huggingface._stored import GroupedImages, StoredImages
from sslcore_huggingface._tables import column as column_of
from sslcore_huggingface._tables import num_rows

_GB = 10**9


class Images(NamedTuple):
    """The images of all rows of some tables.

    Attributes:
        source: reads them.
        present: which rows have an image, bool (N,).
        notes: sentences for the user.
    """

    source: StoredImages | GroupedImages
    present: np.ndarray
    notes: tuple[str, ...]


def images_of(columns: Sequence[Column], has_paths: bool, copy_limit: float) -> Images:
    """Return the images of some tables.

    Args:
        columns: the images of each table.
        has_paths: whether the column may name an image by its path.
        copy_limit: GB that may be copied.

    Raises:
        DataError: a table can't be read, or its images can't be found.
    """
    problem = ""
    try:
        cache = cache_directory() / "huggingface"
    except OSError as error:
        cache, problem = None, first_line(error)
    left, found = copy_limit * _GB, list[Found]()
    for column in columns:
        here = None
        if cache is not None:
            try:
                here = places_.find(column, cache, int(left))
            except TooLarge as error:
                problem = f"they need over {error.size / _GB:.3g} GB"
            except (RunFolderError, NotImplementedError, OSError) as error:
                problem = first_line(error)
        if here is None:
            here = places_.located(column)
        if here is None:
            return _grouped(columns, problem, copy_limit)
        if here.copy is not None:
            left -= int(here.places["length"][here.places["file"] == IN_COPY].clip(0).sum())
        found.append(here)
    return _stored(columns, found, has_paths)


def _grouped(columns: Sequence[Column], problem: str, copy_limit: float) -> Images:
    counts = [num_rows(column.table) for column in columns]
    note = (
        "Images are read in groups of rows, which is slow in a random order, because they are in "
        f"compressed files and can't be copied ({problem}); data.copy_limit is {copy_limit:g} GB, "
        "and SSLCORE_CACHE names the folder of copies."
    )
    rows = row_numbers(counts)
    source = GroupedImages(columns, rows, _fingerprint(columns), _place(columns))
    return Images(source, np.ones(len(rows), bool), (note,))


def _stored(columns: Sequence[Column], found: Sequence[Found], has_paths: bool) -> Images:
    files: list[str] = []
    #: Those that a column names by their paths.
    beside: list[str] = []
    places, present = [np.empty(0, PLACE)], [np.empty(0, bool)]
    for column, here in zip(columns, found, strict=True):
        own = here.places.copy()
        own["file"] += len(files)
        files += [str(column.table)] if here.copy is None else [str(column.table), str(here.copy)]
        absent = own["length"] == ELSEWHERE
        if has_paths and absent.any():
            count = len(files)
            _at_their_paths(column, own, absent, files)
            beside += files[count:]
        places.append(own)
        present.append(~absent)
    kept = np.concatenate(present)
    missing = int((~kept).sum())
    notes = (f"{missing} of {len(kept)} rows have no image and are left out",) if missing else ()
    fingerprint = _fingerprint(columns, beside)
    source = StoredImages(files, np.concatenate(places), fingerprint, _place(columns))
    return Images(source, kept, notes)


def _at_their_paths(column: Column, own: np.ndarray, absent: np.ndarray, files: list[str]) -> None:
    """Give images without bytes the place of the file that the column names."""
    paths = column_of(column.table, column.name, "path")
    for row in absent.nonzero()[0].tolist():
        named = paths[row].as_py()
        if named:
            own[row] = (len(files), ELSEWHERE, 0)
            files.append(str(column.table.parent / named))
            absent[row] = False


def row_numbers(counts: Sequence[int]) -> np.ndarray:
    """Return the number of the table and the row in it, int64 (N, 2), of all rows of tables."""
    tables = np.repeat(np.arange(len(counts)), counts)
    rows = [np.arange(count) for count in counts]
    return np.stack([tables, np.concatenate([np.empty(0, np.int64), *rows])], axis=1)


def _fingerprint(columns: Sequence[Column], beside: Sequence[str] = ()) -> str:
    """Return a text that changes with the columns of tables and the files that they name."""
    try:
        states = "\n".join(f"{column.table.resolve()}\0{column.state}" for column in columns)
    except OSError as error:
        raise DataError(f"{error.filename} can't be read: {error.strerror}") from error
    known = hashlib.blake2b(states.encode(errors="surrogateescape"), digest_size=16)
    for file in beside:
        with suppress(OSError):  # one that has gone is reported when it is read
            status = Path(file).stat()
            known.update(
                f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(
                    "utf-8", "surrogateescape"
                )
            )
    return known.hexdigest()


def _place(columns: Sequence[Column]) -> str:
    first = columns[0]
    return f"{first.table.resolve()} {first.name} {len(columns)}"
