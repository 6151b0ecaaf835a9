"""Properties of losses that compare hidden patches only."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.invariances import each, sample_permutation, unchanged, view_swap
from sslcore.testing.losses.masked_reconstruction_mutants import hidden_pixels
from sslcore.testing.losses.reconstruction_properties import (
    joint_translation,
    quadratic_in_scale,
    quadratic_towards_target,
    targets_come_before_views,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples, first_anchors
from sslcore.testing.property import Property, declare
from sslcore.testing.violation import Violation


def _parts(example: Example) -> tuple[Tensor, Tensor]:
    return example.inputs["reconstructions"], example.inputs["targets"]


def as_many_in_each(example: Example) -> Example:
    """Return the example with equally many patches hidden in each image.

    Then the mean over all hidden pixels equals the mean of the means of the images.
    """
    mask = example.inputs["mask"]
    ranks = fixed("ranks", *mask.shape).argsort(-1).argsort(-1)
    return example.with_inputs(mask=ranks < max(1, mask.shape[-1] // 2))


@declare(
    "visible-patches-are-ignored",
    "M1",
    formula="L does not depend on visible pixels, and ∂L/∂x = 0 there",
    kills="a mask that is ignored, inverted, of another image, or in another order",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def visible_patches_are_ignored(subject: LossSubject, example: Example) -> None:
    found, targets = _parts(example)
    hidden = hidden_pixels(example.inputs["mask"], found)
    moved = example.with_inputs(
        reconstructions=torch.where(hidden, found, 2 - found),
        targets=torch.where(hidden, targets, targets.flip(-1) + 0.5),
    )
    value, gradients = subject.gradients(example)
    tolerance = subject.tolerance(example, float(value))
    subject.compare(subject.value(moved), float(value), tolerance, moved, "with others visible")
    visible = gradients["reconstructions"][~hidden].abs().sum()
    subject.at_most(float(visible), 0.0, 0.0, example, "|∂L/∂x| where it is visible")


@declare(
    "parts-add-up",
    "M2",
    formula="|M| L_M + |Mᶜ| L_Mᶜ = n · mean((x − y)²), M the hidden pixels, of n",
    kills="another count, a mean over all pixels, visible pixels that count",
    precondition="equally many patches hidden in each image, and at least one visible",
    anchors=lambda subject: [item for item in anchors(subject) if _patches(item) > 1],
    examples=examples,
    max_examples=15,
)
def parts_add_up(subject: LossSubject, example: Example) -> None:
    if _patches(example) < 2:
        return
    example = as_many_in_each(example)
    mask = example.inputs["mask"]
    found, targets = _parts(example)
    total = float((found - targets).square().mean())
    inverse = example.with_inputs(mask=~mask)
    part = float(mask.double().mean())
    got = part * subject.value(example) + (1 - part) * subject.value(inverse)
    subject.compare(got, total, subject.tolerance(example, total), example, "the two parts")


def _patches(example: Example) -> int:
    return example.inputs["mask"].shape[-1]


@declare(
    "all-hidden-is-mean-squared-error",
    "M3",
    formula="with every patch hidden L = mean((x − y)²)",
    kills="another power or count, patches that are left out",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def all_hidden_is_mean_squared_error(subject: LossSubject, example: Example) -> None:
    found, targets = _parts(example)
    given = example.with_inputs(mask=torch.ones_like(example.inputs["mask"]))
    expected = float((found - targets).square().mean())
    tolerance = subject.tolerance(given, expected)
    subject.compare(subject.value(given), expected, tolerance, given, "with every patch hidden")


@declare(
    "one-pixel-off",
    "M4",
    formula="L(y + δ e_i, y) = δ²/|M| where pixel i is hidden, and 0 where it is visible",
    kills="patches in another order, edges left out, another count",
    precondition="equally many patches hidden in each image",
    anchors=anchors,
)
def one_pixel_off(subject: LossSubject, example: Example) -> None:
    example = as_many_in_each(example)
    _, targets = _parts(example)
    hidden = hidden_pixels(example.inputs["mask"], targets)
    count = int(hidden.sum())
    step = max(1, targets.numel() // 12)
    for index in {*range(0, targets.numel(), step), targets.numel() - 1}:
        moved = targets.clone().flatten()
        moved[index] += 2
        added = float(moved[index] - targets.flatten()[index])
        given = example.with_inputs(reconstructions=moved.view_as(targets))
        expected = added**2 / count if bool(hidden.flatten()[index]) else 0.0
        where = tuple(int(item) for item in torch.unravel_index(torch.tensor(index), targets.shape))
        subject.compare(subject.value(given), expected, 1e-14, given, f"L with pixel {where} off")


@declare(
    "gradient-is-twice-the-difference",
    "M5",
    formula="∂L/∂x = 2 (x − y)/|M| in hidden pixels",
    kills="a detached factor, another power or count",
    precondition="equally many patches hidden in each image",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def gradient_is_twice_the_difference(subject: LossSubject, example: Example) -> None:
    example = as_many_in_each(example)
    found, targets = _parts(example)
    hidden = hidden_pixels(example.inputs["mask"], found)
    _, gradients = subject.gradients(example)
    expected = 2 * (found - targets) * hidden / int(hidden.sum())
    off = (gradients["reconstructions"] - expected).abs() - 2e-15 * expected.abs()
    subject.at_most(float(off.max()), 0.0, 1e-300, example, "|∂L/∂x − 2(x − y)/|M||")


def _nothing_hidden(subject: LossSubject) -> list[Example]:
    found = []
    for example in first_anchors(subject)[1:]:
        mask = example.inputs["mask"]
        found.append(example.with_inputs(mask=torch.zeros_like(mask)))
        some = mask.clone()
        some[:, -1] = False
        found.append(example.with_inputs(mask=some))
    return found


@declare(
    "nothing-hidden",
    "M6",
    formula="if no patch is hidden in one image or in all, L is finite or an error is raised",
    kills="0/0",
    anchors=_nothing_hidden,
)
def nothing_hidden(subject: LossSubject, example: Example) -> None:
    try:
        value, gradients = subject.gradients(example)
    except Violation:
        # The loss raised an error, or returned a value without a graph: nothing to compare.
        return
    finite = bool(torch.isfinite(gradients["reconstructions"]).all())
    if not (abs(float(value)) < float("inf") and finite):
        raise subject.violation(f"L is {float(value)}, or its gradient is not finite", example)


def _grids_moved(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    mask, found = example.inputs["mask"], example.inputs["reconstructions"]
    grid = round(mask.shape[-1] ** 0.5)
    side = found.shape[-1] // grid

    def turned(item: Tensor) -> Tensor:
        return item.transpose(-1, -2)

    cells = mask.unflatten(-1, (grid, grid))
    yield (
        "transposed, and the mask with it",
        each(turned)(example).with_inputs(mask=turned(cells).flatten(-2)),
    )
    yield (
        "moved by a patch, and the mask with it",
        each(lambda item: item.roll(side, -1))(example).with_inputs(
            mask=cells.roll(1, -1).flatten(-2)
        ),
    )


grid_moves = unchanged(
    "grid-moves-with-the-image",
    "M7",
    formula="L is the same for images transposed or rolled by a patch, with their masks",
    kills="patches in another order, a first or last patch that is treated differently",
    moves=_grids_moved,
)

MASKED: tuple[Property, ...] = (
    visible_patches_are_ignored,
    parts_add_up,
    all_hidden_is_mean_squared_error,
    one_pixel_off,
    gradient_is_twice_the_difference,
    nothing_hidden,
    grid_moves,
    sample_permutation("M8"),
    view_swap("M9"),
    quadratic_in_scale.named("quadratic-in-scale", code="M10"),
    joint_translation.named("joint-translation", code="M11"),
    quadratic_towards_target.named("quadratic-towards-target", code="M12"),
    targets_come_before_views.named("targets-come-before-views", code="M13"),
)
