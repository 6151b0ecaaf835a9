"""The autoregressive head of contrastive predictive coding."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn

from sslcore.signals import StepPredictions


class Autoregressive(nn.Module):
    """A GRU sums the views up to t in a context; a matrix Wₖ predicts view t + k from it.

    Van den Oord et al. 2018, section 2.2 and eq. 3.

    Args:
        feature_dim: length of a feature vector.
        num_views: views per image, in the order in which they are read.
        context: length of the context vector.
        steps: number of steps ahead that are predicted, less than the number of views.

    Raises:
        ValueError: there are too few views to predict that many steps ahead.
    """

    def __init__(
        self,
        feature_dim: int,
        num_views: int,
        *,
        context: Annotated[int, Gt(0)] = 128,
        steps: Annotated[int, Gt(0)] = 3,
    ) -> None:
        super().__init__()
        if steps >= num_views:
            raise ValueError(
                f"steps is {steps}, which needs {steps + 1} views, and there are {num_views}; "
                "predict fewer steps or make more views"
            )
        self.steps = steps
        self.context = nn.GRU(feature_dim, context)
        self.predictors = nn.Linear(context, steps * feature_dim, bias=False)

    def forward(self, features: Tensor) -> StepPredictions:
        """Turn features (V, B, F) into step_predictions (K, V, B, F).

        Entry [k-1, t] predicts `features[t + k]` from `features[: t + 1]`.
        """
        contexts, _ = self.context(features)
        predictions = self.predictors(contexts).unflatten(-1, (self.steps, -1))
        return {"step_predictions": predictions.movedim(-2, 0)}
