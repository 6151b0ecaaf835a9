"""The projection head."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.signals import Projections


class Projection(nn.Module):
    """A multilayer perceptron from features to projections (SimCLR, Chen et al. 2020, section 4.2).

    Batch statistics, where there are any, are those of all views together.

    Args:
        feature_dim: length of a feature vector.
        hidden: widths of the hidden layers, each followed by a ReLU; an empty list makes the
            head one linear layer.
        dim: length of a projection.
        batch_norm: whether to normalise over the batch after each hidden layer.
        norm_output: whether to normalise the projections over the batch, with a learned scale and
            no shift, as the paper's code does.
        normalize: whether to scale the projections to unit length.
    """

    def __init__(
        self,
        feature_dim: int,
        *,
        hidden: tuple[Annotated[int, Ge(1)], ...] = (256,),
        dim: Annotated[int, Ge(1)] = 128,
        batch_norm: bool = False,
        norm_output: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = feature_dim
        for next_width in hidden:
            # Batch normalisation subtracts any bias that comes before it.
            layers.append(nn.Linear(width, next_width, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(next_width))
            layers.append(nn.ReLU(inplace=True))
            width = next_width
        layers.append(nn.Linear(width, dim, bias=not norm_output))
        if norm_output:
            layers.append(_scale_alone(nn.BatchNorm1d(dim)))
        self.layers = nn.Sequential(*layers)
        self.normalize = normalize

    def forward(self, features: Tensor) -> Projections:
        """Project `features` (V, B, F) to `projections` (V, B, dim)."""
        projections = self.layers(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        if self.normalize:
            projections = F.normalize(projections, dim=-1)
        return {"projections": projections}


def _scale_alone(norm: nn.BatchNorm1d) -> nn.BatchNorm1d:
    norm.register_parameter("bias", None)
    return norm
