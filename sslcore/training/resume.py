"""Resuming a run: its recipe and its last checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sslcore.errors import RunFolderError, UsageError
from sslcore.recipe.recipe import ENCODER_PART, RUN_PART, Recipe
from sslcore.recipe.request import Request
from sslcore.recipe.resolve import resolve
from sslcore.registry.registry import Registry
from sslcore.runs.checkpoint import Checkpoint, has_checkpoint, load_checkpoint
from sslcore.runs.folder import TEACHER, Run
from sslcore.runs.provenance import recorded_request
from sslcore.runs.status import FINISHED, read_status
from sslcore.training.session import Session


def recipe_to_resume(
    run: Run, request: Request, output: str | Path | None, registry: Registry
) -> Recipe:
    """Return the recipe with which a run is resumed.

    Args:
        run: the run.
        request: the other options of the user.
        output: the `--output` of the user.
        registry: the installed parts.

    Raises:
        RunFolderError: the options would change the recipe, or a part of it is not installed.
    """
    if output is not None and Path(output).absolute() != run.path.absolute():
        raise RunFolderError("a resumed run stays in its folder: leave out --output")
    recorded = recorded_request(run, registry)
    recipe, _ = resolve(recorded, registry)
    if request == Request():
        return recipe
    if not request.config:
        request = replace(request, config=recorded.config, source=recorded.source)
    changed, _ = resolve(request, registry, run.shape().image_size)
    recipe = _split_as(changed, recipe)
    if different := recipe.differences(changed):
        raise RunFolderError(
            f"{run.path} was started with another recipe ({', '.join(different)}); resume it "
            "without these options, or start a new run"
        )
    return recipe


def extended(request: Request, parent: str | Path, registry: Registry) -> Request:
    """Return the request for a new run that goes on from another one.

    Args:
        request: the other options of the user; they change the recipe of the parent.
        parent: the folder of the run to go on from.
        registry: the installed parts.

    Raises:
        RunFolderError: there is no such run, or a part of it is not installed.
        UsageError: options name another recipe.
    """
    if request.config or request.method or request.table("init") or request.asked("init"):
        raise UsageError(
            "--extend takes the recipe of the run; leave out --method, --config and --init"
        )
    run = Run.open(parent)
    recorded = recorded_request(run, registry).without("init")
    begins = [("init", "path", str(run.path)), ("init", "part", RUN_PART)]
    teacher = run.path / TEACHER
    if teacher.is_file():
        # What it was read from may have gone.
        begins += [("teacher", "path", str(teacher)), ("teacher", "part", ENCODER_PART)]
    return replace(
        request,
        config=recorded.config,
        source=recorded.source,
        settings=(*begins, *request.settings),
    )


def _split_as(other: Recipe, recipe: Recipe) -> Recipe:
    """Return a recipe with the other's micro-batches, if these don't change the result."""
    exact = all(each.training.batch_statistics == "batch" for each in (recipe, other))
    if not exact:
        return recipe
    training = replace(recipe.training, micro_batch=other.training.micro_batch)
    return replace(recipe, training=training)


def last_checkpoint(run: Run, session: Session) -> Checkpoint | None:
    """Return the checkpoint to resume from; None if the run stopped before its first one.

    Raises:
        RunFolderError: the data changed since the run was started, or no checkpoint is intact.
    """
    images = len(session.data.train)
    if images != run.train_images():
        raise RunFolderError(
            f"{run.path} was started on {run.train_images():,} training images, and there are "
            f"{images:,} now: the data set has changed since; restore it, or start a new run"
        )
    if session.shape != run.shape():
        raise RunFolderError(
            f"{run.path} was started on {run.shape()}, and there are {session.shape} now: "
            "the data set has changed since"
        )
    known = run.images_state()
    if known and session.data.state and known != session.data.state:
        session.console.print(
            f"note: images were added, renamed or written since {run.path} was started; it goes "
            "on with the images as they are now"
        )
    if has_checkpoint(run.checkpoints):
        return load_checkpoint(run.checkpoints)
    if run.finished:
        raise RunFolderError(
            f"{run.path} has finished and has no checkpoints: there is nothing to resume; its "
            "encoder can still be loaded"
        )
    run.checkpoints.mkdir(exist_ok=True)
    session.console.print("note: the run was stopped before its first checkpoint; starting over")
    return None


def unfinished(run: Run, recipe: Recipe, step: int) -> str:
    """Return a note that a run has not reached its last step; empty if it has."""
    if recipe.training.patience is not None and run.finished:
        state = read_status(run.path, finished=True).state
        if state == FINISHED:
            # It stopped early, before its last step.
            return ""
    try:
        steps_per_epoch = run.train_images() // recipe.training.batch_size
    except RunFolderError:
        # A run can be evaluated even if its recipe does not record the number of images.
        return "" if run.finished else f"step {step}: the run has not finished"
    total = recipe.training.epochs * steps_per_epoch
    return "" if step >= total else f"step {step} of {total}: the run has not finished"
