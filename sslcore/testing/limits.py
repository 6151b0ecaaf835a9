"""A limit on the time that a call of somebody else's code may take."""

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

#: Seconds between two looks at the clock, and after which an interruption is repeated.
_AGAIN = 0.1
#: A call on a busy machine gets its seconds of the processor, within this many times as long.
_PATIENCE = 3


class OutOfTime(BaseException):
    """Raised inside a call that has used up its time."""


def within(seconds: float, function: Callable[[], T]) -> T:
    """Return what a function returns; interrupt it once its time is up.

    Its time is up when the process has computed for `seconds` since the call began, or after
    3 times as long by the clock: a call that sleeps is interrupted too, and a busy machine
    interrupts nothing. In the main thread a timer signal interrupts even a sleep. In other threads,
    and where there are no such signals, the exception arrives at the next Python instruction.

    Raises:
        OutOfTime: the function was interrupted. It is raised by this call or not at all.
    """
    main = threading.current_thread() is threading.main_thread()
    by_signal = main and hasattr(signal, "setitimer")
    return (_by_signal if by_signal else _by_thread)(_Clock(seconds), function)


class _Clock:
    """Tells whether the time of a call is up.

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
    # Again and again: what is raised in a finaliser is ignored, and the next one arrives elsewhere.
    # Another timer (a test's own timeout) goes on, after, with the time that it had left.
    first = min(clock.seconds, _AGAIN)
    left, interval = signal.setitimer(signal.ITIMER_REAL, first, _AGAIN)
    try:
        try:
            return function()
        finally:
            # Before any call, at which a signal could still be handled.
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
    """Stop the watcher; an interruption that was on its way is swallowed."""
    while watcher.is_alive():
        try:
            done.set()
            watcher.join()
        except OutOfTime:
            continue
