"""A limit on the time that a call of somebody else's code may take."""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

#: Seconds after which an interruption that was not noticed is repeated.
_AGAIN = 0.1


class OutOfTime(BaseException):
    """Raised inside a call that has had its time."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the body after `seconds`.

    In the main thread a timer signal interrupts even a sleep. In other threads, and where there
    are no such signals, the exception arrives at the next Python instruction.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and hasattr(signal, "setitimer"):
        with _by_signal(seconds):
            yield
    else:
        with _by_thread(seconds):
            yield


@contextmanager
def _by_signal(seconds: float) -> Iterator[None]:
    def expire(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, expire)
    # Again and again: what is raised in a finaliser is ignored, and the next one arrives elsewhere.
    # Another timer (a test's own timeout) goes on, after, with the time that it had left.
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, left, interval)


@contextmanager
def _by_thread(seconds: float) -> Iterator[None]:
    caller = threading.get_ident()
    done = threading.Event()

    def expire() -> None:
        waiting = seconds
        while not done.wait(waiting):
            waiting = _AGAIN
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(caller), ctypes.py_object(OutOfTime)
            )

    watcher = threading.Thread(target=expire, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
