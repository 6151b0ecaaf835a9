"""The modules behind `byol_plugin`."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from sslcore.signals import Predictions


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class Predictor(nn.Module):
    def __init__(self, feature_dim: int, *, dim: Annotated[int, Gt(0)] = 32) -> None:
        super().__init__()
        self.projector = _mlp(feature_dim, 64, dim)
        self.predictor = _mlp(dim, 64, dim)

    def forward(self, features: Tensor) -> Predictions:
        views = features.shape[:2]
        projections = self.projector(features.flatten(0, 1))
        predictions = self.predictor(projections)
        return {
            "projections": projections.unflatten(0, views),
            "predictions": predictions.unflatten(0, views),
        }


class BYOL(nn.Module):
    def forward(self, predictions: Tensor, teacher_projections: Tensor) -> Tensor:
        return 2 - 2 * cosine_similarity(predictions, teacher_projections.flip(0), dim=-1).mean()
