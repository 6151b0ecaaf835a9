"""What an author states of a part that is no loss to have it checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sslcore.contract.records import Method
from sslcore.registry.registry import Registry

SUITE = "2026.1"


@dataclass(frozen=True, eq=False)
class PartSpec:
    """What is stated of a part of any kind.

    Attributes:
        make: its class, or a function that returns a new one. Its parameters that the engine
            supplies (`image_size`, …) and its settings are given by name, those that it has.
        name: for the report; that of `make` by default.
        settings: what the checks set; other settings are at their defaults, and are varied within
            their annotated bounds where a check draws them.
        expected_failures: properties that are known not to hold, each with the reason. One that
            holds nevertheless is an error.
        suite: the version of the checks.
        seconds: how long a call may take.
    """

    make: Callable[..., Any]
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    suite: str = SUITE
    seconds: float = 30.0


@dataclass(frozen=True, eq=False)
class AugmentationSpec(PartSpec):
    """An augmentation to check.

    Attributes:
        channels: of the images it is tried on, each.
        image_size: side of these images, px.
        num_frames: frames per clip; None gives clips of six frames to what asks for `num_frames`
            and has no default for it, else images.
        identity: settings at which a training view is the view that evaluators see; None where
            there are none, or the author does not say.
        reference: makes one view (C, h, w), in the units of the views, of one image (C, H, W) in
            [0, 1], drawing from the global generators of torch, numpy or Python; views must be
            distributed as its results are. None where there is none.
        signal: which training views are examined: `"views"` or `"local_views"`.
    """

    channels: Sequence[int] = (1, 3)
    image_size: int = 16
    num_frames: int | None = None
    identity: Mapping[str, Any] | None = None
    reference: Callable[[Tensor], Tensor] | None = None
    signal: str = "views"


@dataclass(frozen=True, eq=False)
class EncoderSpec(PartSpec):
    """An encoder to check.

    Attributes:
        channels: of the views it is tried on, each.
        image_size: side of these views, px.
        batch: views in an ordinary batch; keep it small where the encoder is large.
        draw: whether settings are drawn besides those at their bounds.
        signals: makes of views (N, C, h, w) what else `forward` asks for, as the engine would
            give it: flattened, one row for each view.
    """

    channels: Sequence[int] = (1, 3)
    image_size: int = 16
    batch: int = 4
    draw: bool = True
    signals: Callable[[Tensor], Mapping[str, Any]] | None = None


@dataclass(frozen=True, eq=False)
class HeadSpec(PartSpec):
    """A head to check.

    Attributes:
        num_views: V.
        feature_dim: F.
        feature_map_shape: (F', h', w').
        image_size: side of the views, px.
        channels: of the views.
        batch: images in an ordinary batch.
        draw: whether settings are drawn besides those at their bounds.
        signals: makes, of a number of images B, every signal (V, B, …) that `forward` asks for;
            None draws `features`, `feature_maps` and `views` of the shapes above.
    """

    num_views: int = 5
    feature_dim: int = 12
    feature_map_shape: tuple[int, int, int] = (8, 4, 4)
    image_size: int = 16
    channels: int = 1
    batch: int = 4
    draw: bool = True
    signals: Callable[[int], Mapping[str, Any]] | None = None


@dataclass(frozen=True, eq=False)
class EvaluatorSpec(PartSpec):
    """An evaluator to check.

    Attributes:
        accuracies: the metrics that say how often something is right, between 0 and 1; None
            means all whose names say so: `…_top1`, `…_accuracy`, `…_acc`.
        num_classes: of the features it is tried on.
    """

    accuracies: Sequence[str] | None = None
    num_classes: int = 5


@dataclass(frozen=True, eq=False)
class DatasetSpec(PartSpec):
    """A data set to check.

    Attributes:
        clips: whether its samples are clips; None where the author does not say.
        learnable: whether the nearest training image, pixel by pixel, is of the same class more
            often than by chance. It is what tells labels that belong to other images.
        shared: how many test images may be found among the training images.
        network: whether it may use the network to build.
    """

    clips: bool | None = None
    learnable: bool = False
    shared: int = 0
    network: bool = False


@dataclass(frozen=True, eq=False)
class MethodSpec(PartSpec):
    """A method to check.

    Attributes:
        make: returns its record (`sslcore.Method`), or its name.
        settings: by section, besides those of the method.
        registry: where its parts are looked up; everything installed by default.
        clips: whether it is trained on clips; None means images where it takes them.
        image_size: side of the images it is trained on, px.
        channels: of these images.
        batch: images in a batch.
    """

    make: Callable[[], Method | str]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    registry: Registry | None = None
    clips: bool | None = None
    image_size: int = 16
    channels: int = 1
    batch: int = 6
    seconds: float = 120.0
