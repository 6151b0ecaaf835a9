"""Ctrl-C and the signals that end a process, as requests to stop after the current step."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sslcore.compute.torchrun import process_count

if TYPE_CHECKING:
    from types import FrameType

#: Under torchrun, a second signal within these seconds counts as the first one.
_REPEATED = 2.0

#: Signals to handle where the system has them. A closed terminal sends SIGHUP.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether a stop was requested.

    Signals that the process ignores stay ignored, such as SIGHUP under `nohup`. A second Ctrl-C
    interrupts at once. A terminal sends Ctrl-C to torchrun and to its processes, and torchrun sends
    it to them again, so the second one must come later there.

    Under torchrun, the signals stay handled after an error: torchrun asks every process to stop as
    soon as one has exited, and must not kill this one before it has printed its error.
    """
    requested = threading.Event()
    repeated = 0.0 if process_count() == 1 else _REPEATED
    first = 0.0
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread can handle signals.
        yield requested.is_set
        return

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if requested.is_set():
            if number == signal.SIGINT and time.monotonic() - first >= repeated:
                raise KeyboardInterrupt
            return
        first = time.monotonic()
        requested.set()

    before = {}
    for name in _NAMES:
        number = getattr(signal, name, None)
        # None is a handler that was not installed from Python and can't be restored.
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, request)
    try:
        yield requested.is_set
    except BaseException:
        if process_count() > 1:
            before.clear()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
