"""Properties of a loss of distance, variance and covariance."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sslcore.testing.losses.correlated_views import columns
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.invariances import (
    coarse_anchors,
    coarse_examples,
    dimension_permutation,
    each,
    sample_permutation,
    unchanged,
    view_swap,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore.testing.property import Property, declare

#: The ε under the root of the deviation.
EPSILON = 1e-4
_WEIGHTS = ("similarity", "variance", "covariance")


def _pair(example: Example) -> Tensor:
    return example.inputs["projections"]


def _of_code(subject: LossSubject) -> bool:
    """Whether the loss averages as the paper's code does: s also over D, v over both views."""
    pair = torch.zeros(2, 2, 2, dtype=torch.float64)
    collapsed = subject.adapt(Example({"projections": pair}, {}))
    one = collapsed.hyper["variance"] * (1 - EPSILON**0.5)
    result: bool = subject.reference(collapsed) < 1.5 * one
    return result


joint_translation = unchanged(
    "joint-translation",
    "V1",
    formula="L(z₁ + a, z₂ + a) = L(z₁, z₂) for every vector a",
    kills="a variance or covariance that is not centred, rows that are normalised",
    anchors=coarse_anchors,
    examples=coarse_examples,
    moves=lambda subject, example: [
        (
            f"with {size:g} times a vector added",
            each(lambda item, s=size: item + s * (torch.arange(item.shape[-1]) % 3 - 0.5))(example),  # type: ignore[misc]
        )
        for size in (1.0, 4096.0)
    ],
)


