"""Properties of losses that are the mean of squared differences."""

from __future__ import annotations

import torch

from sslcore.testing.losses.example import Example
from sslcore.testing.losses.invariances import (
    coarse_anchors,
    coarse_examples,
    each,
    joint_rotation,
    sample_permutation,
    unchanged,
    view_swap,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore.testing.property import Property, declare


@declare(
    "one-entry-off",
    "R1",
    formula="L(y, y) = 0, and L(y + δ e_i, y) = δ²/n for each of the n entries i",
    kills="entries left out or weighted, another power, another count",
    anchors=anchors,
    max_examples=10,
    examples=examples,
)
def one_entry_off(subject: LossSubject, example: Example) -> None:
    targets = example.inputs["targets"]
    exact = example.with_inputs(reconstructions=targets.clone())
    subject.compare(subject.value(exact), 0.0, 0.0, exact, "L of exact reconstructions")
    count = targets.numel()
    for index in sorted({0, count // 3, count // 2, count - 2, count - 1} & set(range(count))):
        for difference in (0.5, -4.0):
            moved = targets.clone().flatten()
            moved[index] += difference
            # The difference after rounding, not the number that was added.
            added = float(moved[index] - targets.flatten()[index])
            given = example.with_inputs(reconstructions=moved.view_as(targets))
            expected = added**2 / count
            tolerance = 8e-16 * expected * 8
            subject.compare(
                subject.value(given), expected, tolerance, given, f"L with entry {index} off"
            )


@declare(
    "gradient-is-twice-the-difference",
    "R2",
    formula="∂L/∂x = 2 (x − y)/n",
    kills="another power, a clipped or missing gradient, entries left out",
    anchors=anchors,
    max_examples=15,
    examples=examples,
)
def gradient_is_twice_the_difference(subject: LossSubject, example: Example) -> None:
    found, targets = example.inputs["reconstructions"], example.inputs["targets"]
    _, gradients = subject.gradients(example)
    expected = 2 * (found - targets) / found.numel()
    off = (gradients["reconstructions"] - expected).abs()
    room = 2e-15 * expected.abs()
    subject.at_most(float((off - room).max()), 0.0, 1e-300, example, "|∂L/∂x − 2(x − y)/n|")


@declare(
    "quadratic-in-scale",
    "R3",
    formula="L(c x, c y) = c² L(x, y)",
    kills="another power, an ε, a clamp, a squashing function",
    anchors=anchors,
    max_examples=10,
    examples=examples,
)
def quadratic_in_scale(subject: LossSubject, example: Example) -> None:
    value = subject.value(example)
    for factor in (2.0, -1.0, 0.25, 1024.0, 2.0**-12):
        scaled = each(lambda item, c=factor: c * item)(example)  # type: ignore[misc]
        # A power of two adds no rounding; only the order of the summands differs.
        expected = factor**2 * value
        subject.compare(subject.value(scaled), expected, 1e-14 * expected, scaled, f"c = {factor}")


@declare(
    "quadratic-towards-target",
    "R7",
    formula="L(t x + (1 − t) y, y) = t² L(x, y)",
    kills="another power, a term that does not come from the difference",
    anchors=anchors,
    max_examples=10,
    examples=examples,
)
def quadratic_towards_target(subject: LossSubject, example: Example) -> None:
    found, targets = example.inputs["reconstructions"], example.inputs["targets"]
    value = subject.value(example)
    for part in (0.5, 0.125, -1.0, 2.0):
        moved = example.with_inputs(reconstructions=part * found + (1 - part) * targets)
        size = float((found.abs() + targets.abs()).max())
        tolerance = 2e-15 * (part**2 * value + (1 + abs(part)) * size * abs(part) * value**0.5)
        tolerance += 8e-31 * size**2
        subject.compare(subject.value(moved), part**2 * value, tolerance, moved, f"t = {part}")


@declare(
    "symmetric",
    "R8",
    formula="L(y, x) = L(x, y)",
    kills="an error relative to the target, a squashing function on one side",
    anchors=anchors,
    max_examples=10,
    examples=examples,
)
def symmetric(subject: LossSubject, example: Example) -> None:
    found, targets = example.inputs["reconstructions"], example.inputs["targets"]
    swapped = example.with_inputs(reconstructions=targets, targets=found)
    value = subject.value(example)
    tolerance = subject.tolerance(example, value)
    subject.compare(subject.value(swapped), value, tolerance, swapped, "with the two swapped")


def _takes_both(subject: LossSubject) -> str:
    example = anchors(subject)[0]
    loss = subject.make(example)
    if subject.is_plain(loss) or not {"views", "targets"} <= set(
        subject.given(loss, example.inputs)
    ):
        return "the loss does not take both views and targets"
    return ""


targets_come_before_views = unchanged(
    "targets-come-before-views",
    "R9",
    formula="if there are targets, L does not depend on the views",
    kills="the augmented views as targets",
    moves=lambda subject, example: [
        ("other views", example.with_inputs(views=example.inputs["views"].flip(-1) + 1))
    ],
    applies=_takes_both,
)
joint_translation = unchanged(
    "joint-translation",
    "R4",
    formula="L(x + a, y + a) = L(x, y)",
    kills="an error relative to the target, a clamp, a squashing function",
    anchors=coarse_anchors,
    examples=coarse_examples,
    moves=lambda subject, example: [
        (f"with {shift:g} added", each(lambda item, a=shift: item + a)(example))  # type: ignore[misc]
        for shift in (1.0, -4096.0)
    ],
)
doubled_batch = unchanged(
    "doubled-batch",
    "R6",
    formula="repeating every image does not change L",
    kills="a sum over images, a maximum over images, a wrong count",
    moves=lambda subject, example: [
        ("every image twice", each(lambda item: torch.cat([item, item], 1))(example))
    ],
)

RECONSTRUCTION_PROPERTIES: tuple[Property, ...] = (
    one_entry_off,
    gradient_is_twice_the_difference,
    quadratic_in_scale,
    joint_translation,
    joint_rotation("R5"),
    doubled_batch,
    quadratic_towards_target,
    symmetric,
    sample_permutation("R10"),
    view_swap("R11"),
    targets_come_before_views,
)
