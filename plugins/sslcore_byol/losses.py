"""Predictions compared with projections of an image's other views, which get no gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sslcore.functional import unit_rows


def unit_pairs(predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit predictions (V, B, D), and the unit targets of all other views beside each.

    The second is (V − 1, V, B, D): its entry [k − 1, v] is of view v − k, counted around the end.
    It has no graph. Both are in float32 or wider; a row of zeros stays zero.

    Args:
        predictions: float (V, B, D) of V ≥ 2 views of B ≥ 1 images.
        targets: float (V, B, D), in the same order.

    Raises:
        ValueError: other shapes or types.
    """
    _check(predictions, targets)
    target = unit_rows(targets.detach())
    others = torch.stack([target.roll(shift, 0) for shift in range(1, len(target))])
    return unit_rows(predictions), others


class BYOL(nn.Module):
    """Squared distance of predictions to a teacher's projections of the other views.

    BYOL (Grill et al. 2020), equation (2) and the sum of both directions that follows it: with q̄
    a prediction and z̄' a projection of the teacher's, both scaled to unit length,

        L = ‖q̄_1 − z̄'_2‖² + ‖q̄_2 − z̄'_1‖²,

    averaged over the images. Of more than two views, each view's prediction is compared with the
    projections of all others; these distances are averaged, and the views are summed. No gradient
    reaches the teacher.

    Raises:
        ValueError: (when called) the signals are not float of one shape (V, B, D), or V < 2.
    """

    def forward(self, predictions: Tensor, teacher_projections: Tensor) -> Tensor:
        """Compare `predictions` (V, B, D) with `teacher_projections` (V, B, D), as a scalar."""
        unit, others = unit_pairs(predictions, teacher_projections)
        distances = (unit - others).square().sum(-1)
        return (len(unit) * distances.mean()).to(predictions.dtype)


class NegativeCosine(nn.Module):
    """Negative cosine of predictions to the projections of the other views, taken as constant.

    SimSiam (Chen & He 2021), equations (1) to (4): with D(p, z) = −cos(p, z),

        L = D(p_1, stopgrad(z_2)) / 2 + D(p_2, stopgrad(z_1)) / 2,

    averaged over the images; −1 where all predictions are exact. Of more than two views, it is
    the mean over all ordered pairs of different views.

    Raises:
        ValueError: (when called) the signals are not float of one shape (V, B, D), or V < 2.
    """

    def forward(self, predictions: Tensor, projections: Tensor) -> Tensor:
        """Compare `predictions` (V, B, D) with `projections` (V, B, D), as a scalar."""
        unit, others = unit_pairs(predictions, projections)
        return -(unit * others).sum(-1).mean().to(predictions.dtype)


def _check(predictions: Tensor, targets: Tensor) -> None:
    shape, other = tuple(predictions.shape), tuple(targets.shape)
    if shape != other or len(shape) != 3 or not predictions.numel():
        raise ValueError(
            "predictions, and the projections that they are compared with, must be of one shape "
            f"(V, B, D), got {shape} and {other}"
        )
    if not (predictions.is_floating_point() and targets.is_floating_point()):
        raise ValueError(
            "predictions, and the projections that they are compared with, must be float, "
            f"got {predictions.dtype} and {targets.dtype}"
        )
    if len(predictions) < 2:
        raise ValueError(
            "a prediction is compared with the other views of its image, and there is 1 view; "
            "use an augmentation that makes 2 or more"
        )
