"""Properties of cross-entropies between a student's and a teacher's distributions."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.invariances import (
    decomposes_over_samples,
    dimension_permutation,
    sample_permutation,
    unchanged,
    view_swap,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples, first_anchors
from sslcore.testing.property import Property, declare


def _logits(example: Example) -> tuple[Tensor, Tensor]:
    return example.inputs["projections"], example.inputs["teacher_projections"]


def _terms(subject: LossSubject, example: Example) -> float:
    """Return 1 where the loss is a mean over pairs of views, their number where it is a sum."""
    student, teacher = _logits(example)
    even = example.with_inputs(
        projections=torch.zeros_like(student), teacher_projections=torch.zeros_like(teacher)
    )
    return round(subject.reference(even) / math.log(student.shape[-1]))


def _entropy(example: Example) -> float:
    """Return the mean entropy of the teacher's distributions."""
    logs = (_logits(example)[1] / example.hyper["teacher_temperature"]).log_softmax(-1)
    return float(-(logs.exp() * logs).sum(-1).mean())


@declare(
    "at-least-the-entropy-of-the-teacher",
    "D1",
    formula="L ≥ the mean entropy of the teacher's distributions (the sum: 2V − 2 times that)",
    kills="a divergence, a sharper or softer teacher, logits or probabilities instead of "
    "logarithms",
    anchors=anchors,
    examples=examples,
    max_examples=20,
)
def at_least_the_entropy(subject: LossSubject, example: Example) -> None:
    lowest, value = _terms(subject, example) * _entropy(example), subject.value(example)
    tolerance = subject.tolerance(example, value)
    subject.at_most(lowest, value, tolerance, example, "the teacher's entropy, above L")


@declare(
    "matched-student",
    "D2",
    formula="if s/τ_s = t/τ_t for all views, L is the teacher's entropy and ∂L/∂s = 0",
    kills="a divergence, temperatures swapped or missing, an additional term",
    anchors=anchors,
    examples=examples,
    max_examples=20,
)
def matched_student(subject: LossSubject, example: Example) -> None:
    student, teacher = _logits(example)
    one = teacher[:1]
    ratio = example.hyper["student_temperature"] / example.hyper["teacher_temperature"]
    matched = example.with_inputs(
        projections=(one * ratio).expand_as(student).clone(),
        teacher_projections=one.expand_as(teacher).clone(),
    )
    expected = _terms(subject, example) * _entropy(matched)
    score, found = subject.gradients(matched)
    tolerance = 2 * subject.tolerance(matched, expected)
    subject.compare(float(score), expected, tolerance, matched, "L of a matched student")
    size = subject.family.gradient_scale(matched.inputs, matched.hyper)["projections"]
    off = float((found["projections"].abs() / size).max()) / _terms(subject, example)
    subject.at_most(off, 0.0, 8 * tolerance, matched, "|∂L/∂s| of a matched student")


@declare(
    "uniform-student",
    "D3",
    formula="if a student's logits are all equal, L = log K for any teacher",
    kills="a teacher that is not a distribution, a mean over dimensions, another logarithm",
    anchors=anchors,
    examples=examples,
    max_examples=20,
)
def uniform_student(subject: LossSubject, example: Example) -> None:
    student, _ = _logits(example)
    even = student[..., :1].expand_as(student).clone()
    given = example.with_inputs(projections=even)
    expected = _terms(subject, example) * math.log(student.shape[-1])
    tolerance = 2 * subject.tolerance(given, expected)
    subject.compare(subject.value(given), expected, tolerance, given, "L of a uniform student")


def of_two_dimensions(student: float, teacher: float, for_student: float) -> Example:
    """Return logits (0, gap) of two views, the same for all."""
    gaps = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return Example(
        {
            "projections": (student * gaps).expand(2, 2, 2).clone(),
            "teacher_projections": (teacher * gaps).expand(2, 2, 2).clone(),
        },
        {"student_temperature": for_student, "teacher_temperature": 0.5},
        f"two dimensions, logits apart by {student:g} and {teacher:g}",
        {"student": student, "teacher": teacher},
    )


@declare(
    "two-dimensions",
    "D4",
    formula="K = 2, logits apart by a and b: L = log(1 + e^(a/τ_s)) − σ(b/τ_t) a/τ_s",
    kills="temperatures swapped, missing or fixed; student and teacher swapped",
    anchors=lambda subject: [
        subject.adapt(of_two_dimensions(student, teacher, for_student))
        for student, teacher in ((1.0, 0.5), (-1.0, 2.0), (0.25, -0.25), (3.0, 0.0))
        for for_student in (0.1, 1.0)
    ],
)
def two_dimensions(subject: LossSubject, example: Example) -> None:
    gap = example.case["student"] / example.hyper["student_temperature"]
    wanted = example.case["teacher"] / example.hyper["teacher_temperature"]
    share = 1 / (1 + math.exp(-wanted))
    expected = max(gap, 0.0) + math.log1p(math.exp(-abs(gap))) - share * gap
    expected *= _terms(subject, example)
    tolerance = 2 * subject.tolerance(example, expected)
    subject.compare(subject.value(example), expected, tolerance, example, example.geometry)


