"""`status.json`: whether a run is training, has finished, was stopped or failed, and for how long.

A process that is killed can't write that it was, so "training" counts only while the run's lock is
held.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sslcore.errors import InterruptedRun, RunFolderError, first_line
from sslcore.runs.metrics import now
from sslcore.system.files import to_json, write_safely
from sslcore.system.locks import is_locked

STATUS = "status.json"

TRAINING, FINISHED, STOPPED, FAILED = "training", "finished", "stopped", "failed"


@dataclass(frozen=True)
class Status:
    """The state of a run.

    Attributes:
        state: "training", "finished", "stopped" or "failed".
        reason: why it failed, in one line; else empty.
        started: when the run was first started, UTC, as "2026-01-31T12:00:00Z".
        seconds: how long it trained, over all its resumptions.
    """

    state: str
    reason: str = ""
    started: str = ""
    seconds: float = 0.0


def read_status(folder: Path, *, finished: bool) -> Status:
    """Return the state of a run.

    Args:
        folder: the run's folder.
        finished: whether its encoder is there, for a run without a readable status.
    """
    status = Status(FINISHED if finished else STOPPED)
    with suppress(OSError, ValueError, TypeError, RecursionError):
        found = Status(**json.loads((folder / STATUS).read_text(encoding="utf-8")))
        if isinstance(found.seconds, (int, float)) and isinstance(found.state, str):
            status = found
    gone = status.state == TRAINING and not is_locked(folder)
    if gone or (status.state == FINISHED and not finished):
        return replace(status, state=FINISHED if finished else STOPPED)
    return status


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """Record that a run trains, and at the end how it ended.

    An error passes through. That its status can't be written costs nothing but the status.
    """
    before = read_status(folder, finished=False)
    began = time.monotonic()
    begun = before.started or now()

    def write(state: str, reason: str = "") -> None:
        seconds = round(before.seconds + time.monotonic() - began, 3)
        with suppress(RunFolderError):
            status = Status(state, reason, begun, seconds)
            write_safely(folder / STATUS, to_json(asdict(status), indent=2) + "\n")

    write(TRAINING)
    try:
        yield
    except (InterruptedRun, KeyboardInterrupt):
        write(STOPPED)
        raise
    except BaseException as error:
        write(FAILED, first_line(error))
        raise
    write(FINISHED)
