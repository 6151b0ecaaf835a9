"""sslcore from Python: build a part, train, evaluate, load an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sslcore.assembly import ImageShape, build_pipeline
from sslcore.checkpoint import has_checkpoint, load_checkpoint
from sslcore.components import Component
from sslcore.composition import interface_of_entry
from sslcore.device import pick_device
from sslcore.display import stderr_console
from sslcore.errors import RunFolderError, SettingsError, UsageError, nearest
from sslcore.evaluation import FeatureExtractor, Table
from sslcore.interface import load_reference
from sslcore.recipe import Part, Recipe, read_config
from sslcore.registry import Registry, default_registry
from sslcore.request import Request
from sslcore.resolve import resolve
from sslcore.run import Run
from sslcore.session import Session

Settings = Mapping[str, Mapping[str, Any]]


def build(kind: str, name: str, *, registry: Registry | None = None, **settings: Any) -> Any:
    """Build one component by name: `build("loss", "nt-xent", temperature=0.2)`.

    Args:
        kind: "augmentation", "encoder", "head", "loss", "evaluator" or "dataset".
        name: the component's name.
        registry: where to look; everything installed by default.
        **settings: its settings, and what the engine would supply (`feature_dim=512`).

    Raises:
        UsageError: unknown name or setting, or a value of the wrong type or range.
    """
    entry = (registry or default_registry()).resolve(kind, name)
    if not isinstance(entry.record, Component):
        raise UsageError(f"{entry} is a recipe: train it with sslcore.train")
    interface = interface_of_entry(entry)
    problems: list[str] = []
    valid: dict[str, Any] = {}
    for key, value in settings.items():
        if key in interface.supplied:
            valid[key] = value
        elif key not in interface.settings:
            known = [*interface.settings, *interface.supplied]
            problems.append(f"{kind}.{key}: no such setting{nearest(key, known)} ({entry})")
        else:
            try:
                valid[key] = interface.settings[key].validate(value)
            except ValueError as error:
                problems.append(f"{kind}.{key}: {error} ({entry})")
    for key, needed in interface.supplied.items():
        if needed and key not in valid:
            problems.append(f"{kind}.{key}: must be given where no engine supplies it ({entry})")
    if problems:
        raise SettingsError(problems)
    try:
        return load_reference(entry.build)(**valid)
    except ValueError as error:
        raise UsageError(f"{entry}: {error}") from error


def make_recipe(
    method: str | None = None,
    *,
    data: str | None = None,
    augmentation: str | None = None,
    encoder: str | None = None,
    head: str | None = None,
    loss: str | None = None,
    evaluators: Sequence[str] = (),
    config: str | Path | Mapping[str, Any] | None = None,
    settings: Settings | Sequence[tuple[str, str, Any]] = (),
    registry: Registry | None = None,
) -> tuple[Recipe, list[str]]:
    """Return the recipe that these names and settings stand for, and notes on it.

    Args:
        method: the recipe to start from.
        data: a data set's name, or a path.
        augmentation: instead of the method's own.
        encoder: instead of the method's own.
        head: instead of the method's own; "none" for none.
        loss: instead of the method's own.
        evaluators: instead of the method's own.
        config: a TOML file of recipe sections, or such sections.
        settings: by section, `{"loss": {"temperature": 0.2}}`, or as (section, name, value).
        registry: where to look; everything installed by default.

    Raises:
        UsageError: see `sslcore.resolve.resolve`.
    """
    tables = read_config(config) if isinstance(config, (str, Path)) else dict(config or {})
    for told in ("images", "train_images", "versions"):
        tables.pop(told, None)
    request = Request(
        method=method,
        data=data,
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
        evaluators=evaluators,
        config=tables,
        settings=as_triples(settings),
    )
    return resolve(request, registry or default_registry())


def as_triples(
    settings: Settings | Sequence[tuple[str, str, Any]],
) -> list[tuple[str, str, Any]]:
    """Return settings by section as (section, name, value)."""
    if not isinstance(settings, Mapping):
        return list(settings)
    return [
        (section, name, value)
        for section, values in settings.items()
        for name, value in values.items()
    ]


def train(
    method: str | None = None,
    *,
    data: str | None = None,
    settings: Settings | Sequence[tuple[str, str, Any]] = (),
    output: str | Path | None = None,
    resume: str | Path | None = None,
    device: str = "auto",
    compile: bool = False,
    workers: int | None = None,
    evaluate: bool = True,
    console: Console | None = None,
    registry: Registry | None = None,
    **parts: Any,
) -> Run:
    """Train a method and return the run's folder, evaluated.

    Args:
        method: a method's name.
        data: a data set's name or a path; the embedded digits by default.
        settings: by section, `{"training": {"epochs": 10}, "loss": {"temperature": 0.2}}`.
        output: the run's folder; `runs/<method>-<data>-<time>` by default.
        resume: the folder of a run to go on with, by its own recipe.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        compile: whether to compile encoder and head with torch.compile.
        workers: processes that read images while streaming; None streams only what does not fit.
        evaluate: whether to evaluate at the end.
        console: where progress goes; stderr by default.
        registry: where to look for parts; everything installed by default.
        **parts: `augmentation`, `encoder`, `head`, `loss`, `evaluators`, `config`, as in
            `make_recipe`.

    Raises:
        UsageError: what was asked for can't be done.
        TrainingError: training had to stop.
        InterruptedRun: Ctrl-C or SIGTERM; the run can be resumed.
    """
    console = console or stderr_console()
    registry = registry or default_registry()
    asked = {"method": method, "data": data, "settings": settings, **parts}
    if resume is not None:
        run, recipe = _resumed(Run.open(resume), asked, output, registry)
        notes: list[str] = []
    else:
        run = None
        recipe, notes = make_recipe(**asked, registry=registry)
    for note in notes:
        console.print(f"note: {note}")
    session = Session.prepare(recipe, device=device, console=console)
    if run is None:
        # The folder is made last, so that what can't be done leaves nothing behind.
        run = Run(output if output is not None else Run.default_path(recipe))
        trainer = session.trainer(run, compile=compile, workers=workers)
        run.create(recipe, session.shape, len(session.data.train))
        session.train(trainer, run)
    else:
        if len(session.data.train) != run.train_images():
            raise RunFolderError(
                f"{run.path} was started on {run.train_images():,} training images, and there are "
                f"{len(session.data.train):,} now: the data set has changed since"
            )
        if session.shape != run.shape():
            raise RunFolderError(
                f"{run.path} was made for {run.shape()}, and the data now has {session.shape}: "
                "the data set has changed since"
            )
        checkpoint = None
        if has_checkpoint(run.checkpoints):
            checkpoint = load_checkpoint(run.checkpoints)
        elif run.finished:
            raise RunFolderError(
                f"{run.path} has finished and its checkpoints are gone: nothing is left to go on "
                "with; its encoder can still be loaded"
            )
        else:
            run.checkpoints.mkdir(exist_ok=True)
            console.print("note: the run was stopped before its first checkpoint; starting over")
        trainer = session.trainer(run, compile=compile, workers=workers)
        if checkpoint is None or checkpoint.step < trainer.total_steps:
            # Figures of an earlier step must not pass for those of the finished run.
            run.discard_evaluation()
        session.train(trainer, run, checkpoint)
    if evaluate:
        run.write_evaluation(session.evaluate())
    return run


def _resumed(
    run: Run, asked: dict[str, Any], output: str | Path | None, registry: Registry
) -> tuple[Run, Recipe]:
    """Return a run to go on with and its recipe; refuse options that would make it another one."""
    if output is not None and Path(output).absolute() != run.path.absolute():
        raise RunFolderError("a resumed run stays in its folder: leave out --output")
    recipe, _ = make_recipe(config=run.config(), registry=registry)
    if any(asked.values()):
        changed = make_recipe(
            **{**asked, "config": asked.get("config") or run.config()}, registry=registry
        )[0]
        different = recipe.differences(changed)
        if different:
            raise RunFolderError(
                f"{run.path} was started with another recipe ({', '.join(different)}); resume it "
                "without these options, or start a new run"
            )
    return run, recipe


def evaluate(
    run: str | Path,
    *,
    evaluators: Sequence[str] = (),
    settings: Settings | Sequence[tuple[str, str, Any]] = (),
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
        data: another data set to evaluate on (its figures are returned, not kept).
        device: where to compute.
        console: where notes go.
        registry: where to look for parts.

    Raises:
        UsageError: unknown names or settings, data without labels, or no such run.
    """
    registry = registry or default_registry()
    console = console or stderr_console()
    opened = Run.open(run)
    config = opened.config()
    triples = as_triples(settings)
    others = sorted({section for section, _, _ in triples if section != "evaluator"})
    if others:
        raise UsageError(
            f"{', '.join(others)}: a run is evaluated as it was trained; only settings of the "
            "evaluator can be given"
        )
    if evaluators:
        config["evaluators"] = {name: {} for name in evaluators}
    recipe, _ = make_recipe(config=config, settings=triples, registry=registry)
    if data is not None:
        recipe = replace(recipe, data=_other_data(recipe, data, opened.shape(), registry))
    session = Session.prepare(recipe, device=device, console=console, shape=opened.shape())
    found = ImageShape.of(session.data.train)
    if (found.image_size, found.channels) != (session.shape.image_size, session.shape.channels):
        raise UsageError(
            f"the run was trained on {session.shape}, and {recipe.data.name} has {found}"
        )
    checkpoint = load_checkpoint(opened.checkpoints)
    for skipped in checkpoint.skipped:
        console.print(f"note: {skipped}; evaluating step {checkpoint.step}")
    checkpoint.restore(session.pipeline)
    table = session.evaluate()
    if not table:
        names = ", ".join(part.name for part in recipe.evaluators)
        raise UsageError(
            f"{recipe.data.name} has no labels, and {names} can't do without; class folders are "
            "labels"
        )
    if data is None:
        opened.write_evaluation(table)
    return table


def _other_data(recipe: Recipe, data: str, shape: ImageShape, registry: Registry) -> Part:
    config = {key: item for key, item in recipe.to_dict().items() if key != "data"}
    other, _ = make_recipe(data=data, config=config, registry=registry)
    if "image_size" in other.data.settings:
        wanted = [("data", "image_size", shape.image_size)]
        other, _ = make_recipe(data=data, config=config, settings=wanted, registry=registry)
    return other.data


def load_encoder(
    run: str | Path, *, device: str = "cpu", registry: Registry | None = None
) -> FeatureExtractor:
    """Load a run's trained encoder: a module from images in [0, 1] or uint8 to features (B, F).

    It normalises as in training; the bare encoder is its attribute `encoder`.

    Args:
        run: the run's folder.
        device: where to put it.
        registry: where to look for parts.

    Raises:
        UsageError: there is no such run, or a part of it is not installed.
    """
    opened = Run.open(run)
    recipe, _ = make_recipe(config=opened.config(), registry=registry)
    pipeline = build_pipeline(recipe, opened.shape())
    pipeline.encoder.load_state_dict(opened.read_encoder())
    return FeatureExtractor(pipeline.augmentation, pipeline.encoder).to(pick_device(device))
