"""The family `barlow-twins` (Zbontar et al. 2021, equations 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sslcore.testing.losses.barlow_twins_mutants import CONTROL, MUTANTS, SIGNALS
from sslcore.testing.losses.barlow_twins_properties import BARLOW
from sslcore.testing.losses.correlated_views import drawn_views, fixed_views, malformed_views
from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.extremes import HUGE
from sslcore.testing.losses.family import Family, Hyper, HyperRange, Reference, register_family
from sslcore.testing.losses.pair_examples import pair_plain, pair_plain_malformed

#: The ε of a batch normalisation, in PyTorch as in the paper's code.
_EPSILON = 1e-5


def _reference(epsilon: float, *, pseudocode: bool = False) -> Reference:
    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        first, second = inputs["projections"]
        count, dim = first.shape
        # The paper's listing divides by the unbiased deviation, but sums over N.
        gain = (count - 1) / count if pseudocode else 1.0
        second = second - second.mean(0)
        total = torch.zeros((), dtype=first.dtype)
        for i in range(dim):
            column = first[:, i] - first[:, i].mean()
            products = (column[:, None] * second).mean(0)
            variances = (column.square().mean() + epsilon) * (second.square().mean(0) + epsilon)
            # A constant column correlates with nothing.
            c = gain * products / variances.where(variances > 0, 1).sqrt()
            squares = torch.cat([c[:i], c[i + 1 :]]).square()
            total = total + (1 - c[i]).square() + hyper["redundancy_weight"] * squares.sum()
        return total

    return loss


reference = _reference(0.0)


def example_of(pair: Tensor, weight: float) -> Example:
    """Return an example of views (2, N, D)."""
    return Example({"projections": pair}, {"redundancy_weight": weight})


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first."""
    weights = (0.5, 0.005, 1.0, 0.05)
    return [
        example_of(pair, weights[position % len(weights)])
        for position, pair in enumerate(fixed_views())
    ]


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return views with constant dimensions, and huge ones."""
    pair = fixed("views", 2, 4, 3)
    constant, collapsed = pair.clone(), pair[:1, :1].expand_as(pair).clone()
    constant[0, :, 1] = 0.5
    return {
        "a constant dimension": example_of(constant, 0.005),
        "all rows alike": example_of(collapsed, 0.005),
        "all rows zero": example_of(torch.zeros_like(pair), 0.005),
        "huge rows": example_of(pair / pair.abs().max() * HUGE[dtype], 0.005),
        "both views alike": example_of(pair[:1].expand_as(pair).clone(), 0.005),
    }


def _statistics(pair: Tensor) -> tuple[Tensor, Tensor]:
    """Return each dimension's standard deviation, and its length in that unit, both (2, D)."""
    deviation = pair.std(1, unbiased=False).clamp_min(1e-300)
    return deviation, (pair.mean(1).abs() + deviation) / deviation


def scale(inputs: Inputs, hyper: Hyper) -> float:
    """Return how far L moves if the entries of each column are off by a rounding of its length."""
    pair = inputs["projections"]
    _, length = _statistics(pair)
    centred = pair - pair.mean(1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-300)
    c = unit[0].T @ unit[1]
    diagonal = torch.eye(len(c), dtype=torch.bool)
    # With an unbiased deviation, a correlation of 1 becomes (N − 1)/N.
    own = (1 - c).abs() + 1 / pair.shape[1]
    slope = 2 * torch.where(diagonal, own, hyper["redundancy_weight"] * c.abs())
    return float((slope * (length[0][:, None] + length[1])).sum())


def gradient_scale(inputs: Inputs, hyper: Hyper) -> dict[str, Tensor]:
    """Return a bound on the gradient's entries if all correlations are off by 1."""
    pair = inputs["projections"]
    deviation, length = _statistics(pair)
    most = 1 + hyper["redundancy_weight"] * (pair.shape[2] - 1)
    size = most * length / (deviation * pair.shape[1] ** 0.5)
    return {"projections": size[:, None].expand_as(pair)}


BARLOW_TWINS = register_family(
    Family(
        name="barlow-twins",
        summary="Correlations between the dimensions of two views: 1 with itself, 0 with others",
        signals=SIGNALS,
        reference=reference,
        conventions={
            "correlation": reference,
            "batch normalisation": _reference(_EPSILON),
            "unbiased deviation": _reference(0.0, pseudocode=True),
        },
        hyper={
            "redundancy_weight": HyperRange(0.005, (0.005, 0.0051, 0.05, 0.5, 1.0, 0.0), 0.001, 2.0)
        },
        examples=drawn_views,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=("a constant dimension", "all rows zero", "both views alike"),
        single=lambda: example_of(fixed("views", 2, 1, 3), 0.005),
        malformed=malformed_views,
        trainable=SIGNALS,
        plain=pair_plain,
        plain_names=("z1", "z2"),
        plain_malformed=pair_plain_malformed,
        scale=scale,
        gradient_scale=gradient_scale,
        properties=BARLOW,
        mutants=MUTANTS,
        control=CONTROL,
    )
)
