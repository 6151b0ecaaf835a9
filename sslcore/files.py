"""Files that are never half written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sslcore.errors import RunFolderError


def write_safely(path: Path, content: bytes | str) -> None:
    """Write a file beside, sync it and rename it, so that `path` is never half a file.

    Raises:
        RunFolderError: it can't be written; what was there before is untouched.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise RunFolderError(
            f"{path} can't be written: {error.strerror}; what was written before is untouched"
        ) from error
