"""The bytes of shards, from files that stay open or from object stores."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sslcore.errors import DataError, SourceError
from sslcore.system.addresses import is_address, read_address, size_and_state_of_address
from sslcore.system.open_files import OpenFiles
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
        self._files = OpenFiles(partial(_open, self.shards))

    def __reduce__(self) -> tuple[type[Storage], tuple[object, ...]]:
        return Storage, (self.shards,)

    def read(self, number: int, start: int, size: int) -> bytes:
        """Return bytes of a shard, by its number.

        Raises:
            SourceError, DataError: it has gone, changed or can't be read; the message names it.
        """
        shard = self.shards[number]
        if is_address(shard.path):
            content = _of_store(shard, start, start + size)
        else:
            try:
                content = self._files.read(number, start, size)
            except SourceError:
                raise
            except OSError as error:
                raise SourceError(f"{shard.path} can't be read: {error.strerror}") from error
        if len(content) < size:
            raise SourceError(
                f"{shard.path} ends before byte {start + size}: it was cut off or replaced after "
                "it was indexed; restore it"
            )
        return content


def _of_store(shard: Shard, start: int, end: int) -> bytes:
    try:
        return read_address(shard.path, start, end)
    except SourceError:
        raise
    except DataError as error:
        # It is no fault of one image, which would be left out.
        raise SourceError(f"{error} any more; restore it") from error


def _open(shards: Sequence[Shard], number: int) -> int:
    shard = shards[number]
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
