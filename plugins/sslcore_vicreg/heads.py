"""The expander: a head wider than the features."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn

from sslcore.layers import perceptron
from sslcore.signals import Projections


class Expander(nn.Module):
    """A multilayer perceptron with batch normalisation, to projections longer than the features.

    By default it is the expander of VICReg (Bardes et al. 2022, section 4.2), which is also the
    projector of Barlow Twins (Zbontar et al. 2021, section 2.2): three layers of 8192, with batch
    normalisation and a ReLU after all but the last. Batch statistics are computed over all views
    together.

    Args:
        feature_dim: length of a feature vector.
        hidden: widths of the hidden layers; an empty list makes the head one linear layer.
        dim: length of a projection.
    """

    def __init__(
        self,
        feature_dim: int,
        *,
        hidden: tuple[Annotated[int, Ge(1)], ...] = (8192, 8192),
        dim: Annotated[int, Ge(1)] = 8192,
    ) -> None:
        super().__init__()
        self.layers = perceptron((feature_dim, *hidden, dim), batch_norm=True)

    def forward(self, features: Tensor) -> Projections:
        """Project `features` (V, B, F) to `projections` (V, B, dim)."""
        made: Tensor = self.layers(features.flatten(0, 1))
        return {"projections": made.unflatten(0, features.shape[:2])}
