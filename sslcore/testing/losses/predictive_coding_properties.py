"""Properties of predictive coding, besides those of any loss over predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.testing.losses.draws import irregular
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.prediction_examples import (
    counted_pairs,
    exact_predictions,
    sequence,
)
from sslcore.testing.losses.prediction_properties import PREDICTION, moved, same, signals_of
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore.testing.property import Property, declare


def _exact(example: Example) -> Tensor:
    """Return exact predictions, and the given ones in entries that are not compared."""
    predictions, features = signals_of(example)
    exact = predictions.clone()
    for step, view in counted_pairs(example.inputs):
        exact[step - 1, view] = features[view + step]
    return exact


def _entries(example: Example) -> int:
    """Return the number of entries in the mean."""
    _, features = signals_of(example)
    return sum(1 for _ in counted_pairs(example.inputs)) * features[0].numel()


@declare(
    "zero-at-exact-predictions",
    "R1",
    formula="L ≥ 0, and L = 0 where x̂ = x in every entry that is compared",
    kills="an offset of k, a constant, a penalty, a wrong target",
    anchors=anchors,
    examples=examples,
)
def zero_at_exact_predictions(subject: LossSubject, example: Example) -> None:
    _, features = signals_of(example)
    exact = moved(example, _exact(example), features)
    tolerance = subject.tolerance(exact, 0.0)
    subject.compare(subject.value(exact), 0.0, tolerance, exact, "exact predictions")
    subject.at_most(-subject.value(example), 0.0, tolerance, example, "−L")


@declare(
    "one-entry-off",
    "R1",
    formula="x̂ off by c in a single entry of n that are compared: L = c²/n",
    kills="images, views or dimensions that are left out or have another weight",
    anchors=anchors,
)
def one_entry_off(subject: LossSubject, example: Example) -> None:
    _, features = signals_of(example)
    pairs = list(counted_pairs(example.inputs))
    count, width = features.shape[1:]
    entries = _entries(example)
    # The corners of the compared entries, and one entry inside.
    for place, image, dim in (
        (0, 0, 0),
        (-1, -1, -1),
        (0, -1, width // 2),
        (-1, 0, 0),
        (len(pairs) // 2, count // 2, -1),
    ):
        step, view = pairs[place]
        for gap in (0.5, -2.0):
            off = _exact(example)
            off[step - 1, view, image, dim] += gap
            # Rounding changes the gap slightly if the feature has many digits.
            arrived = float(off[step - 1, view, image, dim] - features[view + step, image, dim])
            other = moved(example, off, features)
            expected = arrived**2 / entries
            tolerance = subject.tolerance(other, expected)
            what = f"entry {dim} of image {image} off by {gap:g} at k = {step}, t = {view}"
            subject.compare(subject.value(other), expected, tolerance, other, what)


@declare(
    "gradient-is-the-gap",
    "R2",
    formula="∂L/∂x̂ = 2(x̂ − x)/n in the n entries that are compared, and 0 elsewhere",
    kills="a factor, a sum instead of a mean, a robust error, a clipped gradient",
    anchors=anchors,
    examples=examples,
)
def gradient_is_the_gap(subject: LossSubject, example: Example) -> None:
    predictions, _ = signals_of(example)
    expected = 2 * (predictions - _exact(example)) / _entries(example)
    _, found = subject.gradients(example)
    error = float((found["step_predictions"] - expected).abs().max())
    size = float(expected.abs().max()) + 1e-300
    allowed = 4 * subject.tolerance(example, 0.0) * size
    subject.at_most(error, 0.0, allowed, example, "∂L/∂x̂, against 2(x̂ − x)/n")


@declare(
    "translated-together",
    "R3",
    formula="L(x̂ + v, x + v) = L(x̂, x), with a vector v for each view and image",
    kills="rows that are normalised, a target that is scaled, a penalty on lengths",
    anchors=anchors,
    examples=examples,
)
def translated_together(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    # On a grid, so that drawn numbers stay exact.
    shift = (irregular(*features.shape) * 200).round() / 4
    ahead = exact_predictions(shift, len(predictions))
    # The sum has more digits before the point, and so fewer behind it.
    slack = 2.0 + 2 * float(shift.abs().max())
    same(subject, example, moved(example, predictions + ahead, features + shift), "moved", slack)


@declare(
    "square-of-the-scale",
    "R4",
    formula="L(c x̂, c x) = c² L(x̂, x); L(x + t(x̂ − x), x) = t² L(x̂, x)",
    kills="absolute or robust errors, a root, a constant, a clip",
    anchors=anchors,
    examples=examples,
)
def square_of_the_scale(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    value, exact = subject.value(example), _exact(example)
    for factor in (2.0, -0.5, 8.0):
        both = moved(example, factor * predictions, factor * features)
        near = moved(example, exact + factor * (predictions - exact), features)
        expected = factor**2 * value
        tolerance = 2 * subject.tolerance(example, expected)
        subject.compare(subject.value(both), expected, tolerance, both, f"times {factor:g}")
        # The sum x + c(x̂ − x) is rounded as well, relative to x.
        rounding = 1 + float(features.abs().max()) * (1 + abs(factor) * value**0.5)
        subject.compare(
            subject.value(near), expected, tolerance * rounding, near, f"gaps times {factor:g}"
        )


@declare(
    "batch-twice",
    "R5",
    formula="repeating every image, or every dimension, does not change L",
    kills="a sum instead of a mean, a mean over B − 1, a dropped last chunk",
    anchors=anchors,
    examples=examples,
)
def batch_twice(subject: LossSubject, example: Example) -> None:
    signals = signals_of(example)
    images = moved(example, *(torch.cat([item, item], -2) for item in signals))
    same(subject, example, images, "with every image twice")
    dimensions = moved(example, *(torch.cat([item, item], -1) for item in signals))
    same(subject, example, dimensions, "with every dimension twice")


@declare(
    "square-of-the-offset",
    "R6",
    formula="features that count the views, predicted d views off: L = d²",
    kills="an offset of k, steps or views in another order",
    anchors=lambda subject: [
        subject.adapt(_counting(steps, views, offset))
        for steps, views in ((1, 3), (2, 4), (3, 6))
        for offset in (0, 1, -1, 2)
    ],
)
def square_of_the_offset(subject: LossSubject, example: Example) -> None:
    expected = example.case["offset"] ** 2
    tolerance = subject.tolerance(example, expected)
    subject.compare(subject.value(example), expected, tolerance, example, example.geometry)


def _counting(steps: int, views: int, offset: int) -> Example:
    """Return features of view v that are all v, with predictions `offset` views off."""
    numbers = torch.arange(views, dtype=torch.float64)
    ahead = torch.arange(1, steps + 1, dtype=torch.float64)
    predictions = ahead[:, None] + numbers + offset
    return Example(
        sequence(
            predictions[:, :, None, None].expand(-1, -1, 2, 2).clone(),
            numbers[:, None, None].expand(-1, 2, 2).clone(),
        ),
        geometry=f"views that are counted, predicted {offset} off",
        case={"offset": float(offset)},
    )


PREDICTIVE_CODING: tuple[Property, ...] = (
    *PREDICTION,
    zero_at_exact_predictions,
    one_entry_off,
    gradient_is_the_gap,
    translated_together,
    square_of_the_scale,
    batch_twice,
    square_of_the_offset,
)
