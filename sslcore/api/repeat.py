"""A run that a command trains, goes on with, or finds finished when it is repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sslcore.api.training import train
from sslcore.errors import UsageError
from sslcore.recipe.request import Assignment
from sslcore.recipe.resolve import resolve
from sslcore.registry.registry import Registry
from sslcore.runs.folder import Run
from sslcore.runs.provenance import recorded_request
from sslcore.training.start import Plan
from sslcore.training.trackers import TRACKER

#: The parameters of `train` that change how a run is computed and shown, and not its result.
_TECHNICAL = (
    "device",
    "compile",
    "workers",
    "time_limit",
    "track",
    "evaluate",
    "report",
    "console",
    "registry",
)


def check_same(folder: Path, planned: Plan, registry: Registry) -> None:
    """Refuse a folder whose run has another recipe: its scores would pass for those asked for.

    Raises:
        UsageError: the recipes differ.
    """
    run = Run(folder)
    if not run.recipe_path.is_file():
        return
    recorded, _ = resolve(recorded_request(run, registry), registry)
    recipe = planned.recipe
    if planned.settle is not None:
        recipe, _ = planned.settle(run.shape().image_size)
    if recipe.init is not None and recorded.init is not None and not recipe.init.sha256:
        # Weights that are asked for by their path alone have no hash until they are read.
        recipe = replace(recipe, init=replace(recipe.init, sha256=recorded.init.sha256))
    if differences := recorded.differences(recipe):
        raise UsageError(
            f"{folder} has a run with other settings ({'; '.join(differences[:3])}); choose "
            "another --output"
        )


def is_done(folder: Path) -> bool:
    """Whether a folder has a run that has finished and been evaluated."""
    run = Run(folder)
    return run.finished and bool(run.read_evaluation())


def train_or_go_on(
    folder: Path, settings: Sequence[Assignment], options: Mapping[str, Any]
) -> None:
    """Train a run, or go on with it where it was stopped.

    Args:
        folder: of the run.
        settings: those of the run.
        options: further parameters of `sslcore.train`.

    Raises:
        UsageError, TrainingError, InterruptedRun: as `sslcore.train` does.
    """
    if Run(folder).recipe_path.is_file():
        kept = {name: options[name] for name in _TECHNICAL if name in options}
        told = [item for item in settings if item[0] == TRACKER]
        train(resume=folder, settings=told, **kept)
    else:
        train(settings=settings, output=folder, **options)
