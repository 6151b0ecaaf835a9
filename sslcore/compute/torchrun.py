"""The environment variables that torchrun sets for the processes that it starts.

Nothing here imports torch, so an early error is printed without waiting for that import.
"""

from __future__ import annotations

import os
import socket

from sslcore.errors import UsageError


def process_count() -> int:
    """Return the number of processes on all machines; 1 without torchrun."""
    return max(1, _number("WORLD_SIZE", 1))


def rank() -> int:
    """Return the rank of this process over all machines, counted from 0."""
    return _number("RANK", 0)


def local_rank() -> int:
    """Return the rank of this process on its machine, counted from 0."""
    return _number("LOCAL_RANK", 0)


def attempt() -> int:
    """Return how often torchrun restarted these processes because one of them died."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) if process_count() > 1 else 0


def launch_id() -> str:
    """Return a name of this launch that survives restarts; empty without torchrun."""
    if process_count() == 1:
        return ""
    given = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    # Without --rdzv-id the launch has no name, but its torchrun process survives restarts.
    return given if given != "none" else f"{socket.gethostname()}:{os.getppid()}"


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise UsageError(
            f"{name}={text!r} in the environment is not a number; unset it: torchrun sets it itself"
        ) from None
