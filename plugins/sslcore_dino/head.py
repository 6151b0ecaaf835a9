"""The head of DINO: cosines with prototypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.layers import perceptron
from sslcore.signals import Projections


class Prototypes(nn.Module):
    """A multilayer perceptron, unit length, and cosines with `dim` prototypes (DINO, appendix C).

    The last layer of the paper is weight-normalised with a norm fixed at 1: its output is the
    cosine of the bottleneck with each prototype.

    Args:
        feature_dim: length of a feature vector.
        hidden: widths of the hidden layers, each followed by a GELU.
        bottleneck: length of the vector that is compared with the prototypes.
        dim: number of prototypes, the length of a projection.
        batch_norm: whether to normalise over the batch after each hidden layer; the paper does not
            with transformers (appendix C), and networks without layer norm collapse early.
        freeze: fraction of training, from its start, in which the prototypes are fixed, in
            [0, 1]; the paper has the first epoch of 100.
    """

    parameter_roles: ClassVar[Mapping[str, str]] = {"prototypes": "prototypes"}

    def __init__(
        self,
        feature_dim: int,
        *,
        hidden: tuple[Annotated[int, Ge(1)], ...] = (2048, 2048),
        bottleneck: Annotated[int, Ge(1)] = 256,
        dim: Annotated[int, Ge(2)] = 65536,
        batch_norm: bool = False,
        freeze: Annotated[float, Ge(0), Le(1)] = 0.01,
    ) -> None:
        super().__init__()
        self.layers = perceptron(
            (feature_dim, *hidden, bottleneck), batch_norm=batch_norm, activation=nn.GELU
        )
        self.prototypes = nn.Parameter(torch.empty(dim, bottleneck))
        self.freeze = freeze
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.trunc_normal_(self.prototypes, std=0.02)

    def forward(self, features: Tensor, progress: float = 1.0) -> Projections:
        """Turn `features` (V, B, F) into `projections` (V, B, dim), cosines in [-1, 1]."""
        prototypes = self.prototypes.detach() if progress < self.freeze else self.prototypes
        compared = self.layers(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        compared = F.normalize(compared, dim=-1)
        return {"projections": F.linear(compared, F.normalize(prototypes, dim=-1))}
