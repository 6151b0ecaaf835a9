"""Return types of the stages: what each provides, by name.

V views, B images in the batch. A component that provides something else declares a TypedDict of
its own; these are the common ones.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, NotRequired, TypedDict

from torch import Tensor

#: The axis along which a signal has the images of a batch, where that is not the second.
_BATCH_AXES = {"images": 0, "labels": 0, "indices": 0, "step_predictions": 2}


def batch_axis(name: str) -> int:
    """Return the axis along which a signal has the images of a batch."""
    return _BATCH_AXES.get(name.removeprefix("teacher_"), 1)


class Shape:
    """The shape of a signal that is not in the table of signals, for the checks of a loss.

    `Annotated[Tensor, Shape("B", "L", below=50)]` in the signature of a loss lets `sslcore check`
    draw the signal.

    Args:
        dims: sizes, or letters: V views, B images, D length of a projection, F of a feature,
            K classes. Another letter is a size of its own, the same in all signals of a loss.
        below: for whole numbers, int64 in [0, below): a number, or the letter of a size.
        mask: whether the entries are booleans.
        trained: whether the gradient by the signal matters, as it does for what an encoder or a
            head makes.
    """

    def __init__(
        self,
        *dims: int | str,
        below: int | str | None = None,
        mask: bool = False,
        trained: bool = True,
    ) -> None:
        self.dims, self.below, self.mask = dims, below, mask
        self.trained = trained and below is None and not mask


class Boxes(NamedTuple):
    """Boxes of the original images of a batch, in px, and the side that they are resized to.

    Attributes:
        top, left, height, width: int64, (V, B): V boxes of each image; each lies in its image.
        size: side of what is delivered, px.
        interpolation: the filter, with antialiasing.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    size: int
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"


class Views(TypedDict):
    """`views`: (V, B, C, h, w), normalised."""

    views: Tensor


class ViewsOfTeacher(TypedDict):
    """`views` as above, and `teacher_views`: those that a teacher gets in their place, if others.

    So the student may get the query, and the teacher the key alone.
    """

    views: Tensor
    teacher_views: NotRequired[Tensor]


class ViewsWithTargets(TypedDict):
    """`views` as above, with `targets`: the same views undisturbed, for a reconstruction loss."""

    views: Tensor
    targets: Tensor


class ViewsOfTwoSizes(TypedDict):
    """`views` as above, and `local_views`: (V', B, C, h', w'), further views of another size.

    The encoder is run on both: V + V' views have features. A teacher sees `views` alone.
    """

    views: Tensor
    local_views: NotRequired[Tensor]


class Features(TypedDict):
    """`features`: (V·B, F) from an encoder; the engine restores (V, B, F)."""

    features: Tensor


class FeaturesAndMaps(TypedDict):
    """`features` as above, and `feature_maps`: (V·B, F', h', w')."""

    features: Tensor
    feature_maps: Tensor


class Projections(TypedDict):
    """`projections`: (V, B, D)."""

    projections: Tensor


class Predictions(TypedDict):
    """`projections` and `predictions`: (V, B, D) each."""

    projections: Tensor
    predictions: Tensor


class StepPredictions(TypedDict):
    """`step_predictions`: (K, V, B, F).

    Entry [k-1, t] predicts the features of view t + k from those up to t; it means something
    where t + k < V.
    """

    step_predictions: Tensor


class Logits(TypedDict):
    """`logits`: (V, B, K), a number for each of K classes; their softmax are probabilities."""

    logits: Tensor


class Reconstructions(TypedDict):
    """`reconstructions`: (V, B, C, h, w), in the units of the views."""

    reconstructions: Tensor
