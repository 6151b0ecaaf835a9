"""Finds the image files below a folder; a folder that did not change is not listed again."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from pathlib import Path

import numpy as np

from sslcore.errors import DataError
from sslcore_torchvision._file_index import FileIndex, printable, saved

#: What an image file's name may end with, in any case.
EXTENSIONS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".npy"),
)
_ENDINGS = tuple(ending.encode() for ending in EXTENSIONS)
#: A folder changed less than this before it was listed may change again at the same time, ns.
_TOO_NEW = 2 * 10**9


def image_files(root: Path, cache: Path | None = None, *, compared: int = 100_000) -> FileIndex:
    """Return the image files at any depth, sorted by path; hidden ones and others are skipped.

    With a cache, only folders whose time of modification has changed are listed again, which finds
    all files that were added, removed, renamed or replaced. A file that was written in place has
    another size or time: these are compared for all files, or in a large folder for some drawn at
    random; if one differs, everything is listed again.

    Args:
        root: the folder.
        cache: the directory where indexes are kept; None keeps none.
        compared: how many files to compare at most.

    Raises:
        DataError: a folder can't be listed.
    """
    if cache is None:
        return _Scan(root, None).index()
    place = os.fsencode(root.resolve())
    path = cache / f"{hashlib.blake2b(place, digest_size=16).hexdigest()}.safetensors"
    old = FileIndex.load(path, printable(place))
    if old is not None and not _states_hold(root, old, compared):
        old = None
    if old is not None and _folders_hold(root, old):
        return old
    index = _Scan(root, old).index()
    # An empty folder is not worth a file, and cannot be told from a damaged index.
    return saved(index, path, printable(place)) if len(index) else index


def _folders_hold(root: Path, index: FileIndex) -> bool:
    """Whether no folder has changed since the index was made."""
    top = os.fsencode(root)
    states = index.folder_states.tolist()
    return all(
        _folder_state(_below(top, path)) == tuple(state)
        for path, state in zip(index.folder_paths, states, strict=True)
    )


def _folder_state(path: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  `Path` takes no bytes
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _states_hold(root: Path, index: FileIndex, compared: int) -> bool:
    """Whether files of an index have the states in it, as far as they still exist."""
    rows = np.arange(len(index))
    if len(rows) > compared:
        rows = np.sort(np.random.default_rng().choice(len(rows), compared, replace=False))
    top, found = os.fsencode(root), array("q")
    for path in index.paths(rows):
        file = _below(top, path)
        try:
            now = os.stat(file)  # noqa: PTH116  `Path` takes no bytes
        except FileNotFoundError:
            # A link may have lost its file; a file that was removed has changed its folder.
            gone = not os.path.lexists(file)
            found.extend(index.states[rows[len(found) // 3]].tolist() if gone else (0, 0, 0))
        except OSError:
            return False
        else:
            found.extend((now.st_size, now.st_mtime_ns, now.st_mode))
    return np.array_equal(np.frombuffer(found, dtype=np.int64).reshape(-1, 3), index.states[rows])


class _Scan:
    """Lists a folder at any depth.

    Args:
        root: the folder.
        old: an index of the same folder, from which unchanged folders are taken.
    """

    def __init__(self, root: Path, old: FileIndex | None) -> None:
        self.root, self.old = os.fsencode(root), old
        self.names, self.ends, self.folders, self.states = (
            bytearray(),
            array("q"),
            array("i"),
            array("q"),
        )
        self.folder_names, self.folder_ends, self.folder_states = (
            bytearray(),
            array("q"),
            array("q"),
        )
        self._known: dict[bytes, int] = {}
        if old is not None:
            self._known = {path: number for number, path in enumerate(old.folder_paths)}
            self._below: dict[bytes, list[bytes]] = defaultdict(list)
            for path in old.folder_paths[1:]:
                above, _, name = path.rpartition(b"/")
                self._below[above].append(name)
            self._rows = np.argsort(old.folders, kind="stable")
            self._begins = np.searchsorted(
                old.folders[self._rows], np.arange(len(old.folder_ends) + 1)
            )

    def index(self) -> FileIndex:
        """List everything.

        Raises:
            DataError: a folder can't be listed.
        """
        self._collect(b"", frozenset())
        return FileIndex(
            names=np.frombuffer(bytes(self.names), dtype=np.uint8),
            ends=np.array(self.ends, dtype=np.int64),
            folders=np.array(self.folders, dtype=np.int32),
            states=np.array(self.states, dtype=np.int64).reshape(-1, 3),
            folder_names=np.frombuffer(bytes(self.folder_names), dtype=np.uint8),
            folder_ends=np.array(self.folder_ends, dtype=np.int64),
            folder_states=np.array(self.folder_states, dtype=np.int64).reshape(-1, 2),
        )

    def _collect(self, path: bytes, above: frozenset[tuple[int, int]]) -> None:
        folder = _below(self.root, path)
        try:
            here = os.stat(folder)  # noqa: PTH116  `Path` takes no bytes
            identity = (here.st_dev, here.st_ino)
            if identity in above:  # a symbolic link to a folder that this one is in
                return
            number = self._begin(path, here)
            known = self._known.get(path)
            if known is not None and self.old is not None:
                state = (here.st_ino, here.st_mtime_ns)
                if tuple(self.old.folder_states[known].tolist()) == state:
                    self._collect_known(path, number, known, above | {identity})
                    return
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(b".")]
        except OSError as error:
            raise DataError(
                f"{printable(folder)} can't be listed ({error.strerror}); make it readable or move "
                "it elsewhere"
            ) from error
        for entry in sorted(visible, key=lambda entry: entry.name):
            if entry.is_dir():
                self._collect(_below(path, entry.name), above | {identity})
            elif entry.name.lower().endswith(_ENDINGS):
                file_state = _state(entry)
                if file_state is not None:
                    self.names += entry.name
                    self.ends.append(len(self.names))
                    self.folders.append(number)
                    self.states.extend(file_state)

    def _begin(self, path: bytes, status: os.stat_result) -> int:
        """Add a folder and return its number."""
        new = status.st_mtime_ns > time.time_ns() - _TOO_NEW
        self.folder_names += path
        self.folder_ends.append(len(self.folder_names))
        self.folder_states.extend((status.st_ino, -1 if new else status.st_mtime_ns))
        return len(self.folder_ends) - 1

    def _collect_known(
        self, path: bytes, number: int, known: int, above: frozenset[tuple[int, int]]
    ) -> None:
        """Take the entries of a folder from the old index."""
        assert self.old is not None
        rows = self._rows[self._begins[known] : self._begins[known + 1]]
        begin = 0
        for name in sorted(self._below[path]):
            # Between two folders, the files of this one are one after another.
            end = bisect_left(rows, name, lo=begin, key=lambda row: self._old_name(row))
            self._copy(rows[begin:end], number)
            self._collect(_below(path, name), above)
            begin = end
        self._copy(rows[begin:], number)

    def _old_name(self, row: int) -> bytes:
        assert self.old is not None
        return self.old.name(row)

    def _copy(self, rows: np.ndarray, number: int) -> None:
        if not len(rows):
            return
        assert self.old is not None
        first, last = int(rows[0]), int(rows[-1]) + 1
        begin = int(self.old.ends[first - 1]) if first else 0
        ends = self.old.ends[first:last]
        self.ends.frombytes((ends - begin + len(self.names)).tobytes())
        self.names += self.old.names[begin : ends[-1]].tobytes()
        self.folders.extend([number] * len(rows))
        self.states.frombytes(self.old.states[first:last].tobytes())


def _below(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder and name else folder or name


def _state(entry: os.DirEntry[bytes]) -> tuple[int, int, int] | None:
    """Return what identifies a file's content; None for pipes and other things without any."""
    try:
        status = entry.stat()
    except OSError:  # a broken link: listed, so that it is counted among what can't be read
        return (0, 0, 0)
    if not stat.S_ISREG(status.st_mode):
        return None
    return (status.st_size, status.st_mtime_ns, status.st_mode)
