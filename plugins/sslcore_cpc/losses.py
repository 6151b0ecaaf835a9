"""Losses over predictions of later features: contrastive and squared error."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.functional import unit_rows, without_autocast


class CPCLoss(TypedDict):
    """What `cpc` returns, two scalars.

    Attributes:
        loss: with graph.
        accuracy: how often the right features score above all others, in [0, 1].
    """

    loss: Tensor
    accuracy: Tensor


def aligned(step_predictions: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Return every prediction and the features that it predicts, (P, B, F) each.

    P counts the pairs (k, t) with t + k < V, k slowest: P = Σₖ (V − k).

    Args:
        step_predictions: (K, V, B, F), K < V; entry [k-1, t] predicts `features[t + k]`.
        features: (V, B, F).

    Raises:
        ValueError: the shapes are other ones or empty.
    """
    if (
        features.dim() != 3
        or step_predictions.dim() != 4
        or step_predictions.shape[1:] != features.shape
        or not 0 < len(step_predictions) < len(features)
        or features.numel() == 0
    ):
        raise ValueError(
            "step_predictions must be of shape (K, V, B, F) and features of shape (V, B, F), "
            f"with 0 < K < V; got {tuple(step_predictions.shape)} and {tuple(features.shape)}"
        )
    views = len(features)
    ahead = range(1, len(step_predictions) + 1)
    predictions = torch.cat([step_predictions[k - 1, : views - k] for k in ahead])
    return predictions, torch.cat([features[k:] for k in ahead])


def cpc_scores(
    step_predictions: Tensor,
    features: Tensor,
    *,
    temperature: float,
    normalize: bool,
    negatives: Literal["images", "positions"],
) -> tuple[Tensor, Tensor]:
    """Return the scores (P, B, N) of all candidates, and which is right, int64 (P, B).

    Candidates are the features of all images at the predicted position (N = B), or with
    `"positions"` those at every position (N = V·B, position slowest). The score is the dot
    product, log-bilinear in context and features since the prediction is Wₖcₜ (eq. 3).

    The arguments and errors are those of `cpc`.
    """
    predictions, targets = aligned(step_predictions, features)
    views, batch, _ = features.shape
    if batch < 2 and negatives == "images":
        raise ValueError(
            "CPC takes its negatives from the other images of the batch, which has 1; "
            "give at least 2"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    exact = torch.promote_types(
        torch.promote_types(predictions.dtype, features.dtype), torch.float32
    )
    own = torch.arange(batch, device=features.device).expand(len(predictions), batch)
    # Autocast would take the product in low precision, whose error 1/temperature multiplies.
    with without_autocast(features.device):
        scale = unit_rows if normalize else _unchanged
        predictions = scale(predictions.to(exact)) / temperature
        if negatives == "images":
            return predictions @ scale(targets.to(exact)).mT, own
        ahead = range(1, len(step_predictions) + 1)
        positions = torch.cat([torch.arange(k, views, device=own.device) for k in ahead])
        candidates = scale(features.to(exact)).flatten(0, 1)
        return predictions @ candidates.T, positions[:, None] * batch + own


def cpc(
    step_predictions: Tensor,
    features: Tensor,
    *,
    temperature: float = 1.0,
    normalize: bool = False,
    negatives: Literal["images", "positions"] = "images",
) -> CPCLoss:
    """Return InfoNCE of the predictions (eq. 4), the mean over images and pairs (k, t).

    Low precision is computed in float32, also under autocast, and the loss returned in the
    inputs' type.

    Args:
        step_predictions: (K, V, B, F), K < V; entry [k-1, t] predicts `features[t + k]`.
        features: (V, B, F).
        temperature: > 0, divides the scores.
        normalize: whether the score is the cosine; if not, the dot product.
        negatives: `"images"`: the other images at the predicted position, B ≥ 2;
            `"positions"`: every position of every image.

    Raises:
        ValueError: the shapes are other ones or empty, there are no negatives, or the temperature
            is not positive.
    """
    scores, right = cpc_scores(
        step_predictions,
        features,
        temperature=temperature,
        normalize=normalize,
        negatives=negatives,
    )
    # A tie is no success, or collapsed features would score 1.
    as_high = scores >= scores.gather(-1, right.unsqueeze(-1))
    accuracy = (as_high.sum(-1) == 1).float().mean()
    loss = F.cross_entropy(scores.flatten(0, 1), right.flatten())
    kept = torch.promote_types(step_predictions.dtype, features.dtype)
    return {"loss": loss.to(kept), "accuracy": accuracy}


def predictive_coding(step_predictions: Tensor, features: Tensor) -> Tensor:
    """Return the mean of (prediction − features)² over entries, images and pairs (k, t).

    No gradient reaches the features as targets. Low precision is computed in float32, and the
    result returned in the inputs' type.

    Args:
        step_predictions: (K, V, B, F), K < V; entry [k-1, t] predicts `features[t + k]`.
        features: (V, B, F).

    Raises:
        ValueError: the shapes are other ones or empty.
    """
    predictions, targets = aligned(step_predictions, features.detach())
    kept = torch.promote_types(predictions.dtype, targets.dtype)
    exact = torch.promote_types(kept, torch.float32)
    return (predictions.to(exact) - targets.to(exact)).square().mean().to(kept)


def _unchanged(rows: Tensor) -> Tensor:
    return rows


class CPC(nn.Module):
    """InfoNCE of the predicted features among those of the batch (van den Oord et al. 2018, eq. 4).

    Args:
        temperature: divisor of the scores, > 0. Lower values give more weight to the negatives
            with the highest scores.
        normalize: whether the score is the cosine, which wants a temperature near 0.1; if not,
            the paper's dot product.
        negatives: "images" contrasts with the other images at the predicted position,
            "positions" with every position of every image.
    """

    def __init__(
        self,
        *,
        temperature: Annotated[float, Gt(0)] = 1.0,
        normalize: bool = False,
        negatives: Literal["images", "positions"] = "images",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.normalize = normalize
        self.negatives: Literal["images", "positions"] = negatives

    def forward(self, step_predictions: Tensor, features: Tensor) -> CPCLoss:
        """Score step_predictions (K, V, B, F) against features (V, B, F).

        Raises:
            ValueError: the shapes are other ones or empty, or there are no negatives.
        """
        return cpc(
            step_predictions,
            features,
            temperature=self.temperature,
            normalize=self.normalize,
            negatives=self.negatives,
        )


class PredictiveCoding(nn.Module):
    """Mean squared error of predicted against actual later features.

    After Rao & Ballard 1999. The features are targets without gradient; what is still trained
    through them is the context.
    """

    def forward(self, step_predictions: Tensor, features: Tensor) -> Tensor:
        """Score step_predictions (K, V, B, F) against features (V, B, F), as a scalar.

        Raises:
            ValueError: the shapes are other ones or empty.
        """
        return predictive_coding(step_predictions, features)
