"""TensorBoard: event files in `tensorboard/` in the folder of the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sslcore_trackers.extras import library, scores


class TensorBoard:
    """Writes numbers, scores and pictures as TensorBoard events.

    Raises:
        ValueError: tensorboard is not installed.
    """

    def __init__(self) -> None:
        library("tensorboard", "tensorboard")
        self._writer: Any = None
        self._step = 0

    def started(self, folder: Path, settings: Mapping[str, object], step: int) -> None:
        """Open the event file; events of later steps, of a run that was killed, are dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._step = step
        self._writer = SummaryWriter(
            str(folder / "tensorboard"), purge_step=step + 1 if step else None
        )
        text = "\n".join(f"    {name} = {value}" for name, value in settings.items())
        self._writer.add_text("recipe", text, step)

    def logged(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers of a step."""
        self._step = step
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def evaluated(self, table: Mapping[str, Mapping[str, float]]) -> None:
        """Write the scores at the end."""
        for name, value in scores(table).items():
            self._writer.add_scalar(name, value, self._step)

    def drew(self, name: str, path: Path) -> None:
        """Write a picture."""
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self._writer.add_image(name, pixels, self._step, dataformats="HWC")

    def ended(self, state: str) -> None:
        """Close the event file."""
        self._writer.add_text("state", state, self._step)
        self._writer.close()
