"""Multinomial logistic regression with an L2 penalty, several problems at once.

The objective is that of scikit-learn's `LogisticRegression(C=1 / l2)`: the sum over samples of the
cross-entropy, plus l2 / 2 times the squared weights; the bias has no penalty. The objective is
strictly convex in the weights, so there is one solution. L-BFGS finds it (Liu and Nocedal 1989).

P problems, N samples, F features, K classes. Classes come before samples, because the products
with the features are several times faster in that order.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

#: Pairs of steps and gradient differences that L-BFGS keeps.
_MEMORY = 10


def fit(
    features: Tensor,
    targets: Tensor,
    num_classes: int,
    *,
    l2: float,
    start: Tensor | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 300,
) -> Tensor:
    """Return the weights (P, K, F + 1) of P independent problems; the last column is the bias.

    Args:
        features: (P, N, F), of about unit scale.
        targets: class indices, (P, N) int64.
        num_classes: K.
        l2: the penalty, > 0.
        start: weights to start from, (P, K, F + 1); zero by default.
        tolerance: the search stops where a step changes the objective, summed over the problems,
            by less than this, in nats per sample.
        max_iterations: the largest number of steps.
    """
    problems, samples, dimensions = features.shape
    if start is not None or 2 * samples > dimensions:
        if start is None:
            start = features.new_zeros(problems, num_classes, dimensions + 1)
        return _solve(features, targets, start, l2, tolerance, max_iterations)
    # The solution is a linear combination of the samples, so it is found in a basis of their span.
    basis, coordinates = torch.linalg.qr(features.mT)
    start = features.new_zeros(problems, num_classes, samples + 1)
    weights = _solve(coordinates.mT, targets, start, l2, tolerance, max_iterations)
    return torch.cat([weights[..., :-1] @ basis.mT, weights[..., -1:]], -1)


def logits(features: Tensor, weights: Tensor) -> Tensor:
    """Return the logits (..., K, N) of features (..., N, F) under weights (..., K, F + 1)."""
    return weights[..., :-1] @ features.mT + weights[..., -1:]


def _solve(
    features: Tensor,
    targets: Tensor,
    start: Tensor,
    l2: float,
    tolerance: float,
    max_iterations: int,
) -> Tensor:
    """Return the solution (P, K, F + 1), searched from `start`; the rest is as in `fit`."""
    wanted = F.one_hot(targets, start.shape[1]).to(features.dtype).mT.contiguous()

    def gap(scores: Tensor) -> tuple[Tensor, Tensor]:
        log_probabilities = scores.log_softmax(1)
        return log_probabilities.exp() - wanted, -(log_probabilities * wanted).sum()

    return minimize(features, start, gap, l2, tolerance, max_iterations)


def minimize(
    features: Tensor,
    start: Tensor,
    gap: Callable[[Tensor], tuple[Tensor, Tensor]],
    l2: float,
    tolerance: float,
    max_iterations: int,
) -> Tensor:
    """Return weights (P, K, F + 1) of the least penalised sum of losses, searched from `start`.

    Args:
        features: (P, N, F).
        start: weights, (P, K, F + 1).
        gap: from logits (P, K, N) to the derivatives of the losses by them, (P, K, N), and the sum
            of the losses.
        l2: the penalty.
        tolerance: as in `fit`.
        max_iterations: as in `fit`.
    """
    samples = features.shape[1]
    # The problems are independent, so the lowest point of their sum is that of each.
    weights = start.clone()
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=max_iterations,
        # Only iterations count: a line search rarely takes more than two evaluations.
        max_eval=25 * max_iterations,
        history_size=_MEMORY,
        tolerance_grad=0,
        tolerance_change=tolerance,
        line_search_fn="strong_wolfe",
    )

    @torch.no_grad()
    def objective() -> float:
        """Return the mean over samples at `weights`, and leave its gradient there."""
        residuals, loss = gap(logits(features, weights))
        gradient = torch.cat([residuals @ features, residuals.sum(2, keepdim=True)], 2)
        gradient[..., :-1] += l2 * weights[..., :-1]
        weights.grad = gradient / samples
        penalty = l2 / 2 * weights[..., :-1].square().sum()
        return float(penalty + loss) / samples

    optimizer.step(objective)
    return weights
