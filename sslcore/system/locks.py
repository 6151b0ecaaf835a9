"""A lock on a run folder, so that no two processes train in it.

It is the kernel's: it ends with the process, however that ends, and the file that stays behind
means nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sslcore.errors import RunFolderError

try:
    import fcntl
except ImportError:  # Windows has no flock, and no other lock that a crash releases as surely.
    fcntl = None  # type: ignore[assignment]

#: The name of the file that is locked.
LOCK = ".lock"

_IN_USE = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_held: set[int] = set()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder.

    Raises:
        RunFolderError: another process holds it, or the folder can't be written.
    """
    if fcntl is None:
        yield
        return
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RunFolderError(f"{folder} can't be written: {error.strerror}") from error
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # A file system without locks (some network ones) is used without.
            if error.errno in _IN_USE:
                raise RunFolderError(
                    f"{folder} is in use: a process is training in it; wait for it, or stop it"
                ) from None
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _let_go() -> None:
    """Close the files in a child: a reader of images that outlives a killed run would hold on."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
