"""The weights that a run begins with, where it begins with those of a run or a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sslcore.contract.interface import EXPECTED, load_reference
from sslcore.errors import RunFolderError, UsageError
from sslcore.pipeline.initial_weights import (
    Match,
    Weights,
    differences,
    digest,
    match,
    read_tensors,
)
from sslcore.recipe.recipe import (
    ENCODER_PART,
    OBJECT_PART,
    RUN_PART,
    TEACHER_PART,
    Init,
    Recipe,
)
from sslcore.recipe.request import Request
from sslcore.runs.about import NORMALIZATION
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import BEST, INITIAL, RECIPE, TEACHER, Run
from sslcore.runs.weights import read_weights

if TYPE_CHECKING:
    from rich.console import Console
    from torch import nn

    from sslcore.pipeline.pipeline import Pipeline

#: The weights of a run's teacher in its checkpoints.
_TEACHERS_ENCODER = "teacher.encoder."
#: The weights of the head there.
_HEAD = "head."


def initial_weights(init: Init, pipeline: Pipeline, console: Console) -> Weights:
    """Return the weights that a recipe names, by the names of its encoder or its pipeline.

    Prints what fits; it is a warning where much does not.

    Raises:
        UsageError: they can't be read, nothing fits, or they are not those of the recipe.
    """
    path = Path(init.path)
    if init.part == OBJECT_PART:
        # The pipeline has been built of them.
        weights = {name: tensor.clone() for name, tensor in pipeline.state_dict().items()}
    elif init.part == RUN_PART:
        weights = _of_all_parts(Run.open(path), pipeline)
        console.print(f"note: goes on from {path}, with a new optimizer and a new schedule")
    else:
        found = matched(path, init.part, pipeline.encoder)
        weights = found.weights
        text = f"{path}: {found.in_words()}"
        if found.enough:
            console.print(f"note: {text}")
        else:
            console.print(f"warning: {text}", style="bold yellow")
    if init.sha256 and digest(weights) != init.sha256:
        raise UsageError(
            f"init.path: the weights in {path} are not those that the recipe was written for "
            "(their sha256 differs); leave init.sha256 out to begin with them"
        )
    return weights


def matched(path: Path, part: str, encoder: nn.Module, setting: str = "init.part") -> Match:
    """Return the weights of a run or a file that an encoder takes.

    Args:
        path: the run or the file.
        part: which of its weights, as `Init.part` says.
        encoder: has the names and shapes that are looked for.
        setting: names the part, for messages.

    Raises:
        UsageError: they can't be read, or nothing fits.
    """
    if (path / RECIPE).is_file():
        return match(weights_of_run(Run.open(path), part, setting), encoder)
    return match(read_tensors(path), encoder, "" if part == ENCODER_PART else part)


def kept_weights(run: Run, init: Init) -> Weights:
    """Return the weights that a run began with, from its own folder.

    Raises:
        RunFolderError: they are not there, or damaged.
    """
    path = run.path / INITIAL
    try:
        weights = read_weights(path)
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{path} is not there, and the run began with the weights in it; put it back"
        ) from error
    if digest(weights) != init.sha256:
        raise RunFolderError(f"{path} does not hold the weights that the run began with")
    return weights


def normalized_alike(recipe: Recipe, request: Request) -> tuple[Recipe, list[str]]:
    """Return the recipe with the normalisation that its weights expect, and notes on it.

    These are its initial weights, or those of a frozen teacher. A run says how its views were
    normalised, an encoder may say it of the weights that its settings load, and their values are
    taken where the user gave none; a file does not say it.
    """
    init, teacher = recipe.init, recipe.teacher
    own = dict(recipe.augmentation.settings)
    names = [name for name in NORMALIZATION if name in own]
    asked = request.settings_of("augmentation")
    of_teacher = teacher.path if teacher is not None and teacher.frozen else ""
    path = of_teacher if init is None else init.path
    if not path and names and not any(name in asked for name in names):
        return _as_encoder_expects(recipe)
    if not path or not names or (init is not None and init.part == OBJECT_PART):
        return recipe, []
    theirs: object = {}
    if (Path(path) / RECIPE).is_file():
        theirs = Run.open(path).config().get("augmentation")
    if all(name in asked for name in names):
        return recipe, []
    if not isinstance(theirs, dict) or not any(name in theirs for name in names):
        return recipe, [
            f"{path} does not say how views were normalised for its weights; here the mean is "
            f"{own.get('mean') or 0.5} and the std {own.get('std') or 0.25}. For weights of "
            "ImageNet: --set 'augmentation.mean=[0.485,0.456,0.406]' --set "
            "'augmentation.std=[0.229,0.224,0.225]'"
        ]
    taken = {
        name: tuple(value) if isinstance(value, list) else None
        for name in names
        if name not in asked and (value := theirs.get(name)) is not None
    }
    if all(own[name] == value for name, value in taken.items()):
        return recipe, []
    augmentation = replace(recipe.augmentation, settings=own | taken)
    said = ", ".join(f"{name} {value or 'none'}" for name, value in taken.items())
    note = f"views are normalised as in {path}: {said}"
    return replace(recipe, augmentation=augmentation), [note]


def _as_encoder_expects(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """Return the recipe with the normalisation for the weights that an encoder's settings load.

    The teacher comes first, since it can't learn another normalisation.
    """
    own = dict(recipe.augmentation.settings)
    encoder = recipe.teacher_encoder or recipe.encoder
    expected = getattr(load_reference(encoder.build), EXPECTED, None)
    found = None if expected is None else expected(**encoder.settings)
    if found is None or not all(name in own for name in NORMALIZATION):
        return recipe, []
    taken = dict(zip(NORMALIZATION, map(tuple, found), strict=True))
    if any(isinstance(value := own[name], tuple) and len(value) == 1 for name in NORMALIZATION):
        # The data set has grey images, for which the library adds up the channels.
        taken = {name: (sum(values) / len(values),) for name, values in taken.items()}
    if all(own[name] == value for name, value in taken.items()):
        return recipe, []
    augmentation = replace(recipe.augmentation, settings=own | taken)
    said = ", ".join(f"{name} {value}" for name, value in taken.items())
    note = f"views are normalised as the weights of {encoder.name} expect: {said}"
    return replace(recipe, augmentation=augmentation), [note]


def _of_all_parts(run: Run, pipeline: Pipeline) -> Weights:
    """Return the weights of all parts of a run that has finished.

    Raises:
        UsageError: it has not finished, or has other parts.
    """
    if not run.finished:
        raise RunFolderError(
            f"{run.path} has not finished; go on with it: sslcore train --resume {run.path}"
        )
    weights = load_checkpoint(run.checkpoints).section("model")
    if unlike := differences(weights, pipeline):
        raise UsageError(
            f"{run.path} has other parts than these: {unlike} differ; leave out the options that "
            "change parts, or begin with its encoder alone: --init"
        )
    return weights


def weights_of_run(run: Run, part: str, setting: str = "init.part") -> Weights:
    """Return the weights of a run's encoder, or those of its teacher's, by the encoder's names.

    Args:
        run: the run.
        part: "encoder" or "teacher".
        setting: names the part, for messages.

    Raises:
        UsageError: it has not finished, has no teacher, or has no such part.
    """
    if part not in (ENCODER_PART, TEACHER_PART):
        raise UsageError(
            f"{setting}: of a run, it is {ENCODER_PART} or {TEACHER_PART}, got {part!r}"
        )
    if part == ENCODER_PART:
        return run.read_encoder()
    found = _below(_TEACHERS_ENCODER, load_checkpoint(run.checkpoints).section("model"))
    if not found:
        kept = run.path / TEACHER
        own = f"; the weights of its frozen teacher are in {kept}" if kept.is_file() else ""
        raise UsageError(f"{run.path} has no teacher that learns, but an encoder{own}")
    return found


def weights_of_head(run: Run) -> Weights:
    """Return the weights of the head that belongs to a run's encoder, by the head's names.

    Raises:
        RunFolderError: the run has not finished, or its weights are damaged.
    """
    if not run.finished:
        raise RunFolderError(
            f"{run.path} has not finished; go on with it: sslcore train --resume {run.path}"
        )
    training = run.config().get("training")
    best = run.path / BEST
    if isinstance(training, dict) and training.get("keep") == "best" and best.is_file():
        return _below(_HEAD, read_weights(best))
    return _below(_HEAD, load_checkpoint(run.checkpoints).section("model"))


def _below(prefix: str, weights: Weights) -> Weights:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
