"""Trackers are told what happens in a run. They can't change it, and a failure costs only them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from sslcore.compute.rng_state import preserved_generators
from sslcore.errors import first_line, nearest
from sslcore.pipeline.parts import build_part
from sslcore.recipe.recipe import Part
from sslcore.recipe.validation import Validation
from sslcore.registry.registry import Registry

#: The section of their settings, which are not a part of the recipe.
TRACKER = "tracker"


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
    def of(
        cls,
        names: Sequence[str],
        settings: Mapping[str, object],
        registry: Registry,
        device: torch.device,
    ) -> Trackers:
        """Make the trackers of these names.

        Args:
            names: of the trackers.
            settings: as for `tracker_parts`.
            registry: where trackers are looked up.
            device: the device of the run.

        Raises:
            UsageError: as for `tracker_parts`, or a tracker can't be made, as where its library is
                not installed.
        """
        parts = tracker_parts(names, settings, registry)
        return cls({name: build_part(part, {}) for name, part in parts.items()}, device)

    def started(self, folder: Path, settings: Mapping[str, object], step: int) -> None:
        """Tell them that a run starts, or goes on after a step.

        Args:
            folder: the run's folder.
            settings: of the recipe, by name: `{"loss": "nt-xent", "loss.temperature": 0.5}`.
            step: steps done.
        """
        self._tell("started", folder, settings, step)

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


def tracker_parts(
    names: Sequence[str], settings: Mapping[str, object], registry: Registry
) -> dict[str, Part]:
    """Return the trackers of these names with their settings.

    Args:
        names: of the trackers.
        settings: of the section `tracker`, of which each takes its own.
        registry: where trackers are looked up.

    Raises:
        UsageError: a name is unknown, a value is wrong, or no tracker has such a setting.
    """
    validation, parts = Validation(), {}
    known: dict[str, None] = {}
    for name in dict.fromkeys(names):
        entry = registry.resolve("tracker", name)
        own = entry.interface().settings
        known |= dict.fromkeys(own)
        given = {key: value for key, value in settings.items() if key in own}
        parts[name] = Part.of(entry, validation.settings("tracker", own, given, entry.owner) or {})
    chosen = ", ".join(parts) or "none is chosen: --track NAME"
    validation.problems += [
        f"tracker.{name}: no chosen tracker has such a setting ({chosen}){nearest(name, known)}"
        for name in settings
        if name not in known
    ]
    validation.check()
    return parts
