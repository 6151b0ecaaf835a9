"""Trackers are told what happens in a run. They can't change it, and a failure costs only them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from sslcore.compute.rng_state import preserved_generators
from sslcore.errors import first_line
from sslcore.pipeline.build import build_part
from sslcore.recipe.recipe import Part
from sslcore.recipe.validation import Validation
from sslcore.registry.registry import Registry


class Trackers:
    """The trackers of a run.

    Args:
        trackers: the trackers by name.
        device: the device of the run, whose random generators stay as they are.
        warn: called with a sentence for each tracker that fails.
    """

    def __init__(
        self,
        trackers: Mapping[str, object] | None = None,
        device: torch.device | None = None,
        warn: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._trackers = dict(trackers or {})
        self._device = device or torch.device("cpu")
        self.warn = warn

    @classmethod
    def of(cls, names: Sequence[str], registry: Registry, device: torch.device) -> Trackers:
        """Make the trackers of these names.

        Raises:
            UsageError: a name is unknown, or a tracker can't be made, as where its library is not
                installed.
        """
        made: dict[str, object] = {}
        for name in dict.fromkeys(names):
            entry = registry.resolve("tracker", name)
            validation = Validation()
            valid = validation.settings("tracker", entry.interface().settings, {}, entry.owner)
            validation.check()
            made[name] = build_part(Part.of(entry, valid or {}), {})
        return cls(made, device)

    def started(self, folder: Path, recipe: Mapping[str, object], step: int) -> None:
        """Tell them that a run starts, or goes on after a step."""
        self._tell("started", folder, recipe, step)

    def logged(self, line: Mapping[str, object]) -> None:
        """Tell them the numbers of a line of metrics.jsonl."""
        numbers = {
            name: float(value)
            for name, value in line.items()
            if name != "step" and isinstance(value, (int, float)) and math.isfinite(value)
        }
        self._tell("logged", line["step"], numbers)

    def evaluated(self, table: Mapping[str, Mapping[str, float]]) -> None:
        """Tell them the evaluation at the end."""
        self._tell("evaluated", table)

    def drew(self, pictures: Sequence[Path]) -> None:
        """Tell them the pictures of the report."""
        for path in pictures:
            self._tell("drew", path.stem, path)

    def ended(self, state: str) -> None:
        """Tell them that the run is over: "finished", "stopped" or "failed"."""
        self._tell("ended", state)

    def _tell(self, what: str, *arguments: object) -> None:
        for name, tracker in list(self._trackers.items()):
            method = getattr(tracker, what, None)
            if method is None:
                continue
            try:
                with preserved_generators(self._device):
                    # A copy of its own: a tracker must not change what others are told.
                    method(*copy.deepcopy(arguments))
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything
                del self._trackers[name]
                self.warn(
                    f"tracker {name} failed and is left out from now on: "
                    f"{type(error).__name__}: {first_line(error)}"
                )
