"""The runs of a fine-tuning: the fine-tuned encoder, and what it is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import nn

from sslcore.contract.interface import interface_of, load_reference
from sslcore.contract.records import Method
from sslcore.contract.settings import REQUIRED, Setting
from sslcore.data import Data
from sslcore.errors import CompositionError, RunFolderError, UsageError
from sslcore.pipeline.build import ImageShape, build_data, build_features
from sslcore.pipeline.normalization import Normalization, normalization_of
from sslcore.recipe.recipe import ENCODER_PART, TEACHER_PART, Part, Recipe
from sslcore.recipe.request import Assignment, Request
from sslcore.recipe.resolve import resolve
from sslcore.registry.registry import Registry
from sslcore.runs.folder import INITIAL, Run
from sslcore.runs.provenance import form_of_images, recorded_parts, recorded_request
from sslcore.training.labels import is_supervised, training_on_labels

#: The signal of a classifier's head.
LOGITS = "logits"

#: What is trained, by name.
FINE_TUNED, LINEAR_PROBE, FROM_SCRATCH, AS_IT_BEGAN = (
    "fine-tuned",
    "linear probe",
    "from scratch",
    "as it began",
)

#: Classes that a note names, at the most.
_TOLD = 12
#: With fewer test images than these, accuracies are coarse.
_FEW_TESTED = 100
#: Fewer steps than these don't train a network; few labels get more epochs.
_FEWEST_STEPS = 600


@dataclass(frozen=True)
class Variant:
    """One of the trainings that are compared.

    Attributes:
        name: what it is called.
        settings: in which it differs from the others.
    """

    name: str
    settings: tuple[Assignment, ...] = ()


@dataclass(frozen=True)
class FineTuning:
    """A fine-tuning as it was asked for, resolved.

    Attributes:
        request: what all trainings share.
        variants: the trainings; the first one is the result.
        notes: sentences for the user.
    """

    request: Request
    variants: tuple[Variant, ...]
    notes: tuple[str, ...]


def plan_fine_tuning(
    parent: Run,
    asked: Request,
    registry: Registry,
    *,
    freeze: bool = False,
    teacher: bool = False,
) -> FineTuning:
    """Resolve a fine-tuning, without training or writing anything.

    Args:
        parent: the run whose encoder is fine-tuned.
        asked: method, data and settings; the run's own data and the method for fine-tuning by
            default.
        registry: the installed parts.
        freeze: whether the result has the run's encoder as it is, and trains the head alone.
        teacher: whether to begin with the encoder of the run's teacher.

    Raises:
        UsageError: the run has not finished, the data has no labels or other images, or the
            request is not valid.
    """
    if not parent.finished:
        raise RunFolderError(
            f"{parent.path} has not finished; go on with it: sslcore train --resume {parent.path}"
        )
    augmentation, encoder = recorded_parts(parent, ("augmentation", "encoder"), registry)
    shape = parent.shape()
    if shape.num_frames is not None:
        raise UsageError(f"{parent.path} was trained on {shape}, and fine-tuning takes images")
    request = _with_data(parent, asked, registry)
    request = replace(
        request,
        method=asked.method or _method(registry),
        encoder=encoder.address,
        settings=(
            *(("encoder", name, value) for name, value in encoder.settings.items()),
            *request.settings,
        ),
    )
    eyes, network = build_features(augmentation, encoder, shape)
    recipe, _ = resolve(request, registry)
    _check_classifies(recipe)
    seen = normalization_of(eyes.eval(), shape)
    request, notes = _seen_alike(request, recipe, seen, shape, parent)
    request, more = _long_enough(request, recipe, shape, parent)
    variants = _variants(parent, TEACHER_PART if teacher else ENCODER_PART)
    if getattr(network, "pretrained", False):
        settings = registry.resolve("encoder", encoder.address).interface().settings

        def build(part: Part) -> nn.Module:
            return build_features(augmentation, part, shape)[1]

        variants, others = _beside_own_weights(variants, encoder, settings, build)
        more += others
    if freeze:
        variants.sort(key=lambda variant: variant.name != LINEAR_PROBE)
    return FineTuning(request, tuple(variants), (*notes, *more))


def _check_classifies(recipe: Recipe) -> None:
    head = None if recipe.head is None else interface_of(load_reference(recipe.head.build))
    if not is_supervised(recipe) or head is None or LOGITS not in head.provides:
        raise UsageError(
            f"{recipe.method} does not classify: fine-tuning needs a loss with labels, and a head "
            f"that gives {LOGITS}"
        )


def _method(registry: Registry) -> str:
    for entry in registry.entries("method"):
        if isinstance(entry.record, Method) and entry.record.fine_tunes:
            return registry.address(entry)
    raise UsageError("no installed method is for fine-tuning; name one with --method")


def _with_data(parent: Run, asked: Request, registry: Registry) -> Request:
    """Return the request with the data of the run, or with other data in the form of its images."""
    if asked.data is None:
        config = recorded_request(parent, registry, ("dataset",)).config
        return replace(asked, config={**asked.config, "data": config["data"]})
    return replace(asked, settings=(*form_of_images(parent, asked), *asked.settings))


def _seen_alike(
    request: Request, recipe: Recipe, found: Normalization | None, shape: ImageShape, parent: Run
) -> tuple[Request, list[str]]:
    """Return the request with views normalised as those that the encoder was trained on."""
    known, asked = recipe.augmentation.settings, request.settings_of("augmentation")
    if found is None or "mean" not in known or "std" not in known:
        return request, [
            f"the views of {parent.path} can't be normalised alike by {recipe.augmentation.name}; "
            "set what it needs with --set augmentation.…"
        ]
    taken: dict[str, object] = {"mean": found.mean, "std": found.std}
    notes = []
    if found.views > 1:
        notes.append(
            f"the encoder of {parent.path} was trained on {found.views} views of {found.size} px "
            f"of each image; here it gets whole images of {shape.image_size} px"
        )
    elif found.size != shape.image_size and "size" in known:
        taken["size"] = found.size
    more = [("augmentation", name, value) for name, value in taken.items() if name not in asked]
    return replace(request, settings=(*request.settings, *more)), notes


def _long_enough(
    request: Request, recipe: Recipe, shape: ImageShape, parent: Run
) -> tuple[Request, list[str]]:
    """Return the request with a batch that fits the labelled images, and with enough steps."""
    training, asked = recipe.training, request.settings_of("training")
    data = training_on_labels(recipe, build_data(recipe.data))
    found = ImageShape.of(data.train)
    if (found.image_size, found.channels) != (shape.image_size, shape.channels):
        raise UsageError(f"{parent.path} was trained on {shape}, and the data has {found}")
    if data.test.labels is None or not len(data.test):
        raise UsageError("the data has no labelled test images, on which classifiers are compared")
    notes = [_classes(data)]
    if (images := len(data.test)) < _FEW_TESTED:
        error = 0.5 / math.sqrt(images)
        notes.append(
            f"there are {images} test images, so accuracies are known to about ±{error:.2f}; more "
            "labelled images, or a folder of test images, make them surer"
        )
    tested = set(data.test.labels.unique().tolist())
    if missing := [name for label, name in enumerate(data.classes) if label not in tested]:
        notes.append(f"no test image is of the class {', '.join(missing)}")
    settings: list[Assignment] = []
    batch = training.batch_size
    if "batch_size" not in asked and batch > len(data.train):
        batch = len(data.train)
        settings.append(("training", "batch_size", batch))
    steps = max(1, len(data.train) // batch)
    if "epochs" not in asked and training.epochs * steps < _FEWEST_STEPS:
        epochs = math.ceil(_FEWEST_STEPS / steps)
        settings.append(("training", "epochs", epochs))
        notes.append(
            f"{len(data.train):,} labelled images are {steps} steps an epoch: training for "
            f"{epochs} epochs"
        )
    return replace(request, settings=(*request.settings, *settings)), notes


def _classes(data: Data) -> str:
    """Return a note on the classes, by which a wrong folder is noticed before training."""
    assert data.train.labels is not None
    counts = data.train.labels.bincount(minlength=len(data.classes)).tolist()
    told = [f"{name} {count:,}" for name, count in zip(data.classes, counts, strict=True)]
    more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return f"{len(told)} classes, with labelled images: {', '.join(told[:_TOLD])}{more}"


def _variants(parent: Run, part: str) -> list[Variant]:
    begins = (("init", "path", str(parent.path)), ("init", "part", part))
    variants = [
        Variant(FINE_TUNED, begins),
        Variant(LINEAR_PROBE, (*begins, ("training", "freeze", "encoder"))),
        Variant(FROM_SCRATCH),
    ]
    initial = parent.path / INITIAL
    if initial.is_file():
        variants.append(Variant(AS_IT_BEGAN, (("init", "path", str(initial)),)))
    return variants


def _beside_own_weights(
    variants: list[Variant],
    encoder: Part,
    known: Mapping[str, Setting],
    build: Callable[[Part], nn.Module],
) -> tuple[list[Variant], list[str]]:
    """Return the trainings for an encoder whose settings load weights, and notes.

    It begins as it began without further settings, and from scratch where one setting at its
    default leaves the same network with drawn weights.
    """
    began = [variant for variant in variants if variant.name == AS_IT_BEGAN]
    others = [variant for variant in variants if variant.name not in (AS_IT_BEGAN, FROM_SCRATCH)]
    shapes = _shapes(build(encoder))
    for name, setting in known.items():
        if setting.default is REQUIRED or encoder.settings.get(name) == setting.default:
            continue
        plain = replace(encoder, settings={**encoder.settings, name: setting.default})
        try:
            network = build(plain)
        except CompositionError:
            continue
        if not getattr(network, "pretrained", False) and _shapes(network) == shapes:
            scratch = Variant(FROM_SCRATCH, (("encoder", name, setting.default),))
            return [*others, scratch, *(began or [Variant(AS_IT_BEGAN)])], []
    note = f"{encoder} has weights of its own, so there is no training from scratch to compare"
    return [*others, *(began or [Variant(AS_IT_BEGAN)])], [note]


def _shapes(network: nn.Module) -> dict[str, object]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}
