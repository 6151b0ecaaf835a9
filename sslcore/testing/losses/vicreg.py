"""The family `vicreg` (Bardes et al. 2022, equations 1 to 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslcore.testing.losses.correlated_views import drawn_views, fixed_views, malformed_views
from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import Family, Hyper, HyperRange, register_family
from sslcore.testing.losses.pair_examples import pair_plain, pair_plain_malformed
from sslcore.testing.losses.vicreg_mutants import CONTROL, MUTANTS, SIGNALS
from sslcore.testing.losses.vicreg_properties import EPSILON, VICREG_PROPERTIES

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_DEFAULTS = {"similarity": 25.0, "variance": 25.0, "covariance": 1.0}
#: If a deviation differs from 1 by this much, a rounding can't cross the kink of the hinge.
_CLEAR = 0.05


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return λ s + μ (v(Z) + v(Z')) + ν (c(Z) + c(Z')) with the sums of the equations."""
    return _loss(inputs, hyper, per_dimension=False)


def as_in_the_code(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the loss as in the paper's code: s divided by D, v the mean of both views."""
    return _loss(inputs, hyper, per_dimension=True)


def _loss(inputs: Inputs, hyper: Hyper, *, per_dimension: bool) -> Tensor:
    first, second = inputs["projections"]
    count, dim = first.shape
    gaps = [(x - y) @ (x - y) for x, y in zip(first, second, strict=True)]
    distance = torch.stack(gaps).sum() / count
    hinges, overlaps = [], []
    for view in (first, second):
        columns = [column - column.mean() for column in view.T]
        for i, column in enumerate(columns):
            variance = column @ column / (count - 1) if count > 1 else column.sum() * torch.nan
            hinges.append((1 - (variance + EPSILON).sqrt()).clamp_min(0) / dim)
            others = columns[:i] + columns[i + 1 :]
            if others:
                products = torch.stack(others) @ column / (count - 1)
                overlaps.append(products @ products / dim)
    hinge = torch.stack(hinges).sum()
    overlap = torch.stack(overlaps).sum() if overlaps else torch.zeros_like(hinge)
    if per_dimension:
        distance, hinge = distance / dim, hinge / 2
    result: Tensor = (
        hyper["similarity"] * distance + hyper["variance"] * hinge + hyper["covariance"] * overlap
    )
    return result


# Examples


def off_the_kink(pair: Tensor) -> Tensor:
    """Return views after stretching dimensions whose deviation is near 1, the hinge's kink."""
    near = ((pair.var(1, keepdim=True) + EPSILON).sqrt() - 1).abs() < _CLEAR
    return torch.where(near, 1.25 * pair, pair)


def of_moderate_size(pair: Tensor) -> Tensor:
    """Return views, halved until no entry exceeds 3.2: a fourth power must fit every type."""
    halvings = (pair.abs().max() / 3.2).log2().ceil().clamp_min(0)
    return pair * 2.0**-halvings


def _example(pair: Tensor, hyper: Mapping[str, float], geometry: str = "") -> Example:
    return Example({"projections": pair}, hyper, geometry)


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of views (2, N, D) away from the kink."""
    return drawn_views(ranges, fewest=2).map(
        lambda found: found.with_inputs(
            projections=off_the_kink(of_moderate_size(found.inputs["projections"]))
        )
    )


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first; in some, deviations are below 1."""
    weights = (
        _DEFAULTS,
        {"similarity": 1.0, "variance": 2.0, "covariance": 5.0},
        {"similarity": 10.0, "variance": 25.0, "covariance": 0.1},
    )
    return [
        _example(
            off_the_kink(pair * (0.5 if position % 2 else 1.0)), weights[position % len(weights)]
        )
        for position, pair in enumerate(fixed_views())
    ]


_LARGE = {"float64": 1e60, "float32": 1e8, "bfloat16": 1e8, "float16": 8.0}


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return views with constant dimensions, and views near the limits of a type."""
    pair = fixed("views", 2, 4, 3)
    constant, collapsed = pair.clone(), pair[:1, :1].expand_as(pair).clone()
    constant[0, :, 1] = 0.5
    large = pair / pair.abs().max() * _LARGE[dtype]
    found = {
        "a constant dimension": constant,
        "all rows alike": collapsed,
        "all rows zero": torch.zeros_like(pair),
        "both views alike": pair[:1].expand_as(pair).clone(),
        "tiny rows": pair * (1e-3 if dtype == "float16" else 1e-12),
        "large rows": large,
    }
    return {name: _example(item, _DEFAULTS) for name, item in found.items()}


def scale(inputs: Inputs, hyper: Hyper) -> float:
    """Return how far L moves if each entry is off by a rounding of the largest in its column."""
    pair = inputs["projections"]
    if pair.shape[1] < 2:
        return 0.0
    dim = pair.shape[2]
    longest, deviation = pair.abs().amax(1), pair.std(1)
    centred = pair - pair.mean(1, keepdim=True)
    covariance = centred.mT @ centred / (pair.shape[1] - 1)
    off = covariance - torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
    product = longest[:, :, None] * deviation[:, None]
    slack = (2 * off.abs() * (product + product.mT)).sum() / dim
    return float(hyper["variance"] * (1 + longest).mean(1).sum() + hyper["covariance"] * slack)


def gradient_scale(inputs: Inputs, hyper: Hyper) -> dict[str, Tensor]:
    """Return how far an entry can move if columns are off by a fraction of their length."""
    pair = inputs["projections"]
    longest, deviation = pair.abs().amax(1, keepdim=True), pair.std(1, keepdim=True)
    size = (1 + longest / (deviation**2 + EPSILON).sqrt()) / pair.shape[1]
    return {"projections": size.expand_as(pair)}


VICREG = register_family(
    Family(
        name="vicreg",
        summary="Near views, each dimension of deviation 1 at least, no covariance between them",
        signals=SIGNALS,
        reference=reference,
        conventions={"paper": reference, "code": as_in_the_code},
        hyper={
            "similarity": HyperRange(25.0, (25.0, 1.0, 10.0, 0.0), 0.1, 50.0),
            "variance": HyperRange(25.0, (25.0, 1.0, 10.0, 0.0), 0.1, 50.0),
            "covariance": HyperRange(1.0, (1.0, 0.04, 5.0, 0.0), 0.01, 10.0),
        },
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=tuple(degenerate("float64")),
        single=lambda: _example(fixed("views", 2, 1, 3), _DEFAULTS),
        malformed=malformed_views,
        trainable=SIGNALS,
        plain=pair_plain,
        plain_names=("z1", "z2"),
        plain_malformed=pair_plain_malformed,
        scale=scale,
        gradient_scale=gradient_scale,
        properties=VICREG_PROPERTIES,
        mutants=MUTANTS,
        control=CONTROL,
    )
)
