"""Losses of the statistics of each dimension over the batch: VICReg and Barlow Twins."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from sslcore.functional import unit_rows, without_autocast

#: ε under the root of a deviation (Bardes et al. 2022, equation (2) and section 4.2).
_EPSILON = 1e-4
#: A dimension counts as constant if its range is at most this many roundings of its largest entry.
_ROUNDINGS = 8


class VICReg(nn.Module):
    """Near views, a minimum variance of each dimension, and no covariance between dimensions.

    VICReg (Bardes et al. 2022), equations (1) to (6): with the projections Z and Z' of two views,

        L = λ s(Z, Z') + μ (v(Z) + v(Z')) + ν (c(Z) + c(Z')),

    s the mean squared distance of the two views of an image, v the mean over dimensions of
    max(0, 1 − √(Var + 10⁻⁴)), c the sum over pairs of dimensions of their squared covariance,
    divided by D. As in the authors' code, with which the weights 25, 25 and 1 were found, s is
    a mean over dimensions too, and v one over the views: equation (5) sums over dimensions and
    equation (6) over views.

    For more than two views, the loss is the mean over all pairs of views. Statistics are computed
    over the whole batch.

    Args:
        similarity: λ, weight of the distance between views (invariance term), ≥ 0.
        variance: μ, weight of the hinge on the standard deviation of each dimension, ≥ 0.
        covariance: ν, weight of the covariances between dimensions, ≥ 0.

    Raises:
        ValueError: a weight is negative, or (when called) the projections are not float
            (V, N, D) with V ≥ 2 views of N ≥ 2 images.
    """

    def __init__(
        self,
        *,
        similarity: Annotated[float, Ge(0)] = 25.0,
        variance: Annotated[float, Ge(0)] = 25.0,
        covariance: Annotated[float, Ge(0)] = 1.0,
    ) -> None:
        super().__init__()
        self.similarity = _weight("similarity", similarity)
        self.variance = _weight("variance", variance)
        self.covariance = _weight("covariance", covariance)

    def forward(self, projections: Tensor) -> Tensor:
        """Return the loss of `projections` (V, N, D), a scalar."""
        _check(projections)
        views, count, dim = projections.shape
        exact = projections.to(torch.promote_types(projections.dtype, torch.float32))
        gaps = [
            (first - second).square().mean() for first, second in combinations(exact.unbind(), 2)
        ]
        centred = exact - exact.mean(1, keepdim=True)
        deviation = (centred.square().sum(1) / (count - 1) + _EPSILON).sqrt()
        with without_autocast(exact.device):
            covariance = centred.mT @ centred / (count - 1)
        overlap = 2 / views * _off_diagonal(covariance).square().sum() / dim
        loss = (
            self.similarity * torch.stack(gaps).mean()
            + self.variance * (1 - deviation).clamp_min(0).mean()
            + self.covariance * overlap
        )
        return loss.to(projections.dtype)


class BarlowTwins(nn.Module):
    """Correlations between the dimensions of two views: 1 with the same dimension, 0 with others.

    Barlow Twins (Zbontar et al. 2021), equations (1) and (2): with C_ij the correlation over the
    batch of dimension i of one view with dimension j of the other,

        L = Σ_i (1 − C_ii)² + λ Σ_i Σ_{j ≠ i} C_ij².

    A dimension that is constant over the batch has correlation 0 with all others, and gets no
    gradient. For more than two views, the loss is the mean over all pairs of views. Statistics are
    computed over the whole batch. The paper's code adds 10⁻⁵ to each variance, as its batch norm
    does; this loss adds nothing, which makes a difference for dimensions with a spread of about
    0.01 or less.

    Args:
        redundancy_weight: λ, weight of the correlations between different dimensions, ≥ 0.

    Raises:
        ValueError: the weight is negative, or (when called) the projections are not float
            (V, N, D) with V ≥ 2 views of N ≥ 2 images.
    """

    def __init__(self, *, redundancy_weight: Annotated[float, Ge(0)] = 0.005) -> None:
        super().__init__()
        self.redundancy_weight = _weight("redundancy_weight", redundancy_weight)

    def forward(self, projections: Tensor) -> Tensor:
        """Return the loss of `projections` (V, N, D), a scalar."""
        _check(projections)
        exact = projections.to(torch.promote_types(projections.dtype, torch.float32))
        unit = unit_rows(_centred(exact).mT)
        losses = []
        for first, second in combinations(unit.unbind(), 2):
            with without_autocast(unit.device):
                correlation = first @ second.mT
            own = (1 - correlation.diagonal()).square().sum()
            others = _off_diagonal(correlation).square().sum()
            losses.append(own + self.redundancy_weight * others)
        return torch.stack(losses).mean().to(projections.dtype)


def _centred(projections: Tensor) -> Tensor:
    """Return projections (V, N, D) minus their mean over N, exactly 0 if all rows are equal."""
    centred = projections - projections.mean(1, keepdim=True)
    with torch.no_grad():
        # The rounding errors of a constant dimension would correlate like real values.
        rounding = _ROUNDINGS * torch.finfo(projections.dtype).eps
        spread = centred.abs().amax(1, keepdim=True)
        constant = spread <= rounding * projections.abs().amax(1, keepdim=True)
    return centred.masked_fill(constant, 0)


def _off_diagonal(square: Tensor) -> Tensor:
    """Return matrices (..., D, D) with zeros on their diagonals."""
    diagonal = torch.eye(square.shape[-1], dtype=torch.bool, device=square.device)
    return square.masked_fill(diagonal, 0)


def _weight(name: str, value: float) -> float:
    if not value >= 0:
        raise ValueError(f"{name}: expected a number ≥ 0, got {value}")
    return value


def _check(projections: Tensor) -> None:
    shape = tuple(projections.shape)
    if len(shape) != 3 or not projections.is_floating_point() or not all(shape):
        raise ValueError(
            "projections must be float of shape (V, N, D), views of N images, "
            f"got {projections.dtype} of shape {shape}"
        )
    if shape[0] < 2:
        raise ValueError(
            "the views of an image are compared, and there is 1 view; "
            "use an augmentation that makes 2 or more"
        )
    if shape[1] < 2:
        raise ValueError("statistics over the batch need at least 2 images, got 1")
