"""Properties of squared distances between unit predictions and a teacher's projections."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import Hyper
from sslcore.testing.losses.invariances import (
    decomposes_over_samples,
    joint_rotation,
    sample_permutation,
    scale_of_each_row,
    view_swap,
    zero_padding,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore.testing.property import Property, declare


def unit_rows(rows: Tensor) -> Tensor:
    """Return rows (..., D) at unit length; zero rows stay zero."""
    result: Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return result


def gradient_scale(inputs: Inputs, hyper: Hyper) -> dict[str, Tensor]:
    """Return 1/(B‖p‖) for each row, a bound on its gradient."""
    predictions = inputs["predictions"]
    lengths = predictions.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return {"predictions": 1 / (predictions.shape[1] * lengths)}


def _directions(subject: LossSubject) -> float:
    """Return 1 where the loss is the mean of its two directions, 2 where it is their sum."""
    one = torch.ones(2, 1, 1, dtype=torch.float64)
    opposite = Example({"predictions": one, "teacher_projections": -one})
    return round(subject.reference(subject.adapt(opposite)) / 4)


def at_cosine(cosine: float, count: int, dim: int) -> Example:
    """Return predictions that all have the given cosine with their targets."""
    teacher, noise = fixed("at cosine", 2, 2, count, dim)
    unit = unit_rows(teacher)
    across = unit_rows(noise - (noise * unit).sum(-1, keepdim=True) * unit)
    predictions = cosine * unit + math.sqrt(1 - cosine**2) * across
    lengths = 2.0 ** (torch.arange(2 * count) % 5 - 2).double().view(2, count, 1)
    return Example(
        {"predictions": predictions.flip(0) * lengths, "teacher_projections": teacher},
        {},
        f"cosines of {cosine:g}",
        {"cosine": cosine},
    )


@declare(
    "closed-form",
    "Y1",
    formula="all cosines s: L = 2 − 2s, so 0 iff parallel and 4 iff opposite (the sum: twice that)",
    kills="views paired with themselves, another distance, rows that are not normalised",
    anchors=lambda subject: [
        subject.adapt(at_cosine(cosine, count, dim))
        for count, dim in ((1, 2), (3, 4), (6, 3))
        for cosine in (1.0, 0.0, -1.0, 0.5, -0.25)
    ],
)
def closed_form(subject: LossSubject, example: Example) -> None:
    expected = _directions(subject) * (2 - 2 * example.case["cosine"])
    tolerance = 2 * subject.tolerance(example, expected)
    subject.compare(subject.value(example), expected, tolerance, example, example.geometry)


@declare(
    "bounds",
    "Y2",
    formula="0 ≤ L ≤ 4 (the sum of the directions: 8)",
    kills="a wrong sign, a sum over samples, rows that are not normalised",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def bounds(subject: LossSubject, example: Example) -> None:
    value, highest = subject.value(example), 4.0 * _directions(subject)
    tolerance = subject.tolerance(example, highest)
    subject.at_most(value, highest, tolerance, example, "L above its upper bound")
    subject.at_most(-value, 0.0, tolerance, example, "−L, below its bound")


@declare(
    "gradient-is-tangential",
    "Y3",
    formula="⟨∂L/∂p_i, p_i⟩ = 0",
    kills="a norm that is detached, a term outside the normalisation",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def gradient_is_tangential(subject: LossSubject, example: Example) -> None:
    score, found = subject.gradients(example)
    radial = (found["predictions"] * example.inputs["predictions"]).sum(-1).abs().max()
    tolerance = 2 * subject.tolerance(example, float(score))
    subject.at_most(float(radial), 0.0, tolerance, example, "⟨∂L/∂p, p⟩")


@declare(
    "gradient-points-to-the-target",
    "Y4",
    formula="∂L/∂p_i = −(t̄_i − s_i p̄_i)/(B‖p_i‖), s the cosine (the sum: twice that)",
    kills="a view paired with itself, pieces detached, another distance",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def gradient_points_to_the_target(subject: LossSubject, example: Example) -> None:
    predictions = example.inputs["predictions"]
    unit, target = unit_rows(predictions), unit_rows(example.inputs["teacher_projections"].flip(0))
    across = target - (unit * target).sum(-1, keepdim=True) * unit
    size = gradient_scale(example.inputs, {})["predictions"] * _directions(subject)
    score, found = subject.gradients(example)
    off = ((found["predictions"] + size * across).abs() / size).max()
    tolerance = 4 * subject.tolerance(example, float(score))
    subject.at_most(float(off), 0.0, tolerance, example, "|∂L/∂p − …|·B‖p‖")


@declare(
    "views-are-crossed",
    "Y5",
    formula="∂L/∂p of a view does not depend on the teacher's projections of the same view",
    kills="a view paired with itself, or with both",
    anchors=anchors,
)
def views_are_crossed(subject: LossSubject, example: Example) -> None:
    teacher = example.inputs["teacher_projections"]
    score, found = subject.gradients(example)
    size = gradient_scale(example.inputs, {})["predictions"]
    tolerance = 4 * subject.tolerance(example, float(score))
    for view in (0, 1):
        moved = teacher.clone()
        moved[view] = teacher[view].flip(-1) * -1.5 + 0.25
        _, other = subject.gradients(example.with_inputs(teacher_projections=moved))
        off = ((other["predictions"] - found["predictions"]).abs() / size)[view].max()
        subject.at_most(float(off), 0.0, tolerance, example, f"change of ∂L/∂p in view {view}")


BYOL_PROPERTIES: tuple[Property, ...] = (
    closed_form,
    bounds,
    gradient_is_tangential,
    gradient_points_to_the_target,
    views_are_crossed,
    scale_of_each_row("Y6"),
    joint_rotation("Y7"),
    zero_padding("Y8"),
    sample_permutation("Y9"),
    view_swap("Y10"),
    decomposes_over_samples("Y11"),
)
