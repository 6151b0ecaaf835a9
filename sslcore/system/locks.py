"""A lock on a run folder, so that no two processes train in it.

The lock belongs to the kernel: it ends with the process, however that ends, and the file that stays
behind means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sslcore.errors import RunFolderError

#: The name of the locked file.
LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder.

    A child that is forked meanwhile closes its copy: a reader of images that outlives a killed run
    would otherwise hold the lock.

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
        # A file system without locks (some network ones) is used without.
        yield
        return
    except OSError as error:
        raise RunFolderError(f"{folder} can't be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()
