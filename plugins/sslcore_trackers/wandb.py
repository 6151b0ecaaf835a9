"""Weights & Biases: `WANDB_PROJECT`, `WANDB_MODE=offline` and the other variables configure it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sslcore_trackers.extras import library, scores

#: The file in the run's folder that holds the name of its run at Weights & Biases.
_ID = ".wandb-run"


class WeightsAndBiases:
    """Logs numbers, scores and pictures of a run to Weights & Biases.

    Raises:
        ValueError: wandb is not installed.
    """

    def __init__(self) -> None:
        self._library = library("wandb", "wandb")
        self._run: Any = None
        self._step = 0

    def started(self, folder: Path, settings: Mapping[str, object], step: int) -> None:
        """Start a run, or go on with the one of an earlier start."""
        known = ""
        with suppress(OSError):
            known = (folder / _ID).read_text(encoding="utf-8").strip()
        self._step = step
        self._run = self._library.init(
            name=folder.name,
            dir=str(folder),
            config=dict(settings),
            id=known or None,
            resume="allow" if known else None,
            settings=self._library.Settings(silent=True),
        )
        (folder / _ID).write_text(self._run.id, encoding="utf-8")

    def logged(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of a step."""
        self._step = step
        self._run.log(dict(numbers), step=step)

    def evaluated(self, table: Mapping[str, Mapping[str, float]]) -> None:
        """Set the scores as the summary of the run."""
        self._run.summary.update(scores(table))

    def drew(self, name: str, path: Path) -> None:
        """Log a picture."""
        self._run.log({name: self._library.Image(str(path))}, step=self._step)

    def ended(self, state: str) -> None:
        """End the run; only a run that finished counts as a success."""
        self._run.finish(exit_code=0 if state == "finished" else 1)
