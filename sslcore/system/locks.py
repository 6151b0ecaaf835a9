"""A lock on a run folder, so that only one process trains in it.

The operating system holds the lock and releases it when the process ends, also after a crash. The
lock file remains and has no meaning without the lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sslcore.errors import RunFolderError

#: The name of the locked file.
LOCK = ".lock"


def is_locked(folder: Path) -> bool:
    """Return whether a process holds the lock of a run folder."""
    if not (folder / LOCK).is_file():
        return False
    try:
        with locked(folder):
            return False
    except RunFolderError:
        return os.access(folder, os.W_OK)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder.

    Forked children don't hold it: a process that reads images may outlive a killed run.

    Raises:
        RunFolderError: another process holds the lock, or the folder can't be written.
    """
    if not folder.is_dir():
        # filelock would make the folder.
        raise RunFolderError(f"{folder} can't be written: there is no such folder")
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise RunFolderError(
            f"{folder} is in use: a process is training in it; wait for it, or stop it"
        ) from None
    except NotImplementedError:
        # Some network file systems have no locks.
        yield
        return
    except OSError as error:
        raise RunFolderError(f"{folder} can't be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()
