"""sslcore from Python: build a part, train, evaluate, load an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sslcore.compute.device import pick_device
from sslcore.compute.processes import process_group
from sslcore.compute.rng_state import preserved_generators
from sslcore.compute.torchrun import local_rank, process_count, rank
from sslcore.contract.records import KINDS, Component
from sslcore.errors import RunFolderError, UsageError, first_line, last_line
from sslcore.evaluation.evaluate import FeatureExtractor, Table
from sslcore.pipeline.build import ImageShape, build_features, build_part
from sslcore.recipe.recipe import Part, Recipe
from sslcore.recipe.request import Request, Settings
from sslcore.recipe.resolve import make_recipe, resolve
from sslcore.recipe.validation import Validation
from sslcore.registry.registry import Registry, default_registry
from sslcore.reports.preview import checked_output, write_preview
from sslcore.reports.report import wants_reports, write_report
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import Run
from sslcore.runs.provenance import recorded_parts, recorded_request
from sslcore.system.terminal import stderr_console
from sslcore.training.monitor import restore_best
from sslcore.training.resume import unfinished
from sslcore.training.session import Session
from sslcore.training.start import carry_out
from sslcore.training.state import restore_weights

__all__ = ["Run", "build", "evaluate", "load_encoder", "make_recipe", "preview", "report", "train"]


def build(kind: str, name: str, *, registry: Registry | None = None, **settings: Any) -> Any:
    """Build one component by name: `build("loss", "nt-xent", temperature=0.2)`.

    Args:
        kind: "augmentation", "encoder", "head", "loss", "evaluator" or "dataset".
        name: the component's name.
        registry: where to look for it; everything installed by default.
        **settings: its settings, and the parameters that the engine would supply
            (`feature_dim=512`).

    Returns:
        The module, the evaluator, or the data set (`sslcore.Data`).

    Raises:
        UsageError: the name or a setting is unknown, or a value has the wrong type or range.
    """
    registry = registry or default_registry()
    name, variant = registry.variant(kind, name)
    entry = registry.resolve(kind, name)
    if not isinstance(entry.record, Component):
        raise UsageError(f"{entry} is a recipe: train it with sslcore.train")
    interface = entry.interface()
    supplied = {key: settings.pop(key) for key in interface.supplied if key in settings}
    validation = Validation()
    values = {**variant, **settings}
    valid = validation.settings(kind, interface.settings, values, entry.owner)
    validation.problems += [
        f"{kind}.{key}: must be given where no engine supplies it ({entry})"
        for key, needed in interface.supplied.items()
        if needed and key not in supplied
    ]
    validation.check()
    return build_part(Part.of(entry, valid or {}), supplied)


def train(
    method: str | None = None,
    *,
    data: str | None = None,
    augmentation: str | None = None,
    encoder: str | None = None,
    head: str | None = None,
    loss: str | None = None,
    evaluators: Sequence[str] = (),
    config: str | Path | Mapping[str, object] | None = None,
    settings: Settings = (),
    output: str | Path | None = None,
    resume: str | Path | None = None,
    device: str = "auto",
    compile: bool = False,
    workers: int | None = None,
    time_limit: float | None = None,
    evaluate: bool = True,
    report: bool | None = None,
    console: Console | None = None,
    registry: Registry | None = None,
) -> Run:
    """Train a method, evaluate it, and return the run's folder.

    Under torchrun, every process calls this function; the main process writes the files, prints
    the progress and evaluates.

    Args:
        method: the method to train.
        data: a data set's name, or the path of a folder; the embedded digits by default.
        augmentation: augmentation to use in place of the method's default.
        encoder: encoder to use in place of the method's default.
        head: head to use in place of the method's default; "none" for no head.
        loss: loss to use in place of the method's default.
        evaluators: evaluators to use in place of the method's default.
        config: a TOML file of settings by section, or the sections; a run's `recipe.toml` is one.
        settings: by section, `{"training": {"epochs": 10}, "loss": {"temperature": 0.2}}`.
        output: the run's folder; `runs/<method>-<data>-<time>` by default.
        resume: the folder of a run to resume; it keeps its own recipe.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        compile: whether to compile encoder and head with torch.compile.
        workers: processes that read images ahead. None reads ahead with threads where the images
            don't fit on the device; 0 never reads ahead.
        time_limit: minutes after which training stops and saves, as after Ctrl-C; None for no
            limit.
        evaluate: whether to evaluate at the end.
        report: whether to write `report.html` at the end; None writes it, unless the environment
            variable `SSLCORE_REPORT` is 0.
        console: where progress is printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Raises:
        UsageError: the request can't be carried out as asked.
        TrainingError: training had to stop.
        InterruptedRun: Ctrl-C, SIGTERM or SIGHUP; the run can be resumed.
    """
    request = Request.of(
        method=method,
        data=data,
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
        evaluators=evaluators,
        config=config,
        settings=settings,
    )
    where = pick_device(device, local_rank=local_rank() if process_count() > 1 else None)
    console = Console(quiet=True) if rank() > 0 else console or stderr_console()
    registry = registry or default_registry()
    with preserved_generators(where), ExitStack() as held:
        with process_group(where) as processes:
            session, run = carry_out(
                request,
                output=output,
                resume=resume,
                device=where,
                compile=compile,
                workers=workers,
                console=console,
                registry=registry,
                processes=processes,
                held=held,
                time_limit=None if time_limit is None else 60 * time_limit,
            )
        if evaluate and processes.is_main:
            _keep(session.evaluate(), run, console)
        if processes.is_main and (wants_reports() if report is None else report):
            _report(session, run, registry)
    return run


def _report(session: Session, run: Run, registry: Registry) -> None:
    """Write the report of a run that has just been trained; a failure is a warning."""
    try:
        with session.console.status("drawing the report"):
            path = write_report(session, run, registry)
    except Exception as error:  # noqa: BLE001 - a report must not cost the run that it shows
        said = (
            f"the report could not be written: {first_line(error)}; try: sslcore report {run.path}"
        )
        session.console.print(f"warning: {said}", style="bold yellow")
    else:
        session.console.print(f"report: {path}")


def _keep(table: Table, run: Run, console: Console) -> None:
    if note := run.write_evaluation(table):
        console.print(f"note: {note}")


def preview(
    method: str | None = None,
    *,
    data: str | None = None,
    augmentation: str | None = None,
    encoder: str | None = None,
    head: str | None = None,
    loss: str | None = None,
    evaluators: Sequence[str] = (),
    config: str | Path | Mapping[str, object] | None = None,
    settings: Settings = (),
    output: str | Path = "preview.png",
    device: str = "auto",
    console: Console | None = None,
    registry: Registry | None = None,
) -> Path:
    """Draw a few images and the views that training makes of them; nothing is trained.

    The arguments are those of `train`.

    Args:
        method: the method.
        data: a data set's name, or the path of a folder; the embedded digits by default.
        augmentation: augmentation to use in place of the method's default.
        encoder: encoder to use in place of the method's default.
        head: head to use in place of the method's default; "none" for no head.
        loss: loss to use in place of the method's default.
        evaluators: evaluators to use in place of the method's default.
        config: a TOML file of settings by section, or the sections.
        settings: by section, `{"augmentation": {"crop_scale": (0.4, 1.0)}}`.
        output: the PNG to write; a file of that name is replaced.
        device: where to compute.
        console: where notes are printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Returns:
        The path of the picture.

    Raises:
        UsageError: the request can't be carried out as asked, or the picture can't be written.
    """
    path = checked_output(output)
    request = Request.of(
        method=method,
        data=data,
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
        evaluators=evaluators,
        config=config,
        settings=settings,
    )
    console = console or stderr_console()
    where = pick_device(device)
    recipe, notes = resolve(request, registry or default_registry())
    for note in notes:
        console.print(f"note: {note}")
    with preserved_generators(where):
        write_preview(Session.prepare(recipe, device=where, console=console), path)
    return path


def evaluate(
    run: str | Path,
    *,
    evaluators: Sequence[str] = (),
    settings: Settings = (),
    data: str | None = None,
    device: str = "auto",
    console: Console | None = None,
    registry: Registry | None = None,
) -> Table:
    """Evaluate a run and add the figures to its `evaluation.json`.

    Args:
        run: the run's folder.
        evaluators: names; the run's own by default.
        settings: of the section `evaluator`.
        data: another data set to evaluate on; its figures are returned and not written.
        device: where to compute.
        console: where notes are printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Returns:
        `{column: {metric: value}}` for the trained encoder, the same encoder untrained, and raw
        pixels.

    Raises:
        UsageError: names or settings are unknown, the data has no labels, or there is no run.
    """
    console, registry = console or stderr_console(), registry or default_registry()
    asked = Request.of(evaluators=evaluators, settings=settings, data=data)
    opened, session = _trained(run, asked, device, console, registry)
    table = session.evaluate()
    if not table:
        names = ", ".join(part.name for part in session.recipe.evaluators)
        raise UsageError(
            f"{session.recipe.data.name} has no labels, and {names} can't do without; class "
            "folders are labels"
        )
    if data is None:
        _keep(table, opened, console)
    return table


def report(
    run: str | Path,
    *,
    device: str = "auto",
    console: Console | None = None,
    registry: Registry | None = None,
) -> Path:
    """Write the report of a run anew: `report.html` and its pictures in `figures/`.

    Args:
        run: the run's folder.
        device: where to compute.
        console: where notes are printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Returns:
        The path of the report.

    Raises:
        UsageError: there is no such run, it has no checkpoint, or its parts are not installed.
    """
    console, registry = console or stderr_console(), registry or default_registry()
    opened, session = _trained(run, Request.of(), device, console, registry)
    with console.status("drawing the report"):
        return write_report(session, opened, registry)


def _trained(
    run: str | Path, asked: Request, device: str, console: Console, registry: Registry
) -> tuple[Run, Session]:
    """Open a run and restore the weights of its last checkpoint.

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
    recipe = _recipe_to_evaluate(opened, asked, registry)
    session = Session.prepare(
        recipe, device=pick_device(device), console=console, shape=opened.shape()
    )
    found = ImageShape.of(session.data.train)
    if (found.image_size, found.channels) != (session.shape.image_size, session.shape.channels):
        raise UsageError(
            f"the run was trained on {session.shape}, and {recipe.data.name} has {found}"
        )
    checkpoint = load_checkpoint(opened.checkpoints)
    for skipped in checkpoint.skipped:
        console.print(f"note: {skipped}; evaluating step {checkpoint.step}")
    if note := unfinished(opened, recipe, checkpoint.step):
        console.print(f"note: {note}")
    restore_weights(session.pipeline, checkpoint)
    if recipe.training.keep == "best" and opened.finished:
        restore_best(session.pipeline, opened)
    return opened, session


