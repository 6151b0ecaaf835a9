"""Properties of a loss outside all families: its known points, its formula, its images, its state.

What the signals are and which settings vary is in `custom`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.testing.losses.example import Example
from sslcore.testing.losses.invariances import in_other_orders
from sslcore.testing.losses.making import state_of
from sslcore.testing.losses.side_effects import other_numbers
from sslcore.testing.losses.signal_shapes import ENGINE
from sslcore.testing.losses.spec import LossSpec
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples, first_anchors
from sslcore.testing.property import Property, declare

_NO_FORMULA = "there is no formula"


def points_of(spec: LossSpec) -> list[Example]:
    """Return the points of a loss as examples, floating-point inputs in float64."""
    found = []
    for given, value in spec.points:
        tensors = {
            name: item.double() if item.is_floating_point() else item
            for name, item in given.items()
            if isinstance(item, Tensor)
        }
        engine = {name: float(item) for name, item in given.items() if name in ENGINE}
        case = {} if value is None else {"value": value}
        found.append(Example(tensors, {}, case=case, engine=engine))
    return found


@declare(
    "value-at-named-points",
    "P1",
    formula="L has the stated value at each stated point",
    kills="any fault that changes the value at these points",
    anchors=lambda subject: [
        subject.adapt(point) for point in points_of(subject.spec) if "value" in point.case
    ],
    applies=lambda subject: (
        ""
        if any(value is not None for _, value in subject.spec.points)
        else "no points are given: LossSpec(..., points=[(inputs, value)])"
    ),
)
def value_at_named_points(subject: LossSubject, example: Example) -> None:
    expected = example.case["value"]
    # A value written by hand has about seven digits.
    tolerance = max(subject.tolerance(example, expected), 1e-6 * (1 + abs(expected)))
    subject.compare(subject.value(example), expected, tolerance, example, "the stated value")


def _formula_at_points(subject: LossSubject, example: Example) -> None:
    expected = example.case["value"]
    tolerance = max(subject.tolerance(example, expected), 1e-6 * (1 + abs(expected)))
    found = subject.reference(example)
    subject.compare(found, expected, tolerance, example, "the formula itself, at a stated point")


formula_at_named_points = Property(
    "formula-at-named-points",
    "P1",
    "the formula has the stated value at each stated point",
    "a fault that the loss and its formula have in common",
    _formula_at_points,
    anchors=value_at_named_points.anchors,
    applies=lambda subject: (
        _NO_FORMULA if subject.family.formula is None else value_at_named_points.applies(subject)
    ),
)


def _draws(subject: LossSubject) -> str:
    if "random" in subject.family.signals and subject.family.formula is None:
        return "the loss draws random numbers by the position in the batch"
    return ""


@declare(
    "image-permutation",
    "P2",
    formula="L(P x) = L(x) for every permutation P of the images, the same in all signals",
    kills="images that count by position, a dropped last image, mispaired images",
    precondition="the formula, if there is one, has the same value too",
    anchors=anchors,
    examples=examples,
    applies=_draws,
    max_examples=15,
)
def image_permutation(subject: LossSubject, example: Example) -> None:
    expected, formula = subject.value(example), subject.family.formula
    tolerance = 2 * subject.tolerance(example, expected)
    exact = 0.0 if formula is None else formula.value(example)
    for _, moved in in_other_orders(subject, example):
        if formula is not None and not abs(formula.value(moved) - exact) <= tolerance:
            continue
        subject.compare(subject.value(moved), expected, tolerance, moved, "in another order")


@declare(
    "weight-gradient-matches-formula",
    "P3",
    formula="∂L/∂w equals the gradient of the formula, for each weight w of the loss",
    kills="a weight that is detached, not used, or used twice",
    anchors=first_anchors,
    applies=lambda subject: _weights_apply(subject),
)
def weight_gradient_matches_formula(subject: LossSubject, example: Example) -> None:
    formula = subject.family.formula
    assert formula is not None
    loss = subject.make(example)
    state = dict(formula.state(example))
    names = [name for name in _weights(loss) if name in state]
    for name in names:
        state[name] = state[name].clone().requires_grad_()
    expected = _gradients(formula(example, state), [state[name] for name in names])
    weights = _weights(loss)
    found = _gradients(subject.call(loss, example), [weights[name] for name in names])
    tolerance = subject.tolerance(example, subject.reference(example))
    for name, one, other in zip(names, found, expected, strict=True):
        error, largest = float((one - other).abs().max()), float(other.abs().max())
        subject.at_most(error, 0.0, 4 * tolerance * (1 + largest), example, f"∂L/∂{name}")


def _gradients(score: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    if not score.requires_grad:
        return [torch.zeros_like(item) for item in weights]
    found = torch.autograd.grad(score, weights, allow_unused=True)
    return [
        torch.zeros_like(weight) if gradient is None else gradient
        for weight, gradient in zip(weights, found, strict=True)
    ]


def _weights(loss: Any) -> dict[str, Tensor]:
    return {name: item for name, item in state_of(loss).items() if item.requires_grad}


def _weights_apply(subject: LossSubject) -> str:
    formula = subject.family.formula
    if formula is None:
        return _NO_FORMULA
    weights = _weights(subject.make(first_anchors(subject)[0]))
    if not weights:
        return "the loss has no weights"
    return "" if any(map(formula.takes, weights)) else "the formula takes none of the weights"


def _snapshot(loss: nn.Module) -> dict[str, Any]:
    return copy.deepcopy(loss.state_dict())


def _has_buffers(subject: LossSubject) -> str:
    loss = subject.make(first_anchors(subject)[0])
    has = isinstance(loss, nn.Module) and any(True for _ in loss.buffers())
    return "" if has else "the loss has no buffers"


@declare(
    "state-is-in-buffers",
    "P4",
    formula="after other batches, L is that of a new loss once the new loss's state is loaded",
    kills="a queue or a mean outside of the buffers: a resumed run would begin it anew",
    anchors=first_anchors,
    applies=_has_buffers,
)
def state_is_in_buffers(subject: LossSubject, example: Example) -> None:
    expected = subject.value(example)
    loss = subject.make(example)
    begun = _snapshot(loss)
    with torch.no_grad():
        subject.call(loss, example)
        subject.call(loss, other_numbers(example))
        loss.load_state_dict(begun)
        found = float(subject.call(loss, example))
    tolerance = subject.tolerance(example, expected)
    subject.compare(found, expected, tolerance, example, "with the first state loaded again")


@declare(
    "value-matches-formula-after-other-batches",
    "P5",
    formula="L equals the formula of the buffers as other batches left them",
    kills="a queue or a mean that is used after it is updated, or not used",
    anchors=first_anchors,
    applies=lambda subject: (
        _NO_FORMULA
        if (formula := subject.family.formula) is None
        else _has_buffers(subject)
        or ("" if formula.state(first_anchors(subject)[0]) else "the formula takes no buffer")
    ),
)
def value_matches_formula_after_other_batches(subject: LossSubject, example: Example) -> None:
    formula = subject.family.formula
    assert formula is not None
    loss = subject.make(example)
    with torch.no_grad():
        for other in (other_numbers(example), example):
            subject.call(loss, other)
            names = formula.state(example)
            state = {
                name: item.detach().clone()
                for name, item in state_of(loss).items()
                if name in names
            }
            expected = formula.value(example, state)
            found = float(subject.call(loss, example))
            tolerance = subject.tolerance(example, expected)
            subject.compare(found, expected, tolerance, example, "after other batches")


@declare(
    "images-without-a-label",
    "P6",
    formula="with the label −1 for some images, L raises an error or equals the formula",
    kills="−1 as the last class, a NaN where no image has a label",
    anchors=lambda subject: [
        unlabelled for example in first_anchors(subject) for unlabelled in _unlabelled(example)
    ],
    applies=lambda subject: (
        _NO_FORMULA
        if subject.family.formula is None
        else ""
        if "labels" in subject.family.signals
        else "the loss takes no labels"
    ),
)
def images_without_a_label(subject: LossSubject, example: Example) -> None:
    try:
        expected = subject.reference(example)
    except (RuntimeError, IndexError, ValueError):
        # The formula has no case for it.
        return
    try:
        found = subject.raw(subject.make(example), example, **example.inputs)
    except Exception:  # noqa: BLE001 - the checked code may raise anything
        return
    value = float(found["loss"] if isinstance(found, Mapping) else found)
    if abs(expected) < float("inf"):
        tolerance = subject.tolerance(example, expected)
        subject.compare(value, expected, tolerance, example, "with labels of −1")


def _unlabelled(example: Example) -> Iterable[Example]:
    labels = example.inputs["labels"]
    for chosen in (slice(0, 1), slice(None)):
        without = labels.clone()
        without[chosen] = -1
        yield replace(example, inputs={**example.inputs, "labels": without})


PROPERTIES: tuple[Property, ...] = (
    value_at_named_points,
    formula_at_named_points,
    image_permutation,
    weight_gradient_matches_formula,
    state_is_in_buffers,
    value_matches_formula_after_other_batches,
    images_without_a_label,
)
