"""Files in object stores and elsewhere, by addresses such as `s3://bucket/images/1.png`.

fsspec reads them. It comes with torch; a store may need a library of its own, such as s3fs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from sslcore.errors import DataError, first_line


def is_address(text: str) -> bool:
    """Whether a text is an address, and not a path of this machine."""
    return "://" in text


def open_address(address: str) -> IO[bytes]:
    """Open a file for reading.

    Raises:
        DataError: it does not exist, can't be read, or a library is missing.
    """
    with _guarded(address):
        system, path = _found(address)
        opened: IO[bytes] = system.open(path, "rb")
        return opened


def read_address(address: str, start: int | None = None, end: int | None = None) -> bytes:
    """Return the content of a file, or its bytes from `start` up to and without `end`.

    Raises:
        DataError: as for `open_address`.
    """
    with _guarded(address):
        system, path = _found(address)
        return bytes(system.cat_file(path, start=start, end=end))


def state_of_address(address: str) -> str:
    """Return a text that changes with the content of a file: what the store says of it.

    Raises:
        DataError: as for `open_address`.
    """
    with _guarded(address):
        system, path = _found(address)
        return repr(sorted((name, str(value)) for name, value in system.info(path).items()))


def size_of_address(address: str) -> int:
    """Return the size of a file, bytes.

    Raises:
        DataError: as for `open_address`, or the store does not state it.
    """
    with _guarded(address):
        system, path = _found(address)
        size = system.info(path).get("size")
    if not isinstance(size, int):
        raise DataError(f"{address}: the store does not state its size; copy it to a disk")
    return size


def matching_addresses(pattern: str) -> list[str]:
    """Return the addresses that match a pattern with `*`, sorted.

    Raises:
        DataError: the store can't be listed.
    """
    with _guarded(pattern):
        system, path = _found(pattern)
        return sorted(system.unstrip_protocol(found) for found in system.glob(path))


def _found(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(address)
    return system, path


@contextmanager
def _guarded(address: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{address} does not exist") from error
    except Exception as error:
        # Each store has errors of its own: no permission, no connection, no answer in time.
        raise DataError(f"{address} can't be read: {first_line(error)}") from error
