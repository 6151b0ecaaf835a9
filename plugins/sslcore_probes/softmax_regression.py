"""Multinomial logistic regression with an L2 penalty, several problems at once.

The objective is that of scikit-learn's `LogisticRegression(C=1 / l2)`: the sum over samples of the
cross-entropy, plus l2 / 2 times the squared weights; the bias is free. It is strictly convex in
the weights, so there is one answer, and the solver is L-BFGS (Liu and Nocedal 1989) with an
accurate line search, which costs little because logits are linear in the weights.

P problems, N samples, F features, K classes. Classes come before samples, since the products with
the features are several times faster that way.
"""

from __future__ import annotations

from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor

#: Pairs of steps and gradient differences that L-BFGS keeps.
_MEMORY = 10

#: A line search ends where the slope is this part of what it was, or after so many trials.
_SLOPE_LEFT, _TRIALS = 0.3, 40


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
        tolerance: a problem is solved when the next step promises to lower its objective by less
            than this, in nats per sample.
        max_iterations: when to stop at the latest.
    """
    problems, samples, dimensions = features.shape
    if start is not None or 2 * samples > dimensions:
        if start is None:
            start = features.new_zeros(problems, num_classes, dimensions + 1)
        return _solve(features, targets, start, l2, tolerance, max_iterations)
    # The best weights are a combination of the samples, so a basis of these is room enough.
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
    weights: Tensor,
    l2: float,
    tolerance: float,
    max_iterations: int,
) -> Tensor:
    """Return the solution (P, K, F + 1), sought from `weights` on; the rest is as in `fit`."""
    samples, num_classes = features.shape[1], weights.shape[1]
    wanted = F.one_hot(targets, num_classes).to(features.dtype).mT.contiguous()
    penalty = features.new_full((weights.shape[2],), l2)
    penalty[-1] = 0
    scores = logits(features, weights)
    probabilities = scores.softmax(1)
    gradient = _gradient(features, probabilities - wanted, penalty * weights)
    history: deque[Curvature] = deque(maxlen=_MEMORY)
    unsolved = features.new_ones(len(features), 1, 1, dtype=torch.bool)
    for _ in range(max_iterations):
        step = -inverse_hessian_times(gradient, history, samples)
        unsolved = unsolved & (-_dot(gradient, step) > tolerance * samples)
        if not bool(unsolved.any()):
            break
        step = torch.where(unsolved, step, 0)
        change = logits(features, step)
        line = Line(
            scores,
            change,
            wanted,
            penalty_slope=_dot(penalty * weights, step),
            penalty_curvature=_dot(penalty * step, step),
        )
        length, probabilities = line.search(probabilities)
        step = length * step
        weights, scores = weights + step, scores + length * change
        previous = gradient
        gradient = _gradient(features, probabilities - wanted, penalty * weights)
        history.append(Curvature(step, gradient - previous))
    return weights


def _gradient(features: Tensor, residuals: Tensor, penalty: Tensor) -> Tensor:
    """Return the gradient (P, K, F + 1) for residuals (P, K, N): probability less target."""
    return torch.cat([residuals @ features, residuals.sum(2, keepdim=True)], 2) + penalty


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """Return the inner product of each problem, (P, 1, 1)."""
    return (first * second).sum((1, 2), keepdim=True)


class Curvature:
    """What L-BFGS learns from a step and the change of the gradient over it, (P, K, F + 1) each.

    A problem in which the two don't have an angle below 90 degrees, as when it is solved already,
    is told nothing.
    """

    def __init__(self, step: Tensor, difference: Tensor) -> None:
        self.step, self.difference = step, difference
        along = _dot(step, difference)
        known = along > torch.finfo(along.dtype).tiny
        self.inverse = torch.where(known, 1 / along, 0)
        self.scale = torch.where(known, along / _dot(difference, difference), 1)


def inverse_hessian_times(gradient: Tensor, history: deque[Curvature], samples: int) -> Tensor:
    """Return the L-BFGS estimate of the inverse Hessian times the gradient, (P, K, F + 1)."""
    parts: list[Tensor] = []
    for pair in reversed(history):
        part = pair.inverse * _dot(pair.step, gradient)
        gradient = gradient - part * pair.difference
        parts.append(part)
    gradient = gradient * (history[-1].scale if history else 2 / samples)
    for pair, part in zip(history, reversed(parts), strict=True):
        gradient = gradient + pair.step * (part - pair.inverse * _dot(pair.difference, gradient))
    return gradient


class Line:
    """The objective along a step of each problem, as a function of the length (P, 1, 1) gone.

    Args:
        scores: logits at length 0, (P, K, N).
        change: of the logits along the step, (P, K, N).
        wanted: one-hot targets, (P, K, N).
        penalty_slope: of the penalty at length 0, (P, 1, 1).
        penalty_curvature: of the penalty, (P, 1, 1).
    """

    def __init__(
        self,
        scores: Tensor,
        change: Tensor,
        wanted: Tensor,
        penalty_slope: Tensor,
        penalty_curvature: Tensor,
    ) -> None:
        self.scores, self.change, self.wanted = scores, change, wanted
        self.penalty_slope, self.penalty_curvature = penalty_slope, penalty_curvature

    def derivatives(self, length: Tensor, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Return the slope and the curvature, (P, 1, 1), where the probabilities are (P, K, N)."""
        mean = (probabilities * self.change).sum(1, keepdim=True)
        slope = _dot(probabilities - self.wanted, self.change)
        curvature = _dot(probabilities, (self.change - mean).square())
        return (
            slope + self.penalty_slope + length * self.penalty_curvature,
            curvature + self.penalty_curvature,
        )

    def search(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Return a length near the lowest point, and the probabilities (P, K, N) there.

        Newton's method, kept between the longest length known to be too short and the shortest
        known to be too long.

        Args:
            probabilities: at length 0, (P, K, N).
        """
        length = torch.zeros_like(self.penalty_slope)
        short, long = length, torch.full_like(length, torch.inf)
        slope, curvature = self.derivatives(length, probabilities)
        steepest = slope.abs()
        for _ in range(_TRIALS):
            newton = length - slope / torch.where(curvature > 0, curvature, 1)
            farthest = 10 * length.clamp_min(1)
            middle = torch.where(long.isinf(), farthest, (short + long) / 2)
            inside = (newton > short) & (newton < torch.minimum(long, farthest))
            length = torch.where(inside, newton, middle)
            probabilities = (self.scores + length * self.change).softmax(1)
            slope, curvature = self.derivatives(length, probabilities)
            if bool((slope.abs() <= _SLOPE_LEFT * steepest).all()):
                break
            short = torch.where(slope < 0, length, short)
            long = torch.where(slope > 0, length, long)
        return length, probabilities
