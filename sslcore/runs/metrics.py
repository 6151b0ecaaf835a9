"""`metrics.jsonl`: a line for each log step of a run, written as it goes and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslcore.contract.interface import ENGINE_KEYS
from sslcore.errors import RunFolderError
from sslcore.evaluation.collapse import Reading
from sslcore.system.files import to_json, write_safely


@dataclass(frozen=True)
class LogLine:
    """What is told of a log step: the mean loss since the last one, and readings of this one."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    images_per_second: float
    reading: Reading | None
    numbers: dict[str, float]

    def to_dict(self) -> dict[str, object]:
        """Return it as a line of metrics.jsonl; no number of a part replaces one of the engine."""
        line: dict[str, object] = {
            "step": self.step,
            "epoch": round(self.epoch, 4),
            "loss": self.loss,
            "lr": self.learning_rate,
            "images_per_s": round(self.images_per_second, 1),
        }
        if self.reading is not None:
            line["read"] = self.reading.signal
            line["std"] = self.reading.std
            line["effective_rank"] = self.reading.effective_rank
        return line | {
            name: value for name, value in self.numbers.items() if name not in ENGINE_KEYS
        }


class Metrics:
    """The metrics file of a run that trains.

    Args:
        path: the file.
        upto: lines of later steps are dropped: they will be written again.

    Raises:
        RunFolderError: the file can't be written.
    """

    def __init__(self, path: Path, upto: int = 0) -> None:
        kept = [line for line in read_metrics(path) if line["step"] <= upto]
        write_safely(path, "".join(to_json(line) + "\n" for line in kept))
        self._path = path

    def write(self, line: Mapping[str, object]) -> None:
        """Append a line; a number that is not finite is written as null.

        Raises:
            RunFolderError: it can't be written.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(to_json(line) + "\n")
        except OSError as error:
            raise RunFolderError(f"{self._path} can't be written: {error.strerror}") from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a metrics file: objects with an integer `step`.

    A line that is cut short, or is something else, is left out; those after it are kept.

    Raises:
        RunFolderError: the file is there and can't be read.
    """
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunFolderError(f"{path} can't be read: {error.strerror}") from error
    return [line for text in texts if (line := _line(text)) is not None]


def _line(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    # True is an integer to Python, and no step.
    whole = isinstance(line, dict) and type(line.get("step")) is int
    return line if whole else None
