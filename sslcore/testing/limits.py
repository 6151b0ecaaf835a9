"""A time limit for a call of foreign code."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from types import FrameType

T = TypeVar("T")

#: Seconds between two readings of the clock, and between two interruptions.
_AGAIN = 0.1
#: A call gets its seconds of processor time, but at most this multiple of them by the clock.
_PATIENCE = 3


class OutOfTime(BaseException):
    """Raised inside a call that has exceeded its time limit."""


def within(seconds: float, function: Callable[[], T]) -> T:
    """Call a function and return its result; interrupt the call at a time limit.

    The limit is reached after `seconds` of processor time, or after 3 times as long by the clock:
    so a call that sleeps is interrupted too, and a call on a busy machine is not interrupted early.
    In the main thread a timer signal interrupts even a sleep. In other threads, and on systems
    without such signals, the exception arrives at the next Python instruction.

    Raises:
        OutOfTime: the function was interrupted. Only this call raises it, never later code.
    """
    main = threading.current_thread() is threading.main_thread()
    by_signal = main and hasattr(signal, "setitimer")
    return (_by_signal if by_signal else _by_thread)(_Clock(seconds), function)


class _Clock:
    """Reports whether a call has reached its time limit.

    Attributes:
        over: whether the call has ended, so that nothing may be interrupted any more.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.over = seconds, False
        self._computed, self._started = time.process_time(), time.monotonic()

    @property
    def is_up(self) -> bool:
        computed = time.process_time() - self._computed
        passed = time.monotonic() - self._started
        up = computed >= self.seconds or passed >= _PATIENCE * self.seconds
        return up and not self.over


def _by_signal(clock: _Clock, function: Callable[[], T]) -> T:
    def expire(number: int, frame: FrameType | None) -> None:
        if clock.is_up:
            raise OutOfTime

    before = signal.signal(signal.SIGALRM, expire)
    # Repeated, since Python ignores an exception raised in a finaliser; a later one arrives
    # elsewhere. Afterwards another timer (a test's own timeout) continues with its remaining time.
    first = min(clock.seconds, _AGAIN)
    left, interval = signal.setitimer(signal.ITIMER_REAL, first, _AGAIN)
    try:
        try:
            return function()
        finally:
            # First of all: during a call, Python could still handle a signal.
            clock.over = True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, left, interval)


def _by_thread(clock: _Clock, function: Callable[[], T]) -> T:
    caller = ctypes.c_ulong(threading.get_ident())
    done = threading.Event()
    interrupt = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def expire() -> None:
        while not done.wait(min(clock.seconds, _AGAIN)):
            if clock.is_up:
                interrupt(caller, ctypes.py_object(OutOfTime))

    watcher = threading.Thread(target=expire, daemon=True)
    watcher.start()
    try:
        try:
            return function()
        finally:
            clock.over = True
    finally:
        _settle(done, watcher)
        interrupt(caller, None)


def _settle(done: threading.Event, watcher: threading.Thread) -> None:
    """Stop the watcher, and discard an interruption that has not arrived yet."""
    while watcher.is_alive():
        try:
            done.set()
            watcher.join()
        except OutOfTime:
            continue
