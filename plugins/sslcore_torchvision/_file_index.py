"""The image files below a folder, packed into arrays that processes share through a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sslcore.data.holding_out import HASH, hashed
from sslcore.errors import DataError, RunFolderError
from sslcore.system.files import write_safely

#: Raise it when the arrays or their order change.
_VERSION = "1"
#: Files whose places in the arrays are Python numbers at a time.
_AT_A_TIME = 2**16


@dataclass(frozen=True, eq=False)
class FileIndex:
    """N files in D folders, sorted by the folders on the way and the file's name.

    Attributes:
        names: the names of the files one after another, uint8.
        ends: where each file's name ends in `names`, int64, (N,).
        folders: the number of the folder that each file is in, int32, (N,).
        states: size, time of modification (ns) and permissions of each file, int64, (N, 3). They
            change with the content.
        folder_names: the paths of the folders one after another, uint8; relative, with slashes.
        folder_ends: where each folder's path ends in `folder_names`, int64, (D,).
        folder_states: inode and time of modification (ns) of each folder, int64, (D, 2). They
            change with its entries; a time of -1 says nothing about them.
        source: the file that the arrays are mapped from, or None.
    """

    names: np.ndarray
    ends: np.ndarray
    folders: np.ndarray
    states: np.ndarray
    folder_names: np.ndarray
    folder_ends: np.ndarray
    folder_states: np.ndarray
    stored_hashes: np.ndarray | None = None
    stored_fingerprint: str | None = None
    source: Path | None = None

    def __len__(self) -> int:
        return len(self.ends)

    def name(self, row: int) -> bytes:
        """Return the name of a file, without its folder."""
        begin = self.ends[row - 1] if row else 0
        return self.names[begin : self.ends[row]].tobytes()

    def path(self, row: int) -> bytes:
        """Return the path of a file relative to the folder opened, with slashes."""
        folder = self.folder_paths[self.folders[row]]
        return folder + b"/" + self.name(row) if folder else self.name(row)

    def text(self, row: int) -> str:
        """Return the path of a file as text."""
        return printable(self.path(row))

    def paths(self, rows: np.ndarray | None = None) -> Iterator[bytes]:
        """Yield the paths of some files, or of all."""
        rows = np.arange(len(self)) if rows is None else rows
        text, folders = memoryview(self.names.data), self.folder_paths
        # A list of Python's numbers is faster than an array, and larger.
        for part in np.array_split(rows, len(rows) // _AT_A_TIME + 1):
            begins = np.where(part > 0, self.ends[part - 1], 0).tolist()
            ends, numbers = self.ends[part].tolist(), self.folders[part].tolist()
            for begin, end, number in zip(begins, ends, numbers, strict=True):
                folder, name = folders[number], text[begin:end].tobytes()
                yield folder + b"/" + name if folder else name

    @cached_property
    def folder_paths(self) -> list[bytes]:
        """The paths of the folders; that of the folder opened is empty."""
        text, begins = self.folder_names.tobytes(), [0, *self.folder_ends.tolist()]
        return [text[begin:end] for begin, end in pairwise(begins)]

    @cached_property
    def depth(self) -> int:
        """Number of folders that all files have in common."""
        if not len(self):
            return 0
        # Of sorted paths, the first and the last differ earliest.
        first, last = (self.path(row).split(b"/")[:-1] for row in (0, len(self) - 1))
        depth = 0
        for one, other in zip(first, last, strict=False):
            if one != other:
                break
            depth += 1
        return depth

    @cached_property
    def hashes(self) -> np.ndarray:
        """A hash of each path without the folders that all have in common, uint64, (N,)."""
        if self.stored_hashes is not None:
            return self.stored_hashes
        skipped = sum(len(part) + 1 for part in self.path(0).split(b"/")[: self.depth])
        digests = b"".join(hashed(path[skipped:]) for path in self.paths())
        return np.frombuffer(digests, dtype=HASH).astype(np.uint64)

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes with the files and their states."""
        if self.stored_fingerprint is not None:
            return self.stored_fingerprint
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.names, self.ends, self.folders, self.states, self.folder_names):
            digest.update(len(array).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def __reduce__(self) -> tuple[object, ...]:
        if self.source is not None:  # another process maps the file instead of receiving it
            return _reopened, (self.source, self.fingerprint)
        arrays = (getattr(self, name) for name in _ARRAYS)
        return FileIndex, tuple(arrays)

    def save(self, path: Path, root: str) -> None:
        """Write the index of the folder `root`.

        Raises:
            RunFolderError: it can't be written.
        """
        arrays = {name: torch.from_numpy(np.array(getattr(self, name))) for name in _ARRAYS}
        arrays["hashes"] = torch.from_numpy(self.hashes.view(np.int64))
        about = {"version": _VERSION, "root": root, "fingerprint": self.fingerprint}
        write_safely(path, save(arrays, about))

    @staticmethod
    def load(path: Path, root: str | None = None) -> FileIndex | None:
        """Return the index in a file, memory-mapped; None if there is none of this folder.

        Args:
            path: the file.
            root: the folder; None takes any.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                if about.get("version") != _VERSION or root not in (None, about.get("root")):
                    return None
                arrays = {name: file.get_tensor(name).numpy() for name in (*_ARRAYS, "hashes")}
            for array in arrays.values():
                array.setflags(write=False)
            hashes = arrays.pop("hashes").view(np.uint64)
            index = FileIndex(
                **arrays,
                stored_hashes=hashes,
                stored_fingerprint=about["fingerprint"],
                source=path,
            )
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return None
        return index if index._consistent() else None

    def _consistent(self) -> bool:
        """Whether the arrays fit to each other."""
        count, folders = len(self.ends), len(self.folder_ends)
        return (
            count > 0
            and len(self.folders) == len(self.states) == len(self.hashes) == count
            and len(self.folder_states) == folders
            and self.ends[-1] == len(self.names)
            and self.folder_ends[-1] == len(self.folder_names)
            and int(self.folders.max()) < folders
            and bool((np.diff(self.ends) > 0).all())
        )


_ARRAYS = (
    *("names", "ends", "folders", "states"),
    *("folder_names", "folder_ends", "folder_states"),
)


def _reopened(path: Path, fingerprint: str) -> FileIndex:
    index = FileIndex.load(path)
    if index is None or index.fingerprint != fingerprint:
        raise DataError(f"{path} changed while the images were read: start again")
    return index


def saved(index: FileIndex, path: Path, root: str) -> FileIndex:
    """Return an index mapped from the file that it is written to, or itself where it can't be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        index.save(path, root)
    except (OSError, RunFolderError):
        return index
    return FileIndex.load(path, root) or index


def printable(name: str | bytes) -> str:
    """Return a file's name with what is no text in it escaped."""
    return os.fsencode(name).decode(errors="backslashreplace")