def _sign_turned(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    signs = 1 - 2.0 * (torch.arange(_pair(example).shape[2]) % 2).double()
    yield "with every other dimension turned", each(lambda item: item * signs)(example)


sign_of_each_dimension = unchanged(
    "sign-of-each-dimension",
    "V2",
    formula="L is the same with dimensions negated in both views",
    kills="covariances that are not squared",
    moves=_sign_turned,
)


def of_known_statistics(
    count: int, dim: int, deviation: float, correlation: float, gap: float
) -> Example:
    """Return views of one deviation in all dimensions, one correlation between any two of them.

    The second view is the first with `gap` added to every entry.
    """
    drawn = columns(count, dim + 1) * ((count - 1) / count) ** 0.5
    mixed = correlation**0.5 * drawn[:, :1] + (1 - correlation) ** 0.5 * drawn[:, 1:]
    first = deviation * mixed
    return Example(
        {"projections": torch.stack([first, first + gap])},
        {},
        f"deviations of {deviation:g}, correlations of {correlation:g}, {gap:g} apart",
        {"deviation": deviation, "correlation": correlation, "gap": gap},
    )


@declare(
    "closed-form",
    "V3",
    formula="deviations σ, correlations ρ, views δ apart in each of D dimensions: "
    "L = λ D δ² + 2 μ max(0, 1 − √(σ² + ε)) + 2 ν (D − 1) ρ² σ⁴ (the code: λ δ² + μ max(…) + …)",
    kills="a biased variance or covariance, another threshold of the hinge, another ε, a mean "
    "instead of a sum",
    anchors=lambda subject: [
        subject.adapt(of_known_statistics(count, dim, deviation, correlation, gap))
        for count, dim in ((5, 2), (7, 4), (4, 1))
        for deviation, correlation, gap in (
            (0.5, 0.0, 0.0),
            (0.5, 0.5, 0.25),
            (2.0, 0.25, 0.5),
            (0.01, 0.0, 0.0),
            (2.0, 0.0, 0.0),
        )
    ],
)
def closed_form(subject: LossSubject, example: Example) -> None:
    dim, case, hyper = _pair(example).shape[2], example.case, example.hyper
    code = _of_code(subject)
    apart = case["gap"] ** 2 * (1 if code else dim)
    hinge = max(0.0, 1 - (case["deviation"] ** 2 + EPSILON) ** 0.5) * (1 if code else 2)
    overlap = 2 * (dim - 1) * case["correlation"] ** 2 * case["deviation"] ** 4
    expected = (
        hyper["similarity"] * apart + hyper["variance"] * hinge + hyper["covariance"] * overlap
    )
    tolerance = 4 * subject.tolerance(example, expected)
    subject.compare(subject.value(example), expected, tolerance, example, example.geometry)


@declare(
    "collapse",
    "V4",
    formula="if all rows are equal, L = 2 μ (1 − √ε) (the code: half of that)",
    kills="an ε that is missing, larger or after the root; no variance term",
    anchors=lambda subject: [
        subject.adapt(
            Example({"projections": torch.full((2, count, dim), 0.75).double()}, {}, "collapse")
        )
        for count, dim in ((2, 1), (4, 3), (8, 2))
    ],
)
def collapse(subject: LossSubject, example: Example) -> None:
    views = 1 if _of_code(subject) else 2
    expected = views * example.hyper["variance"] * (1 - EPSILON**0.5)
    tolerance = subject.tolerance(example, expected)
    subject.compare(subject.value(example), expected, tolerance, example, "L of a collapse")


@declare(
    "no-force-on-spread-views",
    "V5",
    formula="identical views without correlation and with deviations above 1: L = 0 and ∂L/∂z = 0",
    kills="a hinge that is missing or leaks, a target other than 1, a distance between other "
    "samples",
    anchors=lambda subject: [
        subject.adapt(of_known_statistics(count, dim, deviation, 0.0, 0.0))
        for count, dim in ((3, 2), (6, 4), (4, 1))
        for deviation in (1.25, 3.0)
    ],
)
def no_force_on_spread_views(subject: LossSubject, example: Example) -> None:
    score, found = subject.gradients(example)
    tolerance = subject.tolerance(example, 0.0)
    subject.compare(float(score), 0.0, tolerance, example, "L")
    largest = float(found["projections"].abs().max())
    subject.at_most(largest, 0.0, 4 * tolerance, example, "|∂L/∂z|")


@declare(
    "identical-views",
    "V6",
    formula="L(z, z) does not depend on λ, and ∂L/∂z₁ = ∂L/∂z₂ there",
    kills="samples mispaired in the distance, a view that is left out or detached",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def identical_views(subject: LossSubject, example: Example) -> None:
    pair = _pair(example)
    alike = example.with_inputs(projections=pair[:1].expand_as(pair).clone())
    score, found = subject.gradients(alike)
    tolerance = 2 * subject.tolerance(alike, float(score))
    if "similarity" in subject.takes:
        other = alike.with_hyper(similarity=2 * alike.hyper["similarity"])
        subject.compare(subject.value(other), float(score), tolerance, other, "L(z, z), λ doubled")
    gradient = found["projections"]
    size = subject.family.gradient_scale(alike.inputs, alike.hyper)["projections"]
    room = size + gradient.abs().max()
    off = float(((gradient[0] - gradient[1]).abs() / room[0]).max())
    subject.at_most(off, 0.0, 4 * tolerance, alike, "∂L/∂z₁ − ∂L/∂z₂")


@declare(
    "linear-in-weights",
    "V7",
    formula="L(2λ) − L(λ) = λ s, s the mean of ‖z₁ − z₂‖² (the code: over D); the slopes in μ and "
    "ν are constant and ≥ 0, and L(2λ, 2μ, 2ν) = 2L",
    kills="weights missing, swapped, squared or fixed",
    anchors=anchors,
    applies=lambda subject: (
        "" if subject.takes else "make takes none of the weights, so they can't be varied"
    ),
)
def linear_in_weights(subject: LossSubject, example: Example) -> None:
    pair, value = _pair(example), subject.value(example)
    most = example.with_hyper(**{name: 3 * example.hyper[name] for name in _WEIGHTS})
    tolerance = 4 * subject.tolerance(most, 3 * value)
    for name in sorted(subject.takes):
        double, triple = (
            subject.value(example.with_hyper(**{name: times * example.hyper[name]}))
            for times in (2, 3)
        )
        subject.compare(triple - double, double - value, tolerance, example, f"slope in {name}")
        subject.at_most(value, double, tolerance, example, f"L, below L at twice the {name}")
        if name == "similarity":
            apart = float((pair[0] - pair[1]).square().sum(1).mean())
            apart /= pair.shape[2] if _of_code(subject) else 1
            slope = example.hyper[name] * apart
            subject.compare(double - value, slope, tolerance, example, "λ s")
    if subject.takes >= set(_WEIGHTS):
        double = subject.value(
            example.with_hyper(**{name: 2 * example.hyper[name] for name in _WEIGHTS})
        )
        subject.compare(double, 2 * value, tolerance, example, "L at twice the weights")


@declare(
    "gradient-sums-to-zero",
    "V8",
    formula="Σ over both views and all samples of ∂L/∂z = 0",
    kills="a mean that is detached or left out, a view that is detached",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def gradient_sums_to_zero(subject: LossSubject, example: Example) -> None:
    score, found = subject.gradients(example)
    gradient = found["projections"]
    unit = 4 * subject.tolerance(example, float(score)) * gradient.shape[1] ** 0.5
    size = subject.family.gradient_scale(example.inputs, example.hyper)["projections"]
    room = size.amax((0, 1)) + gradient.abs().amax((0, 1))
    off = float((gradient.sum((0, 1)).abs() / room).max())
    subject.at_most(off, 0.0, unit, example, "Σ ∂L/∂z")


VICREG_PROPERTIES: tuple[Property, ...] = (
    joint_translation,
    sign_of_each_dimension,
    closed_form,
    collapse,
    no_force_on_spread_views,
    identical_views,
    linear_in_weights,
    gradient_sums_to_zero,
    sample_permutation("V9"),
    dimension_permutation("V10"),
    view_swap("V11"),
)
