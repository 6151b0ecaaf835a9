"""Properties of losses of the correlations between the dimensions of two views."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sslcore.testing.losses.correlated_views import columns
from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.invariances import (
    coarse_anchors,
    coarse_examples,
    dimension_permutation,
    sample_permutation,
    unchanged,
    view_swap,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore.testing.property import Property, declare


def _pair(example: Example) -> Tensor:
    return example.inputs["projections"]


def _moved(example: Example, pair: Tensor) -> Example:
    return example.with_inputs(projections=pair)


def _weight(example: Example) -> float:
    return example.hyper["redundancy_weight"]


def _gain(subject: LossSubject, example: Example) -> float:
    """Return the value of a correlation of 1 in the loss's convention, at deviation 1.

    It is 1, unless the convention has an ε or another kind of deviation.
    """
    column = columns(_pair(example).shape[1], 1)
    alike = _moved(example, column.expand(2, -1, -1))
    result: float = 1 - subject.reference(alike) ** 0.5
    return result


def _affine(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    pair = _pair(example)
    dim = torch.arange(pair.shape[2])
    factors = 2.0 ** torch.stack([(dim * 3) % 5 - 1, (dim * 2) % 5 - 2]).double()[:, None]
    yield "with dimensions rescaled", _moved(example, pair * factors)
    shifts = torch.stack([(dim * 3) % 5 - 2.0, 1.5 - (dim * 2) % 5])[:, None].double()
    yield "with dimensions shifted", _moved(example, pair + shifts)
    yield "with 4096 added", _moved(example, pair + 4096)


scale_and_shift = unchanged(
    "scale-and-shift-of-each-dimension",
    "T1",
    formula="L(a_i z_i + b_i) = L(z_i) for every dimension i and a_i > 0, in each view separately",
    kills="dimensions that are not centred or not scaled, over the batch or with a large ε",
    precondition="up to the ε of the loss",
    moves=_affine,
    slack=4.0,
    anchors=coarse_anchors,
    examples=coarse_examples,
    drifts=True,
)


def _sign_turned(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    pair = _pair(example)
    signs = 1 - 2.0 * (torch.arange(pair.shape[2]) % 2).double()
    yield "with every other dimension turned", _moved(example, pair * signs)


sign_of_each_dimension = unchanged(
    "sign-of-each-dimension",
    "T2",
    formula="L is the same with dimensions negated in both views",
    kills="correlations that are clamped or not squared",
    moves=_sign_turned,
)
doubled_batch = unchanged(
    "doubled-batch",
    "T3",
    formula="repeating every sample does not change L",
    kills="a factor of N, a sum instead of a mean, a sample that is left out",
    precondition="up to the N − 1 of an unbiased deviation",
    moves=lambda subject, example: [
        ("every sample twice", _moved(example, torch.cat([_pair(example)] * 2, 1)))
    ],
    drifts=True,
)


def with_correlations(count: int, dim: int, own: float, other: float, weight: float) -> Example:
    """Return views whose correlations are `own` on the diagonal and `other` elsewhere."""
    if own == other == 1:
        first = second = columns(count, 1).expand(-1, dim)
    else:
        independent = columns(count, 2 * dim)
        first, rest = independent[:, :dim], independent[:, dim:]
        left = max(0.0, 1 - own**2 - (dim - 1) * other**2) ** 0.5
        mixed = other * first.sum(1, keepdim=True) + (own - other) * first
        second = mixed + left * rest
    return Example(
        {"projections": torch.stack([first, second])},
        {"redundancy_weight": weight},
        f"correlations of {own:g} on the diagonal and {other:g} elsewhere",
        {"own": own, "other": other},
    )


@declare(
    "closed-form",
    "T4",
    formula="correlations s on the diagonal and r elsewhere: L = D (1 − s)² + λ D (D − 1) r²; "
    "whitened identical views 0, negated 4D, one dimension D times λ D (D − 1)",
    kills="the wrong target, a term left out, a mean instead of a sum, λ in the wrong place",
    anchors=lambda subject: [
        subject.adapt(with_correlations(count, dim, own, other, weight))
        for count, dim in ((9, 3), (8, 1), (16, 5))
        for own, other in ((1.0, 0.0), (-1.0, 0.0), (0.0, 0.0), (1.0, 1.0), (0.5, 0.25))
        for weight in (0.5, 0.005)
    ],
)
def closed_form(subject: LossSubject, example: Example) -> None:
    dim, gain = _pair(example).shape[2], _gain(subject, example)
    own, other = gain * example.case["own"], gain * example.case["other"]
    expected = dim * (1 - own) ** 2 + _weight(example) * dim * (dim - 1) * other**2
    tolerance = 8 * subject.tolerance(example, expected)
    subject.compare(subject.value(example), expected, tolerance, example, example.geometry)


@declare(
    "collapse",
    "T5",
    formula="L = D if one view is constant, or both are",
    kills="0/0, deviations that are clamped too high or too low",
    anchors=lambda subject: [
        subject.adapt(Example({"projections": pair}, {"redundancy_weight": 0.005}, "collapse"))
        for count, dim in ((4, 3), (8, 2))
        for pair in (
            torch.full((2, count, dim), 0.75, dtype=torch.float64),
            torch.stack([columns(count, dim), torch.full((count, dim), -1.5).double()]),
        )
    ],
)
def collapse(subject: LossSubject, example: Example) -> None:
    # These constants are exact, so subtracting the mean leaves exact zeros.
    expected = float(_pair(example).shape[2])
    tolerance = subject.tolerance(example.with_inputs(projections=fixed("views", 2, 4, 3)), 1.0)
    subject.compare(subject.value(example), expected, tolerance, example, "L of a collapse")


@declare(
    "pairs-of-dimensions-make-the-whole",
    "T6",
    formula="L = Σ over i < j of L(z_i, z_j) − (D − 2) Σ over i of L(z_i)",
    kills="a mean over dimensions, a square of a sum, half of the correlations",
    anchors=anchors,
    examples=examples,
    max_examples=10,
)
def pairs_of_dimensions(subject: LossSubject, example: Example) -> None:
    pair = _pair(example)
    dim = pair.shape[2]
    if not 3 <= dim <= 6:
        return
    single = sum(subject.value(_moved(example, pair[..., [i]])) for i in range(dim))
    double = sum(
        subject.value(_moved(example, pair[..., [i, j]])) for j in range(dim) for i in range(j)
    )
    value = subject.value(example)
    tolerance = 2 * dim * subject.tolerance(example, value)
    subject.compare(value, double - (dim - 2) * single, tolerance, example, "L, of its pairs")


@declare(
    "affine-in-weight",
    "T7",
    formula="L(λ) = L(0) + λ R with R ≥ 0, and R = 0 for a single dimension",
    kills="λ missing, squared, on the wrong term or on both",
    anchors=anchors,
    applies=lambda subject: (
        ""
        if "redundancy_weight" in subject.takes
        else "make takes no redundancy_weight, so it can't be varied"
    ),
)
def affine_in_weight(subject: LossSubject, example: Example) -> None:
    low, middle, high = (
        subject.value(example.with_hyper(redundancy_weight=weight)) for weight in (0.25, 0.5, 1.0)
    )
    heavy = example.with_hyper(redundancy_weight=1.0)
    tolerance = 4 * subject.tolerance(heavy, high)
    subject.compare(high - middle, 2 * (middle - low), tolerance, example, "L(1) − L(½)")
    subject.at_most(low, high, tolerance, example, "L(¼), below L(1)")
    first = _moved(example, _pair(example)[..., :1])
    light, weighty = (
        subject.value(first.with_hyper(redundancy_weight=weight)) for weight in (0.25, 1.0)
    )
    subject.compare(light, weighty, tolerance, first, "a single dimension, λ = ¼ and 1")
    # As λ → 0, L is the sum of the losses of single dimensions.
    alone = sum(
        subject.value(_moved(heavy, _pair(example)[..., [i]]))
        for i in range(min(8, _pair(example).shape[2]))
    )
    if _pair(example).shape[2] <= 8:
        subject.compare(2 * middle - high, alone, 4 * tolerance, example, "L(0)")


@declare(
    "gradient-is-tangential",
    "T8",
    formula="Σ over samples of ∂L/∂z = 0, and of ⟨∂L/∂z, z − mean⟩ as well, for every dimension",
    kills="a mean or a deviation that is detached",
    precondition="up to the ε of the loss",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def gradient_is_tangential(subject: LossSubject, example: Example) -> None:
    pair = _pair(example)
    score, found = subject.gradients(example)
    wanted = subject.reference_gradients(example)["projections"]
    gradient = found["projections"]
    size = subject.family.gradient_scale(example.inputs, example.hyper)["projections"]
    unit = 8 * subject.tolerance(example, float(score)) * pair.shape[1] ** 0.5
    along = (gradient.sum(1).abs() / size[:, 0]).max()
    subject.at_most(float(along), 0.0, unit, example, "Σ ∂L/∂z")
    centred = pair - pair.mean(1, keepdim=True)
    drift = 2 * (wanted * centred).sum(1).abs()
    radial = ((gradient * centred).sum(1).abs() - drift) / (size * centred.abs()).amax(1)
    subject.at_most(float(radial.max()), 0.0, unit, example, "⟨∂L/∂z, z − mean⟩")


BARLOW: tuple[Property, ...] = (
    scale_and_shift,
    sign_of_each_dimension,
    doubled_batch,
    closed_form,
    collapse,
    pairs_of_dimensions,
    affine_in_weight,
    gradient_is_tangential,
    sample_permutation("T9"),
    dimension_permutation("T10"),
    view_swap("T11"),
)
