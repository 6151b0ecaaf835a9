"""Ctrl-C and the signals that end a process, turned into a question asked between two steps."""

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

#: Seconds within which two signals under torchrun are one.
_SAME = 2.0

#: Of these, the ones that the system has. SIGHUP comes when the terminal has gone.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether a stop has been asked for.

    A signal that the process ignores stays ignored: under `nohup`, SIGHUP does. A second Ctrl-C
    is not waited with: it interrupts at once. Under torchrun, which passes on what the process may
    have been sent as well, it is one if it comes later.
    """
    asked = threading.Event()
    apart = 0.0 if process_count() == 1 else _SAME
    first = 0.0
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may handle signals; elsewhere nothing can be asked.
        yield asked.is_set
        return

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if asked.is_set():
            if number == signal.SIGINT and time.monotonic() - first >= apart:
                raise KeyboardInterrupt
            return
        first = time.monotonic()
        asked.set()

    before = {}
    for name in _NAMES:
        number = getattr(signal, name, None)
        # None is a handler that was not installed from Python, and could not be put back.
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
