"""The teacher of a recipe: built from an encoder of its own, or copied from the student."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from sslcore.errors import CompositionError
from sslcore.pipeline.dummy_batch import run_on_dummies
from sslcore.pipeline.initial_weights import load_into
from sslcore.pipeline.parts import build_part
from sslcore.pipeline.pipeline import Signals, encode
from sslcore.pipeline.teacher import TeacherStages
from sslcore.recipe.recipe import Recipe


def teachers_encoder(recipe: Recipe, signals: Signals, supplied: Mapping[str, object]) -> nn.Module:
    """Build the encoder of a teacher, with the weights that its settings give it.

    Args:
        recipe: the recipe.
        signals: those of the augmentation, of a dummy batch.
        supplied: the parameters that the engine supplies to encoders.
    """
    views: Tensor = signals["teacher_views" if "teacher_views" in signals else "views"]
    sizes = {"channels": views.shape[2], "image_size": views.shape[-1]}
    module: nn.Module = build_part(recipe.teacher_encoder or recipe.encoder, {**supplied, **sizes})
    return module


def frozen_teacher(
    recipe: Recipe,
    signals: Signals,
    supplied: Mapping[str, object],
    weights: Mapping[str, Tensor],
    shape: object,
    of_images: Collection[str],
) -> tuple[TeacherStages | None, int | None]:
    """Return the teacher of a recipe where it is frozen, and the length of a teacher's features.

    Args:
        recipe: the recipe.
        signals: those of the augmentation and the student's encoder, of a dummy batch.
        supplied: the parameters that the engine supplies to heads.
        weights: the weights of the teacher's encoder, by its names.
        shape: the shape of the images, for messages.
        of_images: the signals (B, …) that belong to whole images.

    Raises:
        CompositionError: the encoder refuses its settings or the views, or gives no features.
    """
    if recipe.teacher is None:
        return None, None
    if not recipe.teacher.frozen:
        return None, signals["features"].shape[-1]
    # The draws of the student are the same with any teacher.
    with torch.random.fork_rng(devices=[]):
        encoder = teachers_encoder(recipe, signals, supplied)
    load_into(encoder, weights)
    teacher = TeacherStages({"encoder": encoder}, frozen=True, without=recipe.teacher.without)
    part = recipe.teacher_encoder or recipe.encoder
    run = partial(encode, of_images=of_images)
    made = run_on_dummies(part, run, encoder, teacher.inputs(signals), shape)
    if "features" not in made:
        raise CompositionError(f"{part} gives no features, and a teacher needs them")
    return teacher, made["features"].shape[-1]


def following_teacher(
    recipe: Recipe,
    encoder: nn.Module,
    head: nn.Module | None,
    weights: Mapping[str, Tensor],
) -> TeacherStages | None:
    """Return the teacher of a recipe, a copy of the student but for weights of its own."""
    if recipe.teacher is None:
        return None
    stages = {"encoder": encoder}
    if head is not None and recipe.teacher.head:
        stages["head"] = head
    record = recipe.teacher
    teacher = TeacherStages(copy.deepcopy(stages), without=record.without, shuffle=record.shuffle)
    load_into(teacher["encoder"], weights)
    return teacher
