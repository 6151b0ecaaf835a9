"""After a run: evaluate it, and report on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sslcore.api.objects import (
    AugmentationLike,
    DataLike,
    LossLike,
    ModuleLike,
    registry_of_run,
)
from sslcore.compute.device import pick_device
from sslcore.compute.torchrun import process_count
from sslcore.contract.records import KINDS
from sslcore.contract.stages import DATA_SECTIONS
from sslcore.errors import UsageError
from sslcore.evaluation.evaluate import Table
from sslcore.pipeline.build import ImageShape
from sslcore.recipe.recipe import Recipe
from sslcore.recipe.request import Request, Settings
from sslcore.recipe.resolve import resolve
from sslcore.registry.origin import OBJECT
from sslcore.registry.registry import Registry, default_registry
from sslcore.reports.maps import DEFAULT_MAP, check_map
from sslcore.reports.report import write_report
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import Run
from sslcore.runs.provenance import form_of_images, recorded_request
from sslcore.runs.scores import Details
from sslcore.system.terminal import stderr_console
from sslcore.training.monitor import restore_best
from sslcore.training.resume import unfinished
from sslcore.training.session import Session
from sslcore.training.state import restore_weights

if TYPE_CHECKING:
    from rich.console import Console


def keep(
    table: Table, details: Details, run: Run, console: Console, *, other_data: str = ""
) -> None:
    """Add an evaluation to a run, and print what could not be kept."""
    if note := run.write_evaluation(table, details, other_data=other_data):
        console.print(f"note: {note}")


def evaluate(
    run: str | Path,
    *,
    evaluators: Sequence[str] = (),
    settings: Settings = (),
    data: DataLike | None = None,
    eval_data: DataLike | None = None,
    augmentation: AugmentationLike | None = None,
    encoder: ModuleLike | None = None,
    head: ModuleLike | None = None,
    loss: LossLike | None = None,
    device: str = "auto",
    console: Console | None = None,
    registry: Registry | None = None,
) -> Table:
    """Evaluate a run and add the figures to its `evaluation.json`.

    Args:
        run: the run's folder.
        evaluators: names; the run's own by default.
        settings: of the section `evaluator`.
        data: another data set to evaluate on; its figures are added to a file of its own,
            `evaluation-NAME.json`. Of a run that was trained on a Python object, the object.
        eval_data: the same as `data`; of a run whose `eval_data` was a Python object, the object.
        augmentation: the object that the run was trained with, where it was one.
        encoder: the same for its encoder.
        head: the same for its head.
        loss: the same for its loss.
        device: where to compute.
        console: where notes are printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Returns:
        `{column: {metric: value}}` for the trained encoder, the same encoder untrained, and raw
        pixels.

    Raises:
        UsageError: names or settings are unknown, the data has no labels, or there is no run.
    """
    registry, other = registry_of_run(
        run,
        registry,
        data=data,
        eval_data=eval_data,
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
        other_data=True,
    )
    asked = Request.of(evaluators=evaluators, settings=settings, data=other)
    return measure(run, asked, device=device, console=console, registry=registry)[0]


def measure(
    run: str | Path,
    asked: Request,
    *,
    device: str = "auto",
    console: Console | None = None,
    registry: Registry | None = None,
) -> tuple[Table, Details]:
    """Do what `evaluate` does, and return by metric how it was measured, too.

    Args:
        run: the run's folder.
        asked: evaluators, their settings and data to use in place of the run's own.
        device: where to compute.
        console: where notes are printed; stderr by default.
        registry: where to look for parts; everything installed by default.
    """
    console, registry = console or stderr_console(), registry or default_registry()
    opened, session, step = _trained(run, asked, device, console, registry)
    table, details = session.evaluate(step=step)
    if not table:
        raise UsageError(f"{run} can't be evaluated: " + "; ".join(session.left_out()))
    other = "" if asked.data is None else Path(session.data_name).name
    keep(table, details, opened, console, other_data=other)
    return table, details


def report(
    run: str | Path,
    *,
    map: str = DEFAULT_MAP,
    data: DataLike | None = None,
    eval_data: DataLike | None = None,
    augmentation: AugmentationLike | None = None,
    encoder: ModuleLike | None = None,
    head: ModuleLike | None = None,
    loss: LossLike | None = None,
    device: str = "auto",
    console: Console | None = None,
    registry: Registry | None = None,
) -> Path:
    """Write the report of a run anew: `report.html` and its pictures in `figures/`.

    Args:
        run: the run's folder.
        map: how the features are placed on their map: "t-sne", "pca" or "umap".
        data: the object that the run was trained with, where it was one.
        eval_data: the same for the images that its evaluators use.
        augmentation: the same for its augmentation.
        encoder: the same for its encoder.
        head: the same for its head.
        loss: the same for its loss.
        device: where to compute.
        console: where notes are printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Returns:
        The path of the report.

    Raises:
        UsageError: there is no such run or no such map, the run has no checkpoint, or what the map
            or the run needs is not installed.
    """
    console = console or stderr_console()
    check_map(map)
    registry, _ = registry_of_run(
        run,
        registry,
        data=data,
        eval_data=eval_data,
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
    )
    opened, session, _ = _trained(run, Request.of(), device, console, registry)
    with console.status("drawing the report"):
        return write_report(session, opened, registry, map=map)


def _trained(
    run: str | Path, asked: Request, device: str, console: Console, registry: Registry
) -> tuple[Run, Session, int]:
    """Open a run, restore the weights of its last checkpoint and return its step.

    Args:
        run: the run's folder.
        asked: evaluators, their settings and data to use in place of the run's own.
        device: where to compute.
        console: where notes are printed.
        registry: where to look for parts.
    """
    if process_count() > 1:
        raise UsageError(
            f"started as {process_count()} processes, and this is for one; start it without "
            "torchrun"
        )
    opened = Run.open(run)
    recipe = recipe_to_evaluate(opened, asked, registry)
    session = Session.prepare(
        recipe, device=pick_device(device), console=console, shape=opened.shape(), run=opened
    )
    found = ImageShape.of(session.data.train)
    if (found.image_size, found.channels) != (session.shape.image_size, session.shape.channels):
        raise UsageError(
            f"the run was trained on {session.shape}, and {recipe.data.name} has {found}"
        )
    own = asked.data is None and recipe.data.origin.distribution == OBJECT
    if own and len(session.data.train) != opened.train_images():
        raise UsageError(
            f"the run was trained on {opened.train_images():,} images, and {recipe.data} has "
            f"{len(session.data.train):,}: give the data that it was trained on"
        )
    checkpoint = load_checkpoint(opened.checkpoints)
    for skipped in checkpoint.skipped:
        console.print(f"note: {skipped}; evaluating step {checkpoint.step}")
    if note := unfinished(opened, recipe, checkpoint.step):
        console.print(f"note: {note}")
    restore_weights(session.pipeline, checkpoint)
    step = checkpoint.step
    if recipe.training.keep == "best" and opened.finished:
        step = restore_best(session.pipeline, opened) or step
    return opened, session, step


def recipe_to_evaluate(
    run: Run, asked: Request, registry: Registry, *, section: str = "evaluator"
) -> Recipe:
    """Return the recipe of a run with the evaluators, their settings and the data asked for.

    Args:
        run: the run.
        asked: what replaces the run's own.
        registry: where to look for parts.
        section: the section whose settings may be given.

    Raises:
        UsageError: settings of other sections are given, or what is asked for does not fit.
    """
    others = sorted({each for each, _, _ in asked.settings if each != section})
    if others:
        raise UsageError(
            f"{', '.join(others)}: a run is used as it was trained; only settings of the section "
            f"{section} can be given"
        )
    replaced = {"evaluator": bool(asked.evaluators), "dataset": asked.data is not None}
    kinds = [kind for kind in KINDS if not replaced.get(kind)]
    recorded = recorded_request(run, registry, kinds)
    config = dict(recorded.config)
    if asked.evaluators:
        config["evaluators"] = {name: {} for name in asked.evaluators}
    if asked.data is not None:
        for section in DATA_SECTIONS:
            config.pop(section, None)
    request = replace(asked, config=config, source=recorded.source)
    recipe, _ = resolve(request, registry)
    if asked.data is None:
        return recipe
    if form := form_of_images(run, request):
        recipe, _ = resolve(replace(request, settings=(*request.settings, *form)), registry)
    return recipe
