"""Files in object stores and elsewhere, by addresses such as `s3://bucket/images/1.png`.

fsspec reads them. It comes with torch; a store may need a library of its own, such as s3fs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import IO, Any, TypeVar

from sslcore.errors import DataError, SourceError, first_line

#: Seconds that a store may take to answer a request.
TIME_OUT = 60.0
#: Seconds between a request that failed and the next try.
PAUSES = (1.0, 4.0)

_Answer = TypeVar("_Answer")


def is_address(text: str) -> bool:
    """Whether a text is an address, and not a path of this machine."""
    return "://" in text


def open_address(address: str) -> IO[bytes]:
    """Open a file for reading.

    Raises:
        DataError: it does not exist.
        SourceError: it can't be read: a library or a permission is missing, or the store does not
            answer after several tries.
    """
    opened: IO[bytes] = _asked(address, lambda system, path: system.open(path, "rb"))
    return opened


def read_address(address: str, start: int | None = None, end: int | None = None) -> bytes:
    """Return the content of a file, or its bytes from `start` up to and without `end`.

    Raises:
        DataError, SourceError: as for `open_address`.
    """
    return bytes(_asked(address, lambda system, path: system.cat_file(path, start=start, end=end)))


def state_of_address(address: str) -> str:
    """Return a text that changes with the content of a file: what the store says of it.

    Raises:
        DataError, SourceError: as for `open_address`.
    """
    return size_and_state_of_address(address)[1]


def size_and_state_of_address(address: str) -> tuple[int | None, str]:
    """Return the size of a file, None if the store does not state it, and its state as text.

    Raises:
        DataError, SourceError: as for `open_address`.
    """
    about = _asked(address, lambda system, path: system.info(path))
    state = repr(sorted((name, str(value)) for name, value in about.items()))
    return about.get("size"), state


def matching_addresses(pattern: str) -> list[str]:
    """Return the addresses that match a pattern with `*`, sorted.

    Raises:
        DataError, SourceError: as for `open_address`.
    """

    def found(system: Any, path: str) -> list[str]:
        return [str(system.unstrip_protocol(each)) for each in system.glob(path)]

    return sorted(_asked(pattern, found))


def _asked(address: str, ask: Callable[[Any, str], _Answer]) -> _Answer:
    """Return what a store answers. A request that fails is made again, a few times."""
    for pause in (*PAUSES, None):
        try:
            return _in_time(lambda: ask(*_found(address)))
        except FileNotFoundError as error:
            raise DataError(f"{address} does not exist") from error
        except (ImportError, ValueError, NotImplementedError, PermissionError) as error:
            raise SourceError(f"{address} can't be read: {first_line(error)}") from error
        except Exception as error:
            # Each store has errors of its own: no connection, too many requests, no answer.
            if pause is None:
                tries = len(PAUSES) + 1
                raise SourceError(
                    f"{address} can't be read, after {tries} tries: {first_line(error)}"
                ) from error
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _in_time(run: Callable[[], _Answer]) -> _Answer:
    """Run something in a thread, and wait for it no longer than the time-out.

    Raises:
        TimeoutError: it is not ready; its thread goes on, and does not keep Python from exiting.
    """
    answers: list[_Answer] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            answers.append(run())
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            errors.append(error)

    thread = threading.Thread(target=work, name="sslcore-address", daemon=True)
    thread.start()
    thread.join(TIME_OUT)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer in {TIME_OUT:g} s")
    return answers[0]


def _found(address: str) -> tuple[Any, str]:
    # Not kept, since the connections of a store don't survive a fork; fsspec keeps them.
    from fsspec.core import url_to_fs

    system, path = url_to_fs(address)
    return system, path
