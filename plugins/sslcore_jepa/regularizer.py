"""The loss of LeJEPA: views near their mean, and projections distributed as a standard normal."""

from __future__ import annotations

import math
from typing import Annotated, TypedDict

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from sslcore import BatchRandom
from sslcore.functional import without_autocast

#: Of the directions that are taken where there are no random numbers.
_SEED = 0
#: Uniform numbers this near to 0 or 1 are moved, where the normal quantile is infinite.
_EDGE = 2.0**-24


def directions(dim: int, count: int, random: BatchRandom | None = None) -> Tensor:
    """Return unit vectors of uniformly distributed directions, float32 (dim, count).

    Args:
        dim: their length in entries.
        count: how many.
        random: the step's random numbers; None returns the same directions at each call.
    """
    if random is None:
        drawn = torch.randn(dim, count, generator=torch.Generator().manual_seed(_SEED))
    else:
        uniform = random.shared("directions", dim, count).clamp(_EDGE, 1 - _EDGE)
        drawn = torch.special.ndtri(uniform)
    result: Tensor = drawn / drawn.norm(dim=0).clamp_min(1e-12)
    return result


def epps_pulley(samples: Tensor, points: int, largest: float) -> Tensor:
    """Return the distance of distributions from the standard normal one (Epps & Pulley 1983).

    With φ the empirical characteristic function of N samples,

        N ∫ |φ(t) − e^(−t²/2)|² e^(−t²/2) dt over |t| ≤ `largest`,

    by the trapezoidal rule on [0, `largest`], doubled.

    Args:
        samples: (V, N, M): M distributions, of each of V views.
        points: points of the trapezoidal rule, ≥ 2.
        largest: upper end of the integral, > 0.

    Returns:
        (V, M).
    """
    total = samples.new_zeros(samples.shape[0], samples.shape[2])
    step = largest / (points - 1)
    for position in range(points):
        at = position * step
        wanted = math.exp(-at * at / 2)
        weight = step if position in (0, points - 1) else 2 * step
        angles = samples * at
        off = (angles.cos().mean(1) - wanted).square() + angles.sin().mean(1).square()
        total = total + off * (weight * wanted)
    return total * samples.shape[1]


class LeJEPALoss(TypedDict):
    """The loss, and the two terms that it is made of, as scalars."""

    loss: Tensor
    prediction_error: Tensor
    sigreg: Tensor


class LeJEPA(nn.Module):
    """Views near the mean of their image, and projections as a standard normal distribution.

    LeJEPA (Balestriero & LeCun 2025): with the projections z_{v,n} of V views of N images, and μ_n
    the mean of the global views of an image,

        L = (1 − λ) mean of (z_{v,n} − μ_n)² + λ SIGReg,

    where SIGReg is the mean, over views and random directions a, of the statistic of Epps and
    Pulley of the numbers ⟨a, z_{v,n}⟩ (`epps_pulley`). As in the authors' code, the first term is
    a mean over dimensions too. There is no teacher, no negative, and no stopped gradient.

    Args:
        num_views: views per image, at least 2.
        weight: λ in [0, 1], the weight of SIGReg: 0.05 in the paper, 0.02 in the authors' example.
        global_views: how many views, the first ones, are averaged to μ; none means all. With
            `multi-crop`, 2 averages the global views alone, as in the paper.
        slices: random directions of a step; the paper has 1024, the authors' example 256.
        points: points of the integral.
        largest: upper end of the integral.

    Raises:
        ValueError: there is one view, there are fewer views than global views, or (when called)
            the projections are not float (V, N, D) with V ≥ 2 and N ≥ 2.
    """

    def __init__(
        self,
        num_views: int = 2,
        *,
        weight: Annotated[float, Ge(0), Le(1)] = 0.05,
        global_views: Annotated[int, Ge(1)] | None = None,
        slices: Annotated[int, Ge(1)] = 256,
        points: Annotated[int, Ge(2)] = 17,
        largest: Annotated[float, Gt(0)] = 3.0,
    ) -> None:
        super().__init__()
        if num_views < 2:
            raise ValueError(
                f"the views of an image are compared, and the augmentation makes {num_views}; use "
                "one that makes 2 or more"
            )
        if global_views is not None and global_views > num_views:
            raise ValueError(
                f"global_views: {global_views} of {num_views} views can't be global; set at most "
                f"{num_views}"
            )
        self.weight, self.global_views = weight, global_views
        self.slices, self.points, self.largest = slices, points, largest

    def forward(self, projections: Tensor, random: BatchRandom | None = None) -> LeJEPALoss:
        """Return the loss of `projections` (V, N, D), and its two terms.

        Args:
            projections: (V, N, D), global views first.
            random: the step's random numbers, for directions; without them, directions are fixed.
        """
        _check(projections)
        kept = projections.dtype
        exact = projections.to(torch.promote_types(kept, torch.float32))
        centre = exact[: self.global_views].mean(0)
        prediction = (exact - centre).square().mean()
        sketch = directions(exact.shape[-1], self.slices, random).to(exact)
        with without_autocast(exact.device):
            sliced = exact @ sketch
        sigreg = epps_pulley(sliced, self.points, self.largest).mean()
        loss = (1 - self.weight) * prediction + self.weight * sigreg
        return {
            "loss": loss.to(kept),
            "prediction_error": prediction.detach(),
            "sigreg": sigreg.detach(),
        }


def _check(projections: Tensor) -> None:
    shape = tuple(projections.shape)
    if len(shape) != 3 or not projections.is_floating_point() or not all(shape):
        raise ValueError(
            "projections must be float of shape (V, N, D), views of N images, "
            f"got {projections.dtype} of shape {shape}"
        )
    if shape[0] < 2 or shape[1] < 2:
        raise ValueError(
            "the views of an image are compared, and their distribution over images: give at least "
            f"2 views of 2 images, got {shape[0]} of {shape[1]}"
        )
