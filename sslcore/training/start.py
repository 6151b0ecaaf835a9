"""Starts or resumes a run and trains it to its end, in each of its processes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sslcore.compute.processes import Processes
from sslcore.compute.torchrun import attempt, launch_id
from sslcore.contract.records.preset import AUTO
from sslcore.errors import RunFolderError, UsageError
from sslcore.recipe.recipe import Recipe
from sslcore.recipe.request import Request
from sslcore.recipe.resolve import resolve
from sslcore.registry.registry import Registry
from sslcore.runs.folder import Run
from sslcore.system.files import user_path
from sslcore.system.locks import locked
from sslcore.training.initial import normalized_alike
from sslcore.training.resume import extended, last_checkpoint, recipe_to_resume
from sslcore.training.session import Session, Settle
from sslcore.training.teacher import check_teacher
from sslcore.training.trackers import Trackers

if TYPE_CHECKING:
    from contextlib import ExitStack

    from rich.console import Console


@dataclass(frozen=True)
class Plan:
    """A resolved request for training.

    Attributes:
        recipe: the recipe to train.
        notes: sentences for the user.
        resumed: the run to resume; None for a new run.
        settle: returns recipe and notes for images of a side, px, where their size decides on the
            method's preset; None where it does not.
    """

    recipe: Recipe
    notes: tuple[str, ...] = ()
    resumed: Run | None = None
    settle: Settle | None = None


def plan(
    request: Request,
    registry: Registry,
    *,
    output: str | Path | None = None,
    resume: str | Path | None = None,
    extend: str | Path | None = None,
) -> Plan:
    """Resolve a request for training, without running or writing anything.

    Args:
        request: the options of the user.
        registry: the installed parts.
        output: the folder of a new run; None for the default one.
        resume: the folder of a run to resume; None for a new run.
        extend: the folder of a run from which the new one goes on; None to begin anew.

    Raises:
        UsageError: the request is not valid.
    """
    if resume is not None and extend is not None:
        raise UsageError("--resume goes on in the same run, and --extend in a new one; choose one")
    if resume is not None:
        run = Run.open(resume)
        return Plan(recipe_to_resume(run, request, output, registry), resumed=run)
    if output is not None:
        user_path(output, "--output")
    if extend is not None:
        request = extended(request, extend, registry)
    recipe, notes = resolved(request, registry)
    if recipe.training.preset != AUTO:
        return Plan(recipe, notes)
    return Plan(recipe, notes, settle=partial(resolved, request, registry))


def resolved(
    request: Request, registry: Registry, image_size: int | None = None
) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe that a request stands for, normalised for its weights, and notes.

    Args:
        request: the options of the user.
        registry: the installed parts.
        image_size: side of the images, px, where they have been opened.

    Raises:
        UsageError: the request is not valid.
    """
    recipe, notes = resolve(request, registry, image_size)
    check_teacher(recipe)
    recipe, more = normalized_alike(recipe, request)
    return recipe, (*notes, *more)


def shrinkable(request: Request) -> bool:
    """Whether the batch size is a default, which gives way to the number of images."""
    return "batch_size" not in request.settings_of("training")


def carry_out(
    request: Request,
    *,
    output: str | Path | None,
    resume: str | Path | None,
    device: torch.device,
    compile: bool,
    workers: int | None,
    console: Console,
    registry: Registry,
    processes: Processes,
    held: ExitStack,
    time_limit: float | None = None,
    trackers: Trackers | None = None,
    extend: str | Path | None = None,
) -> tuple[Session, Run, int]:
    """Start a run or resume one, and train it to its end.

    Args:
        request: the options of the user.
        output: the folder of a new run; None for the default one.
        resume: the folder of a run to resume; None for a new run.
        device: where this process computes.
        compile: whether to compile encoder and head.
        workers: processes that read images ahead; None for threads.
        console: where notes and warnings are printed.
        registry: the installed parts.
        processes: the processes that train together.
        held: keeps the lock of the run's folder until the caller closes it.
        time_limit: seconds after which training stops as after Ctrl-C; None for no limit.
        trackers: are told what happens.
        extend: the folder of a run from which a new one goes on.

    Returns:
        The session, the run, and the step of the weights that the pipeline has.

    Raises:
        UsageError: the request is not valid.
        TrainingError: training had to stop.
        InterruptedRun: Ctrl-C or SIGTERM; the run can be resumed.
    """
    if resume is None and processes.any(attempt() > 0):
        # A process died, and torchrun restarted all of them with the same command. Machines may
        # count restarts differently, so one restarted process is enough.
        resume = processes.from_main(lambda: _begun(output)) or None
        # The run that goes on has been started.
        extend = None if resume else extend
    planned = plan(request, registry, output=output, resume=resume, extend=extend)
    if planned.settle is None:
        for note in planned.notes:
            console.print(f"note: {note}")
    recipe, run = planned.recipe, planned.resumed
    session = Session.prepare(
        recipe,
        device=device,
        console=console,
        processes=processes,
        run=run,
        shrink=run is None and shrinkable(request),
        settle=planned.settle,
    )
    checkpoint = None
    if run is None:
        # The folder is made last, so that an invalid request leaves no files behind.
        path = processes.from_main(
            lambda: str(output if output is not None else Run.default_path(recipe))
        )
        run = Run(path)
        trainer = session.trainer(run, compile=compile, workers=workers)
        processes.from_main(lambda: _create(run, session, held))
    else:
        processes.from_main(lambda: _lock(run, held))
        checkpoint = last_checkpoint(run, session)
        if not processes.all_equal(-1 if checkpoint is None else checkpoint.step):
            raise RunFolderError(
                f"{run.path} does not have the same checkpoints for all processes: it must be on "
                "a file system that all machines share"
            )
        trainer = session.trainer(run, compile=compile, workers=workers)
        if checkpoint is not None and checkpoint.step == trainer.total_steps:
            console.print(f"note: {run.path} has finished: no step is left to train")
        elif processes.is_main:
            # Figures of an earlier step must not count as those of the finished run.
            run.discard_evaluation()
    step = session.train(trainer, run, checkpoint, time_limit=time_limit, trackers=trackers)
    return session, run, step


def _begun(output: str | Path | None) -> str:
    found = Run.of_launch(launch_id(), output)
    return "" if found is None else str(found.path)


def _create(run: Run, session: Session, held: ExitStack) -> str:
    run.create(
        session.recipe,
        session.shape,
        len(session.data.train),
        launch_id(),
        session.initial,
        session.data.classes if session.pipeline.supervised else (),
        session.data.state,
        teacher=session.taught,
    )
    return _lock(run, held)


def _lock(run: Run, held: ExitStack) -> str:
    held.enter_context(locked(run.path))
    return ""