def _shifted(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    for name in example.inputs:
        logits = example.inputs[name]
        index = torch.arange(logits.shape[0] * logits.shape[1]).view(*logits.shape[:2], 1)
        moved = logits + ((index * 3) % 7 - 2).double()
        yield f"with each row of {name} shifted", example.with_inputs(**{name: moved})


shift_of_each_row = unchanged(
    "shift-of-each-row",
    "D5",
    formula="L(s_i + a_i, t_i + b_i) = L(s_i, t_i) for numbers a_i and b_i",
    kills="a missing softmax, rows that are normalised, a softmax along another dimension",
    moves=_shifted,
)


def _hotter(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    student, teacher = _logits(example)
    for one, two in ((2.0, 1.0), (1.0, 2.0), (4.0, 2.0)):
        yield (
            f"with logits and temperatures times {one:g} and {two:g}",
            example.with_inputs(
                projections=one * student, teacher_projections=two * teacher
            ).with_hyper(
                student_temperature=one * example.hyper["student_temperature"],
                teacher_temperature=two * example.hyper["teacher_temperature"],
            ),
        )


logits_over_temperature = unchanged(
    "logits-over-temperature",
    "D6",
    formula="L(a s, b t; a τ_s, b τ_t) = L(s, t; τ_s, τ_t) for a, b > 0",
    kills="temperatures missing, swapped, clamped or applied twice",
    moves=_hotter,
    applies=lambda subject: (
        ""
        if subject.takes >= {"student_temperature", "teacher_temperature"}
        else "make does not take both temperatures, so they can't be varied"
    ),
)


@declare(
    "gradient-sums-to-zero",
    "D7",
    formula="Σ over dimensions of ∂L/∂s = 0 in each row, and no entry is over 1/(τ_s B (V − 1))",
    kills="a normalisation that is detached or missing, a sum over samples",
    anchors=anchors,
    examples=examples,
    max_examples=20,
)
def gradient_sums_to_zero(subject: LossSubject, example: Example) -> None:
    score, found = subject.gradients(example)
    student, _ = _logits(example)
    views, count, _ = student.shape
    most = _terms(subject, example) / (example.hyper["student_temperature"] * count * (views - 1))
    tolerance = 4 * subject.tolerance(example, float(score))
    off = float(found["projections"].sum(-1).abs().max()) / most
    subject.at_most(off, 0.0, tolerance, example, "Σ ∂L/∂s, in units of the largest entry")
    largest = float(found["projections"].abs().max()) / most
    subject.at_most(largest, 1.0, tolerance, example, "|∂L/∂s|, in units of its bound")


@declare(
    "views-are-crossed",
    "D8",
    formula="∂L/∂s of a view depends on the teacher's logits of the other views, not of that view",
    kills="a view paired with itself, a pair that is left out",
    anchors=first_anchors,
)
def views_are_crossed(subject: LossSubject, example: Example) -> None:
    student, teacher = _logits(example)
    for_teacher = example.hyper["teacher_temperature"]
    # All other rows are uniform, so a row's gradient shows which rows it is compared with.
    even = torch.zeros_like(teacher)
    pull = for_teacher * fixed("pull", *teacher.shape[1:])
    for view in (0, 1):
        moved = even.clone()
        moved[view] = pull
        given = example.with_inputs(
            projections=torch.zeros_like(student), teacher_projections=moved
        )
        score, found = subject.gradients(given)
        sizes = found["projections"].abs().amax((1, 2))
        unit = float(subject.family.gradient_scale(given.inputs, given.hyper)["projections"].max())
        tolerance = 8 * subject.tolerance(given, float(score)) * unit
        subject.at_most(float(sizes[view]), 0.0, tolerance, given, f"∂L/∂s of view {view}")
        others = torch.cat([sizes[:view], sizes[view + 1 :]])
        subject.at_most(
            float(others.max() - others.min()), 0.0, tolerance, given, "∂L/∂s between other views"
        )
        subject.at_most(1e-6 * unit, float(others.min()), 0.0, given, "∂L/∂s of another view, of 0")


DINO_PROPERTIES: tuple[Property, ...] = (
    at_least_the_entropy,
    matched_student,
    uniform_student,
    two_dimensions,
    shift_of_each_row,
    logits_over_temperature,
    gradient_sums_to_zero,
    views_are_crossed,
    sample_permutation("D9"),
    dimension_permutation("D10"),
    view_swap("D11"),
    decomposes_over_samples("D12"),
)
