"""A run that is there already, taken up again: its recipe, its parts, its last checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sslcore.contract.records import KINDS
from sslcore.errors import RunFolderError, UnknownNameError
from sslcore.recipe.making import make_recipe
from sslcore.recipe.recipe import FROM, Part, Recipe
from sslcore.recipe.request import Request
from sslcore.recipe.resolve import resolve_part
from sslcore.registry.discovery import FILE, how_to_load
from sslcore.registry.registry import Registry
from sslcore.runs.checkpoint import Checkpoint, has_checkpoint, load_checkpoint
from sslcore.runs.folder import RECIPE, Run
from sslcore.training.session import Session

#: What pip would understand as the name of a distribution.
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def recipe_to_resume(
    run: Run, asked: Mapping[str, Any], output: str | Path | None, registry: Registry
) -> Recipe:
    """Return the recipe of a run to go on with.

    Args:
        run: the run.
        asked: what else was asked for, as arguments of `make_recipe`.
        output: the folder asked for.
        registry: where to look for parts.

    Raises:
        RunFolderError: something was asked for that would make it another run, or a part of it
            is not installed.
    """
    if output is not None and Path(output).absolute() != run.path.absolute():
        raise RunFolderError("a resumed run stays in its folder: leave out --output")
    config, source = run.config(), str(run.path / RECIPE)
    check_installed(run, config, registry)
    recipe, _ = make_recipe(config=config, source=source, registry=registry)
    if any(asked.values()):
        own = {} if asked.get("config") else {"config": config, "source": source}
        changed, _ = make_recipe(**{**asked, **own}, registry=registry)
        recipe = _split_as(changed, recipe)
        different = recipe.differences(changed)
        if different:
            raise RunFolderError(
                f"{run.path} was started with another recipe ({', '.join(different)}); resume it "
                "without these options, or start a new run"
            )
    return recipe


def _split_as(other: Recipe, recipe: Recipe) -> Recipe:
    """Return a recipe with the other's micro-batches, where these change no result."""
    exact = all(each.training.batch_statistics == "batch" for each in (recipe, other))
    if not exact:
        return recipe
    training = replace(recipe.training, micro_batch=other.training.micro_batch)
    return replace(recipe, training=training)


def last_checkpoint(run: Run, session: Session) -> Checkpoint | None:
    """Return what to go on from; None where a run was stopped before its first checkpoint.

    Raises:
        RunFolderError: the data is not what the run was started on, or no checkpoint is whole.
    """
    images = len(session.data.train)
    if images != run.train_images():
        raise RunFolderError(
            f"{run.path} was started on {run.train_images():,} training images, and there are "
            f"{images:,} now: the data set has changed since"
        )
    if session.shape != run.shape():
        raise RunFolderError(
            f"{run.path} was made for {run.shape()}, and the data now has {session.shape}: "
            "the data set has changed since"
        )
    if has_checkpoint(run.checkpoints):
        return load_checkpoint(run.checkpoints)
    if run.finished:
        raise RunFolderError(
            f"{run.path} has finished and its checkpoints are gone: nothing is left to go on "
            "with; its encoder can still be loaded"
        )
    run.checkpoints.mkdir(exist_ok=True)
    session.console.print("note: the run was stopped before its first checkpoint; starting over")
    return None


def unfinished(run: Run, recipe: Recipe, step: int) -> str:
    """Say that a run has not come to its last step; empty where it has."""
    try:
        steps_per_epoch = run.train_images() // recipe.training.batch_size
    except RunFolderError:
        # A recipe that does not say how many images there were can be evaluated none the less.
        return "" if run.finished else f"step {step}: the run has not finished"
    total = recipe.training.epochs * steps_per_epoch
    return "" if step >= total else f"step {step} of {total}: the run has not finished"


def recorded_part(run: Run, kind: str, registry: Registry) -> Part:
    """Return one part of a run as its recipe has it, whatever of the others is installed.

    Raises:
        UsageError: the part is unknown, or its settings are not what it takes.
    """
    request = Request(config=run.config(), source=str(run.path / RECIPE))
    return resolve_part(kind, request, registry)


def check_installed(
    run: Run, config: Mapping[str, Any], registry: Registry, kinds: Sequence[str] = tuple(KINDS)
) -> None:
    """Refuse a run whose parts are not installed here, and say which distributions have them.

    Args:
        run: the run, for the message.
        config: its recipe, with what each part came `from`.
        registry: what is installed.
        kinds: the kinds of parts that are needed.

    Raises:
        RunFolderError: parts are missing.
    """
    missing = [
        said
        for kind, name, origin in _recorded(config)
        if kind in kinds and (said := _missing(kind, name, origin, registry))
    ]
    if missing:
        raise RunFolderError(f"{run.path} can't be opened here:\n" + "\n".join(missing))


def _recorded(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, name, distribution and version) of each part that says where it came from."""
    method, origin = str(config.get("method", "")), config.get(FROM)
    if isinstance(origin, str):
        yield "method", method, origin
    elif ":" in method:
        yield "method", method, method.rpartition(":")[0]
    tables: list[tuple[str, str, Any]] = [
        (kind, "", config.get("data" if kind == "dataset" else kind)) for kind in KINDS
    ]
    evaluators = config.get("evaluators")
    if isinstance(evaluators, Mapping):
        tables += [("evaluator", name, table) for name, table in evaluators.items()]
    for kind, name, table in tables:
        if isinstance(table, Mapping) and isinstance(table.get(FROM), str):
            yield kind, name or str(table.get("name", "")), table[FROM]


def _missing(kind: str, name: str, origin: str, registry: Registry) -> str:
    try:
        registry.resolve(kind, name)
    except UnknownNameError as error:
        distribution, _, version = origin.partition(" ")
        if option := how_to_load(distribution, version):
            gone = distribution == FILE and not Path(version).is_file()
            there = ", which is not there any more: put it back" if gone else ""
            return (
                f"{kind} {name} comes from the {distribution[1:-1]} {version}{there}; say {option}"
            )
        here = [item for item in registry.plugins if item.distribution == distribution]
        if here:
            return f"{error} (the run has it from {origin}, and {here[0].version} is installed)"
        pip = f": pip install {distribution}" if _DISTRIBUTION.fullmatch(distribution) else ""
        return f"{kind} {name} comes from {origin}, which is not installed{pip}"
    return ""
