"""sslcore from Python: build a part, train, evaluate, load an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sslcore.compute.device import pick_device
from sslcore.compute.processes import joined
from sslcore.compute.rng_state import preserved_generators
from sslcore.compute.torchrun import local_rank, process_count, rank
from sslcore.contract.settings import settings_of
from sslcore.errors import RunFolderError, UsageError, nearest
from sslcore.evaluation.evaluate import FeatureExtractor, Table
from sslcore.pipeline.build import ImageShape, build_features
from sslcore.recipe.making import Settings, as_triples, build, make_recipe
from sslcore.recipe.recipe import Part, Recipe, Training
from sslcore.registry.registry import Registry, default_registry
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import RECIPE, Run
from sslcore.system.terminal import stderr_console
from sslcore.training.resume import (
    check_installed,
    recorded_part,
    unfinished,
)
from sslcore.training.session import Session
from sslcore.training.start import carry_out

__all__ = [
    "Run",
    "build",
    "check_installed",
    "default_registry",
    "evaluate",
    "load_encoder",
    "make_recipe",
    "train",
]

#: What `train` hands on to `make_recipe`.
_PARTS = ("augmentation", "encoder", "head", "loss", "evaluators", "config")


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
        workers: processes that read images ahead; None reads with threads what does not fit on the
            device, 0 reads nothing ahead.
        evaluate: whether to evaluate at the end.
        console: where progress goes; stderr by default.
        registry: where to look for parts; everything installed by default.
        **parts: `augmentation`, `encoder`, `head`, `loss`, `evaluators`, `config`, as in
            `make_recipe`.

    Raises:
        UsageError: what was asked for can't be done.
        TrainingError: training had to stop.
        InterruptedRun: Ctrl-C or SIGTERM; the run can be resumed.

    Under torchrun, every process calls it; the first of them writes, speaks and evaluates.
    """
    _check_arguments(parts)
    several = process_count() > 1
    where = pick_device(device, local_rank=local_rank() if several else None)
    console = console or stderr_console()
    if rank() > 0:
        console = Console(quiet=True)
    with preserved_generators(where), ExitStack() as held:
        with joined(where) as processes:
            session, run = carry_out(
                {"method": method, "data": data, "settings": settings, **parts},
                output=output,
                resume=resume,
                device=where,
                compile=compile,
                workers=workers,
                console=console,
                registry=registry or default_registry(),
                processes=processes,
                held=held,
            )
        if evaluate and processes.leads:
            _keep(session.evaluate(), run, console)
    return run


def _check_arguments(parts: dict[str, Any]) -> None:
    """Refuse what `train` doesn't take, and say where it belongs."""
    for name, value in parts.items():
        if name in _PARTS:
            continue
        if name in settings_of(Training):
            advice = f": say settings={ {'training': {name: value}}!r}"
        elif name == "lr":
            advice = f": say settings={ {'optimizer': {name: value}}!r}"
        else:
            advice = f"{nearest(name, _PARTS)}; settings go by section, as in " + repr(
                {"loss": {"temperature": 0.2}}
            )
        raise UsageError(f"sslcore.train has no argument {name!r}{advice}")


def _keep(table: Table, run: Run, console: Console) -> None:
    if note := run.write_evaluation(table):
        console.print(f"note: {note}")


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
    if process_count() > 1:
        raise UsageError(
            f"started as {process_count()} processes: one evaluates; start it without torchrun"
        )
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
    check_installed(opened, config, registry)
    source = str(opened.path / RECIPE)
    recipe, _ = make_recipe(config=config, source=source, settings=triples, registry=registry)
    if data is not None:
        recipe = replace(recipe, data=_other_data(recipe, data, opened.shape(), registry))
    where = pick_device(device)
    session = Session.prepare(recipe, device=where, console=console, shape=opened.shape())
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
    checkpoint.restore(session.pipeline)
    table = session.evaluate()
    if not table:
        names = ", ".join(part.name for part in recipe.evaluators)
        raise UsageError(
            f"{recipe.data.name} has no labels, and {names} can't do without; class folders are "
            "labels"
        )
    if data is None:
        _keep(table, opened, console)
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
        UsageError: there is no such run, or its augmentation or encoder is not installed (no
            other part is needed).
    """
    opened = Run.open(run)
    shape = opened.shape()
    registry = registry or default_registry()
    check_installed(opened, opened.config(), registry, kinds=("augmentation", "encoder"))
    where = pick_device(device)
    augmentation, encoder = build_features(
        recorded_part(opened, "augmentation", registry),
        recorded_part(opened, "encoder", registry),
        shape,
    )
    try:
        encoder.load_state_dict(opened.read_encoder())
    except RuntimeError as error:
        said = str(error).splitlines()[-1].strip()
        raise RunFolderError(
            f"{opened.path}: its encoder does not fit its recipe: {said}"
        ) from error
    return FeatureExtractor(augmentation, encoder, shape).to(where)
