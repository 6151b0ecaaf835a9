"""Files that stay open, and are read at any place by several threads and after a fork."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping


class OpenFiles:
    """Files by their numbers. A part of those that the system allows a process stays open.

    Args:
        open_file: opens a file by its number and returns its descriptor.
    """

    def __init__(self, open_file: Callable[[int], int]) -> None:
        self._open, self._most = open_file, _allowed()
        self._kept: dict[int, int] = {}
        # Unlike `__del__`, this also runs before the interpreter takes modules apart at its end.
        weakref.finalize(self, _close, self._kept)

    def read(self, number: int, start: int, size: int | None = None) -> bytes:
        """Return bytes of a file, fewer than asked for where it ends before.

        Args:
            number: of the file.
            start: where they begin.
            size: how many; None reads up to the end.

        Raises:
            OSError: the file can't be opened or read.
        """
        descriptor = self._kept.get(number)
        if descriptor is not None:
            return _read(descriptor, start, size)
        descriptor = self._open(number)
        # A file that is open stays so, since another thread may read it.
        if len(self._kept) < self._most:
            kept = self._kept.setdefault(number, descriptor)
            if kept == descriptor:
                return _read(descriptor, start, size)
        try:
            return _read(descriptor, start, size)
        finally:
            os.close(descriptor)


def _close(kept: Mapping[int, int]) -> None:
    for descriptor in kept.values():
        os.close(descriptor)


def _allowed() -> int:
    """Return how many files may stay open: a quarter of what the system allows a process."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 64
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**16 if allowed == resource.RLIM_INFINITY else max(1, allowed // 4)


def _read(descriptor: int, start: int, size: int | None) -> bytes:
    if size is None:
        size = os.fstat(descriptor).st_size - start
    content = os.pread(descriptor, size, start)
    # A single call returns less than it was asked for where it is interrupted, or past 2 GB.
    while 0 < len(content) < size:
        more = os.pread(descriptor, size - len(content), start + len(content))
        if not more:
            break
        content += more
    return content
