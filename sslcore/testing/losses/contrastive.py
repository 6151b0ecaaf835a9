"""Properties of losses that identify a pair among the other samples of the batch.

A family states its differences in `facts`: `negatives(N)`, the number of negatives of a row;
`candidates(unit)`, the similarities of every row with its candidates, its own positive first; and
`symmetric`, whether the two views may be swapped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses import invariances
from sslcore.testing.losses.arithmetic import log1p_exp
from sslcore.testing.losses.constant_similarities import (
    constant_anchors,
    constant_similarities,
    drawn_constants,
)
from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors as all_anchors
from sslcore.testing.losses.tried import examples, first_anchors
from sslcore.testing.property import Property, declare


def anchors(subject: LossSubject) -> Sequence[Example]:
    """Return the fixed examples, except the large ones."""
    return [example for example in all_anchors(subject) if example.size <= 1000]


def _pair(example: Example) -> Tensor:
    return example.inputs["projections"]


def _moved(example: Example, pair: Tensor) -> Example:
    return example.with_inputs(projections=pair)


def _negatives(subject: LossSubject, example: Example) -> int:
    count: int = subject.family.facts["negatives"](_pair(example).shape[1])  # type: ignore[operator]
    return count


_TRIED: dict[str, Any] = {"anchors": anchors, "examples": examples, "max_examples": 25}

joint_permutation = invariances.sample_permutation("C1", **_TRIED)
scale_of_each_row = invariances.scale_of_each_row("C3", **_TRIED)
zero_padding = invariances.zero_padding("C5", **_TRIED)
view_swap = invariances.view_swap(
    "C2",
    applies=lambda subject: (
        "" if subject.family.facts["symmetric"] else "the loss goes from one view to the other"
    ),
    **_TRIED,
)


@declare(
    "joint-rotation",
    "C4",
    formula="L(z₁ Q, z₂ Q) = L(z₁, z₂) for orthogonal Q",
    kills="a dimension that is treated differently",
    anchors=anchors,
    examples=examples,
)
def joint_rotation(subject: LossSubject, example: Example) -> None:
    pair = _pair(example)
    turn = torch.linalg.qr(fixed("rotation", pair.shape[-1], pair.shape[-1]))[0]
    moved, expected = _moved(example, pair @ turn), subject.value(example)
    tolerance = (4.0 + pair.shape[-1] ** 0.5) * subject.tolerance(example, expected)
    subject.compare(subject.value(moved), expected, tolerance, moved, "rotated")


@declare(
    "gradient-is-tangential",
    "C6",
    formula="⟨∂L/∂z_i, z_i⟩ = 0",
    kills="a norm that is detached, a term outside the normalisation",
    anchors=anchors,
    examples=examples,
)
def gradient_is_tangential(subject: LossSubject, example: Example) -> None:
    score, found = subject.gradients(example)
    pair = _pair(example)
    radial = (found["projections"] * pair).sum(-1).abs().max()
    tolerance = 4 * subject.tolerance(example, float(score))
    subject.at_most(float(radial), 0.0, tolerance, example, "⟨∂L/∂z, z⟩")


@declare(
    "bounds",
    "C7",
    formula="log(1 + M e^(−2/τ)) ≤ L ≤ log(1 + M e^(2/τ)), M the negatives of a row",
    kills="no positive term, a sum instead of a mean, a wrong sign",
    anchors=anchors,
    examples=examples,
)
def bounds(subject: LossSubject, example: Example) -> None:
    value, slope = subject.value(example), 2 / example.hyper["temperature"]
    count = math.log(_negatives(subject, example))
    tolerance = subject.tolerance(example, value)
    high = log1p_exp(count + slope)
    subject.at_most(value, high, tolerance, example, "L above its upper bound")
    subject.at_most(-value, -log1p_exp(count - slope), tolerance, example, "−L, below its bound")


@declare(
    "closed-form",
    "C8",
    formula="positives at s, all others at ρ: L = log(1 + M e^((ρ − s)/τ)); collapsed, log(M + 1)",
    kills="temperature missing, inverted or applied twice; positives or self-similarity miscounted",
    precondition="s ≤ 1, 1 + s ≥ 2ρ, 1 + s + 2(N − 1)ρ ≥ 0, so that such rows exist",
    anchors=constant_anchors,
    examples=lambda subject: drawn_constants().map(subject.adapt),
)
def closed_form(subject: LossSubject, example: Example) -> None:
    gap = example.case["negative"] - example.case["positive"]
    slope = gap / example.hyper["temperature"]
    expected = log1p_exp(math.log(_negatives(subject, example)) + slope)
    # The rows have these similarities up to the rounding of an eigenvalue decomposition.
    tolerance = 8 * subject.tolerance(example, expected)
    subject.compare(subject.value(example), expected, tolerance, example, example.geometry)


@declare(
    "monotone-in-similarity",
    "C11",
    formula="∂L/∂s < 0 where the negatives are orthogonal, and ∂L/∂ρ > 0",
    kills="a wrong sign, the sample itself as positive, no positive term",
    anchors=lambda subject: [
        subject.adapt(constant_similarities(count, 0.5, 0.0, temperature))
        for count in (2, 4)
        for temperature in (0.5, 1.0)
    ],
)
def monotone_in_similarity(subject: LossSubject, example: Example) -> None:
    count = _pair(example).shape[1]
    temperature = example.hyper["temperature"]

    def value(positive: float, negative: float) -> float:
        moved = constant_similarities(count, positive, negative, temperature)
        return subject.value(subject.adapt(moved))

    far, near, crowded = value(0.2, 0.0), value(0.8, 0.0), value(0.2, 0.3)
    gap = 1e-9
    subject.at_most(near, far - gap, 0.0, example, "L with the positives closer")
    subject.at_most(far, crowded - gap, 0.0, example, "L with the others farther")


@declare(
    "hardest-negative-bounds",
    "C9",
    formula="h ≤ τL ≤ h + τ log(M + 1), h the mean of (highest similarity − the positive's); "
    "and |L − log(M + 1)| ≤ 2/τ",
    kills="nearly any wrong term: this is the strongest single check",
    anchors=anchors,
    examples=examples,
)
def hardest_negative_bounds(subject: LossSubject, example: Example) -> None:
    unit = F.normalize(_pair(example), dim=-1)
    similarities: Tensor = subject.family.facts["candidates"](unit)  # type: ignore[operator]
    hardest = float((similarities.amax(-1) - similarities[..., 0]).mean())
    value, temperature = subject.value(example), example.hyper["temperature"]
    room = math.log(_negatives(subject, example) + 1)
    tolerance = subject.tolerance(example, value)
    slack = tolerance * max(1.0, temperature)
    subject.at_most(hardest, temperature * value, slack, example, "h, below τL")
    subject.at_most(temperature * value, hardest + temperature * room, slack, example, "τL")
    subject.at_most(abs(value - room), 2 / temperature, tolerance, example, "|L − log(M + 1)|")


@declare(
    "mean-over-rolls",
    "C10",
    formula="the mean over k of L(z₁, roll(z₂, k)) is at least log N",
    kills="positives left out of the denominator",
    anchors=anchors,
    examples=examples,
)
def mean_over_rolls(subject: LossSubject, example: Example) -> None:
    first, second = _pair(example)
    count = len(first)
    if count > 20:
        return
    values = [
        subject.value(_moved(example, torch.stack([first, second.roll(shift, 0)])))
        for shift in range(count)
    ]
    tolerance = subject.tolerance(example, max(values))
    mean = sum(values) / count
    subject.at_most(-mean, -math.log(count), tolerance, example, "−(the mean over rolls)")


@declare(
    "deranging-raises",
    "C11",
    formula="L of orthonormal pairs is lower than L of the same pairs with the second views "
    "deranged",
    kills="views that are one tensor, self-similarity as the target, no positive term",
    anchors=lambda subject: [
        subject.adapt(
            Example(
                {"projections": torch.eye(count, dtype=torch.float64).expand(2, -1, -1)},
                {"temperature": temperature},
                "orthonormal pairs",
            )
        )
        for count in (2, 3, 5)
        for temperature in (0.5, 1.0)
    ],
)
def deranging_raises(subject: LossSubject, example: Example) -> None:
    first, second = _pair(example)
    together = subject.value(_moved(example, torch.stack([first, second])))
    apart_example = _moved(example, torch.stack([first, second.roll(1, 0)]))
    apart = subject.value(apart_example)
    subject.at_most(
        together, apart - 1e-6, 0.0, apart_example, "L of pairs, against L of deranged pairs"
    )


@declare(
    "mutual-information-bound",
    "C12",
    formula="E[log N − L] ≤ I(X; Y), for Gaussian pairs over fixed draws",
    kills="negatives left out, so that the bound exceeds the true information",
    precondition="one-directional or symmetric InfoNCE; in expectation only",
    anchors=lambda subject: first_anchors(subject)[:1],
    applies=lambda subject: (
        ""
        if subject.family.facts["bounds_information"]
        else "its negatives come in dependent pairs"
    ),
)
def mutual_information_bound(subject: LossSubject, example: Example) -> None:
    correlation, count, dim, draws = 0.5, 8, 2, 60
    information = -0.5 * dim * math.log(1 - correlation**2)
    noise = fixed("information", draws, 2, count, dim)
    second = correlation * noise[:, 0] + (1 - correlation**2) ** 0.5 * noise[:, 1]
    gains = torch.tensor(
        [
            math.log(count)
            - subject.value(_moved(example, torch.stack([noise[index, 0], second[index]])))
            for index in range(draws)
        ]
    )
    spread = float(gains.std() / draws**0.5)
    subject.at_most(float(gains.mean()), information, 4 * spread, example, "E[log N − L]")


#: The properties of any loss over pairs of views.
INVARIANCES: tuple[Property, ...] = (
    joint_permutation,
    view_swap,
    scale_of_each_row,
    joint_rotation,
    zero_padding,
    gradient_is_tangential,
)

CONTRASTIVE: tuple[Property, ...] = (
    *INVARIANCES,
    bounds,
    closed_form,
    hardest_negative_bounds,
    mean_over_rolls,
    deranging_raises,
    monotone_in_similarity,
    mutual_information_bound,
)
