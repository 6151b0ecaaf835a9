"""Logistic regression of each class by itself, for images with several labels.

The objective of a class is that of scikit-learn's `LogisticRegression(C=1 / l2)` on two classes:
the image has the class, or has not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcore_probes.softmax_regression import logits, minimize

#: The penalties tried, strongest first: each solution is where the search for the next one starts.
_PENALTIES = (1e4, 1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2)
#: One in so many images is held out.
_PARTS = 5


def fit_each(
    features: Tensor,
    labels: Tensor,
    *,
    l2: float,
    start: Tensor | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 300,
) -> Tensor:
    """Return the weights (K, F + 1) of K independent problems; the last column is the bias.

    Args:
        features: (N, F), of about unit scale.
        labels: whether each class is there, (N, K) bool.
        l2: the penalty, > 0.
        start: weights to start from; zero by default.
        tolerance: as in `sslcore_probes.softmax_regression.fit`.
        max_iterations: the same.
    """
    wanted = labels.T[None].to(features.dtype)
    if start is None:
        start = features.new_zeros(labels.shape[1], features.shape[1] + 1)

    def gap(scores: Tensor) -> tuple[Tensor, Tensor]:
        loss = F.binary_cross_entropy_with_logits(scores, wanted, reduction="sum")
        return scores.sigmoid() - wanted, loss

    return minimize(features[None], start[None], gap, l2, tolerance, max_iterations)[0]


def choose_penalty(features: Tensor, labels: Tensor) -> float:
    """Return the penalty, one for all classes, of least held-out cross-entropy; 1 for few images.

    Every fifth image is held out, in the order of one random projection of the features, so that
    the order in which they come makes no difference.

    Args:
        features: standardised training features, (N, F).
        labels: whether each class is there, (N, K) bool.
    """
    direction = torch.randn(features.shape[1], generator=torch.Generator().manual_seed(0))
    order = (features @ direction.to(features)).argsort(stable=True)
    held = torch.arange(len(order), device=order.device) % _PARTS == _PARTS // 2
    fitted, tested = order[~held], order[held]
    if not len(tested):
        return 1.0
    best: tuple[float, float] | None = None
    start = None
    for penalty in _PENALTIES:
        start = fit_each(features[fitted], labels[fitted], l2=penalty, start=start, tolerance=1e-5)
        scores = logits(features[tested], start)
        loss = float(F.binary_cross_entropy_with_logits(scores, labels[tested].T.to(scores)))
        if best is not None and loss >= best[0]:
            break
        best = loss, penalty
    assert best is not None
    return best[1]
