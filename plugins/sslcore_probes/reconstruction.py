"""The evaluator of reconstructions, which gives raw pixels the principal components instead."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from sslcore_probes.checks import check_finite
from sslcore_probes.principal_components import blocks, principal_components


class Reconstruction:
    """Mean squared error of the reconstructed test views, in the units of the views.

    Raw pixels have no decoder: there, the reconstruction is that of the first principal components
    of the training views, which no other linear code of that length betters on them.

    Args:
        feature_dim: numbers in the features of an image, F; 32 where it is not known.
        components: principal components for raw pixels; none means F, so that both codes have the
            same length. Where there are fewer components, all are taken.
    """

    def __init__(
        self, feature_dim: int | None = None, *, components: Annotated[int, Ge(1)] | None = None
    ) -> None:
        self.components = components or feature_dim or 32

    @torch.no_grad()
    def __call__(
        self, train_views: Tensor, test_views: Tensor, reconstructions: Tensor | None = None
    ) -> dict[str, float]:
        """Return `reconstruction_mse`, ≥ 0.

        Args:
            train_views: (N, V, C, h, w).
            test_views: (M, V, C, h, w).
            reconstructions: of the test views, (M, V, C, h, w); None for principal components.

        Raises:
            ValueError: there are no views, shapes differ, or a value is not finite.
        """
        _check_views(test_views, "test")
        if reconstructions is None:
            _check_views(train_views, "training")
            if train_views.shape[2:] != test_views.shape[2:]:
                raise ValueError(
                    f"training views are of shape {tuple(train_views.shape[2:])} but test views "
                    f"of shape {tuple(test_views.shape[2:])}: make both with one augmentation"
                )
            error = _principal_component_error(train_views, test_views, self.components)
        else:
            if reconstructions.shape != test_views.shape:
                raise ValueError(
                    f"reconstructions are of shape {tuple(reconstructions.shape)} but test views "
                    f"of shape {tuple(test_views.shape)}: give one reconstruction for each view"
                )
            check_finite(reconstructions, "reconstructions", "test samples")
            error = _squared_error(reconstructions, test_views)
        return {"reconstruction_mse": error / test_views.numel()}


def _check_views(views: Tensor, split: str) -> None:
    if views.dim() != 5 or views.numel() == 0:
        raise ValueError(
            f"{split} views must be of shape (N, V, C, h, w) with at least one sample, "
            f"got {tuple(views.shape)}"
        )
    check_finite(views, f"{split} views", "samples")


def _squared_error(reconstructions: Tensor, views: Tensor) -> float:
    """Return the sum of squared differences of two tensors (M, V, C, h, w)."""
    pairs = zip(blocks(reconstructions.flatten(1)), blocks(views.flatten(1)), strict=True)
    return sum(float((made - wanted).square().sum()) for made, wanted in pairs)


def _principal_component_error(train_views: Tensor, test_views: Tensor, components: int) -> float:
    """Return the sum of squared errors on test views (M, V, C, h, w), each view a sample."""
    mean, directions = principal_components(train_views.flatten(0, 1).flatten(1), components)
    total = 0.0
    for views in blocks(test_views.flatten(0, 1).flatten(1)):
        centred = views - mean
        total += float((centred - centred @ directions @ directions.T).square().sum())
    return total
