"""The bytes of shards, from files that stay open or from object stores."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from sslcore.errors import DataError, SourceError
from sslcore.system.addresses import is_address, read_address, size_and_state_of_address
from sslcore_webdataset._index import Shard


def shard_at(path: str) -> Shard:
    """Return a shard in its present state.

    Args:
        path: of a file, or an address.

    Raises:
        DataError: it is missing, is no file, or can't be reached.
    """
    if is_address(path):
        size, state = size_and_state_of_address(path)
        if size is None:
            raise DataError(f"{path}: the store does not state its size; copy it to a disk")
        return Shard(path, size, state)
    try:
        status = Path(path).stat()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path} is no file; expected a tar archive")
    return Shard(path, status.st_size, str(status.st_mtime_ns))


class Storage:
    """Shards that can be read at any place, by several threads and after a fork.

    Args:
        shards: in the state that their places are known for.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = tuple(shards)
        self._opened: dict[int, int] = {}
        self._most = _descriptors()

    def __reduce__(self) -> tuple[type[Storage], tuple[object, ...]]:
        return Storage, (self.shards,)

    def __del__(self) -> None:
        for descriptor in self._opened.values():
            os.close(descriptor)

    def read(self, number: int, start: int, size: int) -> bytes:
        """Return bytes of a shard, by its number.

        Raises:
            SourceError, DataError: it has gone, changed or can't be read; the message names it.
        """
        shard = self.shards[number]
        if is_address(shard.path):
            content = _of_store(shard, start, start + size)
        else:
            content = self._of_file(number, shard, start, size)
        if len(content) < size:
            raise SourceError(
                f"{shard.path} ends before byte {start + size}: it was cut off or replaced after "
                "it was indexed; restore it"
            )
        return content

    def _of_file(self, number: int, shard: Shard, start: int, size: int) -> bytes:
        descriptor = self._opened.get(number)
        if descriptor is not None:
            return _pread(shard, descriptor, start, size)
        descriptor = _open(shard)
        # A file that is open stays so, since another thread may read it.
        if len(self._opened) < self._most:
            kept = self._opened.setdefault(number, descriptor)
            if kept == descriptor:
                return _pread(shard, descriptor, start, size)
        try:
            return _pread(shard, descriptor, start, size)
        finally:
            os.close(descriptor)


def _of_store(shard: Shard, start: int, end: int) -> bytes:
    try:
        return read_address(shard.path, start, end)
    except SourceError:
        raise
    except DataError as error:
        # It is no fault of one image, which would be left out.
        raise SourceError(f"{error} any more; restore it") from error


def _descriptors() -> int:
    """Return how many files may stay open: a quarter of what the system allows a process."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 64
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**16 if allowed == resource.RLIM_INFINITY else max(1, allowed // 4)


def _open(shard: Shard) -> int:
    try:
        descriptor = os.open(shard.path, os.O_RDONLY)
    except OSError as error:
        raise SourceError(f"{shard.path} can't be read: {error.strerror}") from error
    status = os.fstat(descriptor)
    if (status.st_size, str(status.st_mtime_ns)) != (shard.size, shard.state):
        os.close(descriptor)
        raise SourceError(
            f"{shard.path} was changed after it was opened; restore it, or start anew"
        )
    return descriptor


def _pread(shard: Shard, descriptor: int, start: int, size: int) -> bytes:
    try:
        content = os.pread(descriptor, size, start)
        # A single call returns less than it was asked for where it is interrupted, or past 2 GB.
        while 0 < len(content) < size:
            more = os.pread(descriptor, size - len(content), start + len(content))
            if not more:
                break
            content += more
    except OSError as error:
        raise SourceError(f"{shard.path} can't be read: {error.strerror}") from error
    return content
