"""Files written atomically, JSON without NaN, and paths given by users."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sslcore.errors import DiskError, RunFolderError, UsageError

#: No space left, quota exceeded, input/output error: the disk, not the path, is the cause.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def write_safely(path: Path, content: bytes | str) -> None:
    """Write a file atomically: `path` is either the old file or the whole new one.

    Raises:
        RunFolderError: the file can't be written; the old file is unchanged. It is a `DiskError`
            if the disk is full or fails.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which replaces `path` after the body.

    Raises:
        RunFolderError: the file can't be written; the old file is unchanged. It is a `DiskError`
            if the disk is full or fails.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        _sync(temporary, os.O_RDWR)
        temporary.replace(path)
        _sync(path.parent, os.O_RDONLY)
    except BaseException as error:
        # After any error (Ctrl-C too), no partial file must remain.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        kind = DiskError if error.errno in _DISK else RunFolderError
        raise kind(
            f"{path} can't be written: {error.strerror}; the file before it is unchanged"
        ) from error


def _sync(path: Path, flags: int) -> None:
    """Wait until a file or a folder is on the disk."""
    opened = os.open(path, flags)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON; numbers that are not finite become null, since JSON has none."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def output_path(named: str | Path, endings: Sequence[str]) -> Path:
    """Return the path of a file to write, given by a user as `--output`.

    Raises:
        UsageError: it ends in none of these, it is a folder, or its folder does not exist.
    """
    path = user_path(named, "--output")
    if path.suffix.lower() not in endings:
        *others, last = endings
        said = f"{', '.join(others)} or {last}" if others else last
        raise UsageError(f"--output {path}: it must end in {said}")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--output {path}: it must be a file in a folder that exists")
    return path


def user_path(named: str | Path, option: str) -> Path:
    """Return the path given by a user, with `~` expanded.

    Args:
        named: the text of the user.
        option: the option, for messages: `"--data"`.

    Raises:
        UsageError: the path is empty, too long or not UTF-8, or its `~user` does not exist.
    """
    text = str(named)
    shown = text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
    if not str(named).strip():
        raise UsageError(f"{option}: expected a path, got {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{option} {shown!r}: the path is not UTF-8; rename it") from None
    try:
        path = Path(named).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except RuntimeError:
        user = text.partition(os.sep)[0]
        raise UsageError(f"{option} {shown}: there is no user {user!r} here") from None
    except OSError as error:
        raise UsageError(f"{option} {shown}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{option} {shown!r}: {error}") from None
    return path
