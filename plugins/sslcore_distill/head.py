"""The head that takes a student's features to the length of its teacher's."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn

from sslcore.signals import Projections


class Adaptor(nn.Module):
    """A multilayer perceptron from features to projections as long as the teacher's features.

    It is the adaptor of Ranzinger et al. 2024, section 3: layer normalisation and GELU follow each
    hidden layer. No layer mixes the images of a batch.

    Args:
        feature_dim: length of a feature vector.
        teacher_feature_dim: length of a feature vector of the teacher.
        hidden: widths of the hidden layers; an empty list makes the head one linear layer.
    """

    def __init__(
        self,
        feature_dim: int,
        teacher_feature_dim: int,
        *,
        hidden: tuple[Annotated[int, Ge(1)], ...] = (512,),
    ) -> None:
        super().__init__()
        widths = (feature_dim, *hidden)
        layers = [
            layer
            for before, after in zip(widths, hidden, strict=False)
            for layer in (nn.Linear(before, after), nn.LayerNorm(after), nn.GELU())
        ]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], teacher_feature_dim))

    def forward(self, features: Tensor) -> Projections:
        """Project `features` (V, B, F) to `projections` (V, B, the length of the teacher's)."""
        return {"projections": self.layers(features)}
