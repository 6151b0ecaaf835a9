"""The inputs and outputs of a component, read from its signatures.

A constructor has two kinds of parameters: *settings*, which the user may set, and *supplied*
parameters, which the engine knows (`feature_dim`). The parameters of `forward` or `__call__` are
the *signals* that the component needs, and its return annotation, a TypedDict, lists the signals
that it provides.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from dataclasses import dataclass, field
from typing import Any

from sslcore.contract.settings import Setting, settings_of
from sslcore.errors import SslcoreError

#: Constructor parameters that the engine supplies, so that they are not settings.
SUPPLIED = {
    "image_size": "side of the images (augmentation) or views (later stages), px",
    "channels": "channels of the images (augmentation) or views (later stages)",
    "num_frames": "frames in a clip; an augmentation that asks for it takes clips",
    "num_views": "views that the augmentation makes of an image",
    "feature_dim": "length of a feature vector",
    "teacher_feature_dim": "length of the teacher's feature vector, where there is a teacher",
    "feature_map_shape": "(channels, height, width) of the encoder's feature maps",
    "projection_dim": "length of a projection",
    "num_classes": "number of classes, for evaluators, supervised losses and their heads",
    "num_images": "number of images to train on",
    "epochs": "epochs of training",
    "steps_per_epoch": "steps in an epoch",
}

#: Those of them that only a stage of training has, which has a `forward`; an evaluator may have
#: settings of these names.
OF_TRAINING = ("num_images", "epochs", "steps_per_epoch")

#: Signals that the engine provides to every stage.
ENGINE_SIGNALS = {
    "images": "the batch: (B, C, H, W), or (B, T, C, H, W) for clips; float in [0, 1]",
    "random": "random numbers for this step, a sslcore.BatchRandom",
    "progress": "the part of training that is done, a float in [0, 1]",
    "step": "number of steps done, an int",
    "indices": "rows of the images in the training split, int64 (B,)",
    "rows": "this process's slice of the batch that several share; a loss may score it alone",
}

#: What an evaluator may ask for by name.
EVALUATION_SIGNALS = {
    "train_features": "features of the labelled training images, (N, F)",
    "train_labels": "their classes, (N,); of several labels an image bool (N, K)",
    "test_features": "features of the test images, (M, F)",
    "test_labels": "their classes, (M,); of several labels an image bool (M, K)",
    "train_views": "the labelled training images as the encoder sees them, (N, V, C, h, w)",
    "test_views": "the test images as the encoder sees them, (M, V, C, h, w)",
    "reconstructions": "what the head makes of the test views, (M, V, C, h, w)",
    "test_logits": "the head's logits of the test images, (M, K); of the trained encoder only",
    "num_classes": "number of classes",
    "seed": "the run's seed, for draws",
}

#: Those of them that a head makes: the name of its signal.
FROM_HEAD = {"reconstructions": "reconstructions", "test_logits": "logits"}

#: The optional static method of an encoder's class that takes its settings by name, and returns
#: mean and std, one for each channel, that the weights expect which these settings load; None where
#: they load none.
EXPECTED = "expected_normalization"

#: Keys of a line of metrics.jsonl that the engine writes: no part may log a number under these.
ENGINE_KEYS = (
    "time",
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "images_per_second",
    "representation",
    "spread",
    "effective_rank",
)


@dataclass(frozen=True)
class Interface:
    """The signatures of a component, in one place.

    Attributes:
        settings: by name, in order.
        supplied: engine-supplied constructor parameters, by name, with whether each is needed.
        needs: signals, by name, with whether each is needed (False: optional).
        provides: signals, by name, with whether each is always there.
    """

    settings: dict[str, Setting] = field(default_factory=dict)
    supplied: dict[str, bool] = field(default_factory=dict)
    needs: dict[str, bool] = field(default_factory=dict)
    provides: dict[str, bool] = field(default_factory=dict)


def load_reference(reference: str) -> Any:
    """Import the object that `"package.module:attribute"` names.

    Raises:
        SslcoreError: the module can't be imported or lacks the attribute; the cause is attached.
    """
    module_name, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:
        raise SslcoreError(
            f"{reference} can't be loaded: {type(error).__name__}: {error}"
        ) from error


def supplied_to(*, is_stage: bool) -> frozenset[str]:
    """Return the names of the parameters that the engine supplies to a stage, or to others."""
    return frozenset(SUPPLIED) if is_stage else frozenset(SUPPLIED).difference(OF_TRAINING)


def interface_of(target: Any) -> Interface:
    """Read the interface of a component's class, or of a data set's function.

    The engine supplies nothing to a data set, so there `image_size` is an ordinary setting.
    """
    parameters = settings_of(target)
    if not inspect.isclass(target):
        return Interface(settings=parameters)
    known = supplied_to(is_stage=hasattr(target, "forward"))
    supplied = {
        name: parameter.default is inspect.Parameter.empty
        for name, parameter in parameters.items()
        if name in known
    }
    settings = {name: item for name, item in parameters.items() if name not in known}
    call = _call_of(target)
    if call is None:
        # Trackers and optimizers are called by other methods.
        return Interface(settings, supplied)
    needs = {
        name: parameter.default is inspect.Parameter.empty
        for name, parameter in inspect.signature(call).parameters.items()
        if name != "self" and parameter.kind in _NAMED
    }
    return Interface(settings, supplied, needs, provided_by(call))


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _call_of(target: type) -> Any:
    if hasattr(target, "forward"):
        return target.forward
    # Every class can be called itself; what counts is whether its instances can.
    return next(
        (vars(base)["__call__"] for base in target.__mro__ if "__call__" in vars(base)), None
    )


def provided_by(function: object) -> dict[str, bool]:
    """Return the keys of the TypedDict that a function returns; True where a key is required."""
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):
        return {}
    returned = hints.get("return")
    if not typing.is_typeddict(returned):
        return {}
    # With annotations kept as text, `__required_keys__` would contain every key.
    keys = typing.get_type_hints(returned, include_extras=True)
    optional = () if returned.__total__ else keys  # type: ignore[union-attr]
    marks = {name: typing.get_origin(key) for name, key in keys.items()}
    return {
        name: mark is typing.Required or (mark is not typing.NotRequired and name not in optional)
        for name, mark in marks.items()
    }
