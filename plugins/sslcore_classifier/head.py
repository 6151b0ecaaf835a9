"""The linear classifier."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Lt
from torch import Tensor, nn

from sslcore.signals import Logits


class Classifier(nn.Module):
    """A linear layer from features to logits, one for each class.

    Its weights begin at zero, so that at first all classes are equally likely.

    Args:
        feature_dim: length of a feature vector.
        num_classes: number of classes K.
        dropout: fraction of the features dropped in training.

    Raises:
        ValueError: the data has no classes.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        *,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        if not num_classes:
            raise ValueError("a classifier needs labelled images; class folders are labels")
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(feature_dim, num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Logits:
        """Turn `features` (V, B, F) into `logits` (V, B, K)."""
        return {"logits": self.linear(self.dropout(features))}
