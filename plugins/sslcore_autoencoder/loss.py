"""Mean squared error of reconstructions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mean_squared_error(reconstructions: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over all entries of (reconstructions − targets)², a scalar.

    Low precision is squared and summed in float32, and the result returned in the inputs' type.

    Args:
        reconstructions: any shape but an empty one.
        targets: the same shape.

    Raises:
        ValueError: the shapes differ, even where one would broadcast, or there are no entries.
    """
    if reconstructions.shape != targets.shape:
        raise ValueError(
            f"reconstructions have shape {tuple(reconstructions.shape)} but what they should "
            f"look like has {tuple(targets.shape)}; the two must be equal"
        )
    if reconstructions.numel() == 0:
        raise ValueError(
            f"there is nothing to compare in tensors of shape {tuple(targets.shape)}; "
            "give at least one image"
        )
    kept = torch.promote_types(reconstructions.dtype, targets.dtype)
    exact = torch.promote_types(kept, torch.float32)
    return (reconstructions.to(exact) - targets.to(exact)).square().mean().to(kept)


class MSE(nn.Module):
    """Mean squared error against the undisturbed views (Vincent et al. 2010, section 2.2)."""

    def forward(
        self, reconstructions: Tensor, views: Tensor, targets: Tensor | None = None
    ) -> Tensor:
        """Score reconstructions (V, B, C, h, w) against targets, or views where there are none.

        Args:
            reconstructions: (V, B, C, h, w).
            views: (V, B, C, h, w), what the encoder saw.
            targets: (V, B, C, h, w), what it should have seen; None where that is the same.

        Raises:
            ValueError: the shapes differ or are empty.
        """
        return mean_squared_error(reconstructions, views if targets is None else targets)
