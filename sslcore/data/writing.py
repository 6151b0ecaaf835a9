"""Writes an array of images block by block, so that a killed process loses at most a block."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

from sslcore.data.form import Form

#: The file of the images, in the .npy format.
ARRAY = "images.npy"
#: What is safely in it: the rows done, the images written, and the rows that can't be read.
_JOURNAL = "journal.json"
#: Images in a block.
_BLOCK = 1024


class Writing:
    """An array of images that is being written, possibly begun by a process that was killed.

    Args:
        folder: where the array and its journal are.
        form: the form of the images.
    """

    def __init__(self, folder: Path, form: Form) -> None:
        self.path, self.journal = folder / ARRAY, folder / _JOURNAL
        self.form = form
        self.shape = (form.channels, form.image_size, form.image_size)
        self.rows, self.count = 0, 0
        self.unreadable: list[int] = []
        with suppress(OSError, ValueError, KeyError):
            done = json.loads(self.journal.read_text(encoding="utf-8"))
            self.rows, self.count, self.unreadable = done["rows"], done["count"], done["unreadable"]

    def write(self, squares: Callable[[int], Iterable[np.ndarray | None]]) -> list[int]:
        """Write the images from the first row that is missing on; return the unreadable rows.

        Args:
            squares: yields the images (C, S, S) from a row on; None for one that can't be read.

        Raises:
            OSError: the array can't be written.
        """
        # Not through a memory map, where a full disk ends the process instead of raising an error.
        with self.path.open("r+b" if self.rows else "wb") as file:
            begin = self._write_header(file)
            # What lies beyond the journal may be half written.
            file.truncate(begin + self.count * self._bytes())
            file.seek(0, os.SEEK_END)
            for image in squares(self.rows):
                if image is None:
                    self.unreadable.append(self.rows)
                else:
                    file.write(np.ascontiguousarray(image).data)
                    self.count += 1
                self.rows += 1
                if self.rows % _BLOCK == 0:
                    _sync(file)
                    done = {"rows": self.rows, "count": self.count, "unreadable": self.unreadable}
                    write_json(self.journal, done)
            file.seek(0)
            # numpy leaves room in a header for the first axis to grow.
            self._write_header(file)
            _sync(file)
        return self.unreadable

    def _bytes(self) -> int:
        return int(np.prod(self.shape)) * (4 if self.form.floats else 1)

    def _write_header(self, file: BinaryIO) -> int:
        header = {
            "descr": "<f4" if self.form.floats else "|u1",
            "fortran_order": False,
            "shape": (self.count, *self.shape),
        }
        np.lib.format.write_array_header_1_0(file, header)
        return file.tell()


def has_begun(folder: Path) -> bool:
    """Whether a block of an array has been written there."""
    return (folder / _JOURNAL).exists()


def discard(folder: Path) -> None:
    """Remove the journal of an array that is complete."""
    (folder / _JOURNAL).unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file beside its place, sync it, and rename it.

    Raises:
        OSError: it can't be written.
    """
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        _sync(file)
    temporary.replace(path)


def _sync(file: BinaryIO | TextIO) -> None:
    file.flush()
    os.fsync(file.fileno())
