"""The specification of a part to check, for parts other than losses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sslcore.contract.records import Method
from sslcore.registry.registry import Registry

SUITE = "2026.1"


@dataclass(frozen=True, eq=False)
class PartSpec:
    """The specification of a part of any kind.

    Attributes:
        make: its class, or a function that returns a new part. It is called by name with its
            settings and with those of its parameters that the engine supplies (`image_size`, …).
        name: for the report; the name of `make` by default.
        settings: fixed settings; other settings have their defaults, and some checks vary them
            within their annotated bounds.
        expected_failures: properties that are known to fail, each with the reason. One that passes
            is reported as an error.
        suite: the version of the checks.
        seconds: time limit of a call, s.
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
        channels: numbers of channels of the images that it is checked on.
        image_size: side of these images, px.
        num_frames: frames per clip; None means clips of six frames if the part requires
            `num_frames`, else images.
        identity: settings at which a training view equals the view for evaluators; None if there
            are none or they are not known.
        reference: makes one view (C, h, w), in the units of the views, of one image (C, H, W) in
            [0, 1], with the global generators of torch, numpy or Python; views must have the
            distribution of its results. None if there is no reference.
        signal: the training views to check: `"views"` or `"local_views"`.
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
        channels: numbers of channels of the views that it is checked on.
        image_size: side of these views, px.
        batch: views in an ordinary batch; choose a small number for a large encoder.
        draw: whether to check drawn settings in addition to settings at their bounds.
        signals: makes the other arguments of `forward` from views (N, C, h, w), in the engine's
            form: flattened, one row for each view.
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
        channels: number of channels of the views.
        num_classes: number of classes K.
        batch: images in an ordinary batch.
        draw: whether to check drawn settings in addition to settings at their bounds.
        signals: makes, of a number of images B, every signal (V, B, …) that `forward` asks for;
            None draws `features`, `feature_maps` and `views` of the shapes above.
        of_images: those signals of whole images, (B, …).
    """

    num_views: int = 5
    feature_dim: int = 12
    feature_map_shape: tuple[int, int, int] = (8, 4, 4)
    image_size: int = 16
    channels: int = 1
    num_classes: int = 3
    batch: int = 4
    draw: bool = True
    signals: Callable[[int], Mapping[str, Any]] | None = None
    of_images: Collection[str] = ("indices",)


@dataclass(frozen=True, eq=False)
class EvaluatorSpec(PartSpec):
    """An evaluator to check.

    Attributes:
        accuracies: the metrics that are accuracies, in [0, 1]; None means all metrics named
            `…_top1`, `…_accuracy` or `…_acc`.
        num_classes: number of classes of the features and logits that it is checked on.
    """

    accuracies: Sequence[str] | None = None
    num_classes: int = 5


@dataclass(frozen=True, eq=False)
class DatasetSpec(PartSpec):
    """A data set to check.

    Attributes:
        clips: whether its samples are clips; None if it is not stated.
        learnable: whether the nearest training image, pixel by pixel, is of the same class more
            often than by chance. Then the checks find labels that belong to other images.
        shared: number of test images that may also be training images.
        network: whether it may use the network to build.
        provides: names of the extras that its record states; None if they are not stated.
    """

    clips: bool | None = None
    learnable: bool = False
    shared: int = 0
    network: bool = False
    provides: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class TrackerSpec(PartSpec):
    """A tracker to check.

    Attributes:
        offline: environment variables under which it sends nothing to another machine; the checks
            set them, and refuse connections of this process to other machines.
    """

    offline: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class MethodSpec(PartSpec):
    """A method to check.

    Attributes:
        make: returns its record (`sslcore.Method`), or its name.
        settings: further settings, by section.
        registry: where its parts are looked up; all installed plugins by default.
        clips: whether to train it on clips; None means images if it takes images.
        image_size: side of the images it is trained on, px.
        channels: number of channels of these images.
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
