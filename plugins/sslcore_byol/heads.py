"""The prediction head: a projector, and a predictor on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor, nn

from sslcore.layers import perceptron
from sslcore.signals import Predictions


class Prediction(nn.Module):
    """A projector from features to projections, and a predictor from these to predictions.

    Both are multilayer perceptrons with batch normalisation after each hidden layer. The predictor
    has the projections' length as input and output. By default they are those of BYOL (Grill et
    al. 2020, section 3.3). With other settings they are those of

    - SimSiam (Chen & He 2021, section 3): `hidden=(2048, 2048)`, `dim=2048`,
      `predictor_hidden=(512,)`, `norm_output=True`;
    - MoCo v3 (Chen, Xie & He 2021, "MLP heads"): `hidden=(4096, 4096)`, `dim=256`,
      `predictor_hidden=(4096,)`, `norm_output=True`, `norm_predictions=True`.

    Batch statistics are those of all views together.

    Args:
        feature_dim: length of a feature vector.
        hidden: widths of the projector's hidden layers; an empty list makes it one linear layer.
        dim: length of a projection, and of a prediction.
        predictor_hidden: widths of the predictor's hidden layers; an empty list makes it one linear
            layer.
        norm_output: whether projections are normalised over the batch, without a learned scale
            or shift.
        norm_predictions: whether predictions are normalised over the batch, without a learned scale
            or shift.
    """

    parameter_roles: ClassVar[Mapping[str, str]] = {"predictor": "predictor"}

    def __init__(
        self,
        feature_dim: int,
        *,
        hidden: tuple[Annotated[int, Ge(1)], ...] = (4096,),
        dim: Annotated[int, Ge(1)] = 256,
        predictor_hidden: tuple[Annotated[int, Ge(1)], ...] = (4096,),
        norm_output: bool = False,
        norm_predictions: bool = False,
    ) -> None:
        super().__init__()
        self.projector = perceptron(
            (feature_dim, *hidden, dim), batch_norm=True, norm_output=norm_output
        )
        self.predictor = perceptron(
            (dim, *predictor_hidden, dim), batch_norm=True, norm_output=norm_predictions
        )

    def forward(self, features: Tensor) -> Predictions:
        """Turn `features` (V, B, F) into `projections` and `predictions`, (V, B, dim) each."""
        views = features.shape[:2]
        projections = self.projector(features.flatten(0, 1))
        predictions = self.predictor(projections)
        return {
            "projections": projections.unflatten(0, views),
            "predictions": predictions.unflatten(0, views),
        }
