"""`metrics.jsonl`: one line for each log step of a run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslcore.contract.interface import ENGINE_KEYS
from sslcore.errors import RunFolderError
from sslcore.evaluation.collapse import Reading
from sslcore.system.files import to_json, write_safely

#: A line of metrics.jsonl, by key.
Line = dict[str, Any]

#: Prefixes of the figures that are measured during training.
TRAINED, UNTRAINED = "trained.", "untrained."


@dataclass(frozen=True)
class LogLine:
    """The numbers of a log step.

    Attributes:
        step: steps done.
        epoch: epochs done.
        loss: mean loss since the last log step.
        learning_rate: of the first parameter group.
        images_per_second: since the last log step, over all processes.
        reading: statistics of the representations of this step, or None.
        numbers: numbers that parts log, by name.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    images_per_second: float
    reading: Reading | None
    numbers: dict[str, float]

    def to_dict(self) -> dict[str, object]:
        """Return the line of metrics.jsonl; a part can't replace a number of the engine."""
        line: dict[str, object] = {
            "time": now(),
            "step": self.step,
            "epoch": round(self.epoch, 4),
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "images_per_second": round(self.images_per_second, 1),
        }
        if self.reading is not None:
            line["representation"] = self.reading.signal
            line["spread"] = self.reading.spread
            line["effective_rank"] = self.reading.effective_rank
        return line | {
            name: value for name, value in self.numbers.items() if name not in ENGINE_KEYS
        }


def now() -> str:
    """Return the time as metrics.jsonl has it, UTC: "2026-01-31T12:00:00Z"."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Metrics:
    """The metrics file of a run in training.

    Args:
        path: the file.
        upto: the step to resume from; lines of later steps are deleted.

    Raises:
        RunFolderError: the file can't be read or written.
    """

    def __init__(self, path: Path, upto: int = 0) -> None:
        kept = [line for line in read_metrics(path) if line["step"] <= upto]
        write_safely(path, "".join(to_json(line) + "\n" for line in kept))
        self._path = path

    def write(self, line: Mapping[str, object]) -> None:
        """Append a line; numbers that are not finite are written as null.

        Raises:
            RunFolderError: the file can't be written.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(to_json(line) + "\n")
        except OSError as error:
            raise RunFolderError(f"{self._path} can't be written: {error.strerror}") from error


def read_metrics(path: Path) -> list[Line]:
    """Return the lines of a metrics file; an empty list if there is no file.

    Lines that are incomplete, or not objects with an integer `step`, are left out.

    Raises:
        RunFolderError: the file can't be read.
    """
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunFolderError(f"{path} can't be read: {error.strerror}") from error
    return [line for text in texts if (line := _line(text)) is not None]


def _line(text: str) -> Line | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    # `True` is an int in Python, but not a step.
    whole = isinstance(line, dict) and type(line.get("step")) is int
    return line if whole else None