def _recipe_to_evaluate(run: Run, asked: Request, registry: Registry) -> Recipe:
    """Return the recipe of a run with the evaluators, their settings and the data asked for."""
    others = sorted({section for section, _, _ in asked.settings if section != "evaluator"})
    if others:
        raise UsageError(
            f"{', '.join(others)}: a run is evaluated as it was trained; only settings of the "
            "evaluator can be given"
        )
    replaced = {"evaluator": bool(asked.evaluators), "dataset": asked.data is not None}
    kinds = [kind for kind in KINDS if not replaced.get(kind)]
    recorded = recorded_request(run, registry, kinds)
    config = dict(recorded.config)
    if asked.evaluators:
        config["evaluators"] = {name: {} for name in asked.evaluators}
    if asked.data is not None:
        del config["data"]
    request = replace(asked, config=config, source=recorded.source)
    recipe, _ = resolve(request, registry)
    if asked.data is not None and "image_size" in recipe.data.settings:
        side = ("data", "image_size", run.shape().image_size)
        recipe, _ = resolve(replace(request, settings=(*request.settings, side)), registry)
    return recipe


def load_encoder(
    run: str | Path, *, device: str = "cpu", registry: Registry | None = None
) -> FeatureExtractor:
    """Load a run's trained encoder: a module from images in [0, 1] or uint8 to features (B, F).

    It normalises as in training; the bare encoder is its attribute `encoder`.

    Args:
        run: the run's folder.
        device: where to put it.
        registry: where to look for parts; everything installed by default.

    Raises:
        UsageError: there is no such run, or its augmentation or encoder is not installed (no
            other part is needed).
    """
    opened = Run.open(run)
    shape = opened.shape()
    kinds = ("augmentation", "encoder")
    parts = recorded_parts(opened, kinds, registry or default_registry())
    augmentation, encoder = build_features(parts[0], parts[1], shape)
    try:
        encoder.load_state_dict(opened.read_encoder())
    except RuntimeError as error:
        raise RunFolderError(
            f"{opened.path}: its encoder does not fit its recipe: {last_line(error)}"
        ) from error
    return FeatureExtractor(augmentation, encoder, shape).to(pick_device(device))
