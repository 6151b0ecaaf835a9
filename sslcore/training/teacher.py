"""The weights of its own that a teacher begins with: found, checked, and kept in the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sslcore.contract.records import Teacher
from sslcore.data import Split
from sslcore.errors import RunFolderError, UsageError
from sslcore.pipeline.build import ImageShape, build_teachers_encoder
from sslcore.pipeline.initial_weights import Weights, digest, load_into
from sslcore.recipe.recipe import Recipe
from sslcore.runs.folder import TEACHER, Run
from sslcore.runs.weights import read_weights
from sslcore.training.initial import matched

if TYPE_CHECKING:
    from rich.console import Console
    from torch import nn

#: Counts of batches, which no encoder needs to give the same features.
_COUNTS = "num_batches_tracked"


def check_teacher(recipe: Recipe) -> None:
    """Check that a teacher which needs weights of its own has been given some that are there.

    Raises:
        UsageError: it has none, or there is no such run or file.
    """
    teacher = recipe.teacher
    if teacher is None:
        return
    if teacher.pretrained and not (teacher.path or teacher.encoder):
        raise UsageError(_must_be_given(recipe))
    if teacher.path and not Path(teacher.path).exists():
        raise UsageError(f"teacher.path: {teacher.path} is not there; it is a run, or a file")


def with_teacher(
    recipe: Recipe,
    shape: ImageShape,
    run: Run | None,
    console: Console,
    train: Split | None = None,
) -> tuple[Recipe, Weights]:
    """Return a recipe with the hash of its teacher's own weights, and these weights.

    They are by the names of the teacher's encoder, and empty where the teacher begins as the
    student does.

    Args:
        recipe: the recipe.
        shape: shape of the images.
        run: the run of this recipe, which keeps the weights; None for a new run.
        console: where notes are printed.
        train: the images to train on, where parts ask for what comes with them.

    Raises:
        UsageError: the weights can't be read, do not fit, or are not those of the recipe.
    """
    teacher = recipe.teacher
    if teacher is None:
        return recipe, {}
    if run is not None:
        return recipe, _kept(run, teacher)
    if not (teacher.path or teacher.encoder):
        return recipe, {}
    encoder = build_teachers_encoder(recipe, shape, train)
    weights = _found(recipe, teacher, encoder, console)
    found = digest(weights)
    if teacher.sha256 not in ("", found):
        raise UsageError(
            f"teacher: the weights in {teacher.path or teacher.encoder} are not those that the "
            "recipe was written for (their sha256 differs); leave teacher.sha256 out to use them"
        )
    return replace(recipe, teacher=replace(teacher, sha256=found)), weights


def _found(recipe: Recipe, teacher: Teacher, encoder: nn.Module, console: Console) -> Weights:
    """Return the weights of a teacher's encoder, with those of a run or a file."""
    if teacher.path:
        _load(encoder, teacher, console)
    elif not getattr(encoder, "pretrained", False):
        if teacher.pretrained:
            raise UsageError(_must_be_given(recipe))
        console.print("note: the weights of the teacher are drawn: no teacher.path is given")
    return {name: tensor.clone() for name, tensor in encoder.state_dict().items()}


def _load(encoder: nn.Module, teacher: Teacher, console: Console) -> None:
    path = Path(teacher.path)
    try:
        found = matched(path, teacher.part, encoder, "teacher.part")
    except UsageError as error:
        raise type(error)(f"teacher: {error}") from error
    said = f"teacher: {path}: {found.in_words('teacher.part')}"
    lacks = encoder.state_dict().keys() - found.weights.keys()
    if teacher.frozen and any(not name.endswith(_COUNTS) for name in lacks):
        raise UsageError(f"{said}; a frozen teacher needs all of them")
    if found.enough:
        console.print(f"note: {said}")
    else:
        console.print(f"warning: {said}", style="bold yellow")
    load_into(encoder, found.weights)


def _kept(run: Run, teacher: Teacher) -> Weights:
    """Return the weights that the teacher of a run began with, from the run's folder."""
    if not teacher.sha256:
        return {}
    path = run.path / TEACHER
    try:
        weights = read_weights(path)
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{path} is not there, and it has the run's teacher; put it back"
        ) from error
    if digest(weights) != teacher.sha256:
        raise RunFolderError(f"{path} does not hold the weights of the run's teacher")
    return weights


def _must_be_given(recipe: Recipe) -> str:
    return (
        f"{recipe.method} needs a trained teacher: --set teacher.path=RUN (a run, or a file of "
        "weights), or --set teacher.encoder=NAME with settings that load weights "
        "(--set teacher.settings.NAME=…)"
    )
