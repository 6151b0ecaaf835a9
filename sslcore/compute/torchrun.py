"""What torchrun says of the processes that it has started, in their environment.

Nothing here imports torch: an error may have to be printed before that is worth its time.
"""

from __future__ import annotations

import os
import socket

from sslcore.errors import UsageError


def process_count() -> int:
    """Return how many processes torchrun has started on all machines; 1 without it."""
    return max(1, _number("WORLD_SIZE", 1))


def rank() -> int:
    """Return which of all processes this is, counted from 0."""
    return _number("RANK", 0)


def local_rank() -> int:
    """Return which of the processes on this machine this is, counted from 0."""
    return _number("LOCAL_RANK", 0)


def attempt() -> int:
    """Return how often torchrun has started these processes again, since one of them had died."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) if process_count() > 1 else 0


def launch_id() -> str:
    """Return what names this launch by torchrun, after a restart too; empty without torchrun."""
    if process_count() == 1:
        return ""
    given = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    # It has a name only where it was given one; but what has started us stays the same process.
    return given if given != "none" else f"{socket.gethostname()}:{os.getppid()}"


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise UsageError(
            f"{name}={text!r} in the environment is no number; torchrun sets it, or unset it"
        ) from None
