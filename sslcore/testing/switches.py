"""The global state of a process: random states and torch's switches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch


def shared_state() -> dict[str, Any]:
    """Return the global state that a part must not change, by name."""
    state = numpy.random.get_state(legacy=False)
    assert isinstance(state, dict)
    return {
        "Python's random state": random.getstate(),
        "NumPy's random state": (state["state"]["pos"], state["state"]["key"].tobytes()),
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        **_switches(),
    }


def changes(before: dict[str, Any]) -> str:
    """Return the names of what has changed, in words; empty if nothing has changed."""
    after = shared_state()
    return ", ".join(name for name, value in before.items() if after[name] != value)


def _switches() -> dict[str, Any]:
    return {
        "whether gradients are computed": torch.is_grad_enabled(),
        "the default type": torch.get_default_dtype(),
        "the number of threads": torch.get_num_threads(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "the precision of float32 products": torch.get_float32_matmul_precision(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
    }


@contextmanager
def plain_process() -> Iterator[None]:
    """Run the body with default switches, one thread, and a seed that no part sets itself.

    One thread, since sums depend on the number of threads. Everything is restored afterwards.
    """
    numbers = random.getstate(), numpy.random.get_state(legacy=False), torch.get_rng_state()
    switches = _switches()
    try:
        _set(True, torch.float32, 1, False, "highest", False)
        random.seed(20_261)
        numpy.random.seed(20_261)
        torch.manual_seed(20_261)
        yield
    finally:
        random.setstate(numbers[0])
        numpy.random.set_state(numbers[1])
        torch.set_rng_state(numbers[2])
        _set(*switches.values())


def _set(
    grad: bool,
    dtype: torch.dtype,
    threads: int,
    anomaly: bool,
    precision: str,
    deterministic: bool,
) -> None:
    torch.set_grad_enabled(grad)
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    torch.autograd.set_detect_anomaly(anomaly)
    torch.set_float32_matmul_precision(precision)
    torch.use_deterministic_algorithms(deterministic)
