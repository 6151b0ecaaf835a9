"""Signals as requests to stop, and what becomes of them when training ends."""

from __future__ import annotations

import os
import signal

import pytest

from sslcore.training.stop_requests import stop_requests


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _train_until_an_error():
    with pytest.raises(RuntimeError, match="gone"), stop_requests():
        raise RuntimeError("gone")


def test_under_torchrun_a_signal_after_an_error_does_not_kill_the_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    _train_until_an_error()
    # The default handler of SIGTERM would end this process.
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_handlers_of_before_come_back_after_training(monkeypatch, processes):
    monkeypatch.setenv("WORLD_SIZE", processes)
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_process_gets_its_handlers_back_after_an_error(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    before = signal.getsignal(signal.SIGTERM)
    _train_until_an_error()
    assert signal.getsignal(signal.SIGTERM) is before
