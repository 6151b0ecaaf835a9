"""The loss of MoCo v3: an image's key against the keys of the other images of the batch."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn

from sslcore.contrastive import contrast, positions
from sslcore_moco.contrast import check_view_count, check_views, unit_queries_and_keys


class MomentumContrast(nn.Module):
    """Tell an image's key from the keys of the other images of the batch, in both directions.

    MoCo v3 (Chen, Xie & He 2021), equation (1) and algorithm 1. With queries q the student's
    predictions, k the teacher's projections of the other view, all of unit length, and k₊ the key
    of the query's own image,

        L(q, k) = 2τ · mean over images of -log( exp(q·k₊ / τ) / Σ exp(q·k / τ) ),

    where the sum goes over the keys of all images, k₊ among them; the loss is the sum
    L(q₁, k₂) + L(q₂, k₁). Its factor 2τ makes the size of the gradient depend less on τ. No
    gradient reaches the teacher.

    Args:
        num_views: views per image; this loss compares 2.
        temperature: τ, the divisor of cosine similarities, > 0: 0.2 for the paper's vision
            transformers; its code uses 1.0 for ResNet-50.

    Raises:
        ValueError: there are not two views, or (when called) predictions and teacher projections
            are not float of one shape (2, B, D) with B ≥ 2.
    """

    def __init__(self, num_views: int = 2, *, temperature: Annotated[float, Gt(0)] = 0.2) -> None:
        super().__init__()
        check_view_count(num_views, 2)
        self.temperature = temperature

    def forward(
        self, predictions: Tensor, teacher_projections: Tensor, rows: slice | None = None
    ) -> Tensor:
        """Score `predictions` (2, B, D) against `teacher_projections` (2, B, D), as a scalar.

        Given `rows`, positions in B, only the predictions of these images are queries, of all keys.
        """
        check_views(predictions, teacher_projections, "predictions", 2)
        count = predictions.shape[1]
        if count < 2:
            raise ValueError(
                "MoCo v3 takes its negatives from the other images of the batch, which has "
                f"{count}; give at least 2"
            )
        queries, keys = unit_queries_and_keys(predictions, teacher_projections)
        here = positions(rows, count)
        own = torch.arange(here.start, here.stop, device=queries.device)
        both = (contrast(queries[i, here], keys[1 - i], own, self.temperature) for i in (0, 1))
        loss = 2 * self.temperature * sum(both, start=queries.new_zeros(()))
        return loss.to(torch.promote_types(predictions.dtype, teacher_projections.dtype))
