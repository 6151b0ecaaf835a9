"""A call that does not return is interrupted, in any thread, without side effects."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress

import pytest

from sslcore.testing.limits import OutOfTime, within


def spin():
    while True:
        pass


@pytest.mark.parametrize("call", [spin, lambda: time.sleep(600)], ids=["spins", "sleeps"])
def test_a_call_in_the_main_thread_is_interrupted(call):
    with pytest.raises(OutOfTime):
        within(0.05, call)


def test_a_call_in_another_thread_is_interrupted():
    seen = []

    def work():
        try:
            within(0.05, spin)
        except OutOfTime:
            seen.append("interrupted")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert seen == ["interrupted"]


def test_an_interruption_that_is_swallowed_is_repeated():
    def swallow():
        with suppress(OutOfTime):
            spin()
        spin()

    with pytest.raises(OutOfTime):
        within(0.05, swallow)


def test_a_call_in_time_leaves_no_timer_and_no_handler():
    before = signal.getsignal(signal.SIGALRM)
    assert within(5, lambda: "done") == "done"
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_timer_of_somebody_else_goes_on():
    ticks = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: ticks.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        within(5, lambda: None)
        deadline = time.monotonic() + 60
        while not ticks and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert ticks == [signal.SIGALRM]


def test_an_interruption_arrives_inside_the_call_or_never():
    # Each call ends at its time limit, and its handlers take longer than a repetition.
    def slow():
        try:
            spin()
        finally:
            until = time.monotonic() + 0.25
            while time.monotonic() < until:
                with suppress(OutOfTime):
                    sum(range(1000))

    for _ in range(3):
        with pytest.raises(OutOfTime):
            within(0.02, slow)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            sum(range(1000))


def test_a_call_that_a_busy_machine_delays_is_not_interrupted():
    # Sleeping simulates a busy processor: the process gets no processor time.
    assert within(2, lambda: time.sleep(2.5) or "done") == "done"
