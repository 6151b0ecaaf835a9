"""The networks of a run: its encoder, and its classifier if it has one."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from sslcore.api.objects import AugmentationLike, ModuleLike, registry_of_run
from sslcore.compute.device import pick_device
from sslcore.errors import RunFolderError, UsageError, last_line
from sslcore.evaluation.classifier import Classifier
from sslcore.evaluation.extractor import FeatureExtractor
from sslcore.pipeline.build import build_features, build_stages
from sslcore.pipeline.initial_weights import Weights
from sslcore.recipe.recipe import ENCODER_PART, TEACHER_PART
from sslcore.registry.registry import Registry, default_registry
from sslcore.runs.folder import Run
from sslcore.runs.provenance import recorded_parts
from sslcore.training.initial import weights_of_head, weights_of_run


def load_encoder(
    run: str | Path,
    *,
    teacher: bool = False,
    augmentation: AugmentationLike | None = None,
    encoder: ModuleLike | None = None,
    device: str = "cpu",
    registry: Registry | None = None,
) -> FeatureExtractor:
    """Load a run's trained encoder: a module from images in [0, 1] or uint8 to features (B, F).

    It normalises as in training; the bare encoder is its attribute `encoder`. It is in eval mode
    and builds no graph, until `train()` is called for fine-tuning.

    Args:
        run: the run's folder.
        teacher: whether to load the encoder of the teacher in place of the run's own.
        augmentation: the object that the run was trained with, where it was one.
        encoder: the same for its encoder. Its weights are not used, and not changed; the network
            with the weights of the run is `load_encoder(…).encoder.module`.
        device: where to put it.
        registry: where to look for parts; everything installed by default.

    Raises:
        UsageError: there is no such run, it has no teacher, or its augmentation or encoder is not
            installed (no other part is needed).
    """
    opened = Run.open(run)
    shape = opened.shape()
    kinds = ("augmentation", "encoder")
    registry, _ = registry_of_run(run, registry, augmentation=augmentation, encoder=encoder)
    parts = recorded_parts(opened, kinds, registry)
    built = build_features(parts[0], parts[1], shape)
    weights = weights_of_run(opened, TEACHER_PART if teacher else ENCODER_PART)
    _load(opened, "encoder", built[1], weights)
    extractor = FeatureExtractor(*built, shape).requires_grad_(False)
    return extractor.to(pick_device(device))


def load_classifier(
    run: str | Path, *, device: str = "cpu", registry: Registry | None = None
) -> Classifier:
    """Load a run's trained classifier: a module from images in [0, 1] or uint8 to logits (B, K).

    Its attribute `classes` has the names of the K classes, and `extractor` the encoder, as
    `load_encoder` returns it. It is in eval mode and builds no graph.

    Args:
        run: the folder of a run that was trained on labels, as `finetune` makes one.
        device: where to put it.
        registry: where to look for parts; everything installed by default.

    Raises:
        UsageError: there is no such run, it has no classifier, or its augmentation, encoder or
            head is not installed.
    """
    registry = registry or default_registry()
    opened = Run.open(run)
    classes = opened.class_names()
    if not classes:
        raise UsageError(
            f"{opened.path} has no classifier; train one on labels: "
            f"sslcore finetune {opened.path} --data DIR"
        )
    shape = opened.shape()
    parts = recorded_parts(opened, ("augmentation", "encoder", "head"), registry)
    augmentation, encoder, head = build_stages(parts[0], parts[1], parts[2], shape)
    assert head is not None
    _load(opened, "encoder", encoder, weights_of_run(opened, ENCODER_PART))
    _load(opened, "head", head, weights_of_head(opened))
    extractor = FeatureExtractor(augmentation, encoder, shape)
    classifier = Classifier(extractor, head, classes).requires_grad_(False)
    return classifier.to(pick_device(device))


def _load(run: Run, what: str, module: nn.Module, weights: Weights) -> None:
    """Load weights of a run into one of its modules.

    Raises:
        RunFolderError: they don't fit.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise RunFolderError(
            f"{run.path}: its {what} does not fit its recipe: {last_line(error)}"
        ) from error
