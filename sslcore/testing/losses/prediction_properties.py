"""Properties of any loss that compares predictions with later features."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.testing.losses.draws import fixed, irregular
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.prediction_examples import SIGNALS, counted_pairs, sequence
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore.testing.property import APPLIES, Property, declare


def signals_of(example: Example) -> tuple[Tensor, Tensor]:
    """Return the step predictions and the features."""
    predictions, features = (example.inputs[name] for name in SIGNALS)
    return predictions, features


def moved(example: Example, predictions: Tensor, features: Tensor) -> Example:
    """Return the example with other step predictions and features."""
    return example.with_inputs(**sequence(predictions, features))


def same(
    subject: LossSubject, example: Example, other: Example, what: str, slack: float = 2.0
) -> None:
    """Raise a violation if the losses of two examples differ by more than rounding."""
    expected = subject.value(example)
    tolerance = max(subject.tolerance(item, expected) for item in (example, other))
    subject.compare(subject.value(other), expected, slack * tolerance, other, what)


def of_the_views(subject: LossSubject) -> str:
    """Return why a property of the order of views does not apply."""
    if subject.family.facts.get("negatives") == "positions":
        return "every view is compared with every other"
    return APPLIES


@declare(
    "images-permuted-together",
    "C1",
    formula="L(P x̂, P x) = L(x̂, x) for every permutation P of the images",
    kills="labels by position, a dropped last chunk",
    anchors=anchors,
    examples=examples,
)
def images_permuted_together(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    count = features.shape[1]
    for order in (torch.arange(count).roll(1), torch.arange(count).flip(0)):
        other = moved(example, predictions[:, :, order], features[:, order])
        same(subject, example, other, f"images in the order {order.tolist()}")


@declare(
    "features-rotated-together",
    "C4",
    formula="L(x̂ Q, x Q) = L(x̂, x) for orthogonal Q",
    kills="a dimension that is treated differently, rows normalised by another norm",
    anchors=anchors,
    examples=examples,
)
def features_rotated_together(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    width = features.shape[-1]
    turn = torch.linalg.qr(fixed("rotation", width, width))[0]
    other = moved(example, predictions @ turn, features @ turn)
    same(subject, example, other, "rotated", 4.0 + width**0.5)


def _steps_alone(example: Example) -> list[tuple[int, Example]]:
    """Return, for each step, its number of views and the sequence in which it is the first step."""
    predictions, features = signals_of(example)
    found = []
    for step in range(1, len(predictions) + 1):
        count = len(features) - step
        # Step k of a sequence is step 1 of the sequence of the views k, k + 1, …
        alone = torch.cat([features[:1], features[step:]])
        found.append((count, moved(example, predictions[step - 1 : step, : count + 1], alone)))
    return found


@declare(
    "mean-of-its-steps",
    "C16",
    formula="L is the mean of the losses of the single steps k, weighted by their V − k pairs (or "
    "equally, in that convention)",
    kills="steps that are summed, weighted or left out, views that are left out, an offset",
    anchors=anchors,
    examples=examples,
    applies=of_the_views,
)
def mean_of_its_steps(subject: LossSubject, example: Example) -> None:
    parts = [(count, subject.value(alone)) for count, alone in _steps_alone(example)]
    value = subject.value(example)
    total = sum(count for count, _ in parts)
    means = [sum(count * part for count, part in parts) / total]
    if "steps-equally" in subject.family.conventions:
        means.append(sum(part for _, part in parts) / len(parts))
    nearest = min(means, key=lambda mean: abs(mean - value))
    tolerance = 2 * subject.tolerance(example, value)
    subject.compare(value, nearest, tolerance, example, "against the mean over its steps")


def _disturbed(subject: LossSubject, example: Example) -> Example:
    """Return the example with all entries that do not count replaced."""
    predictions, features = signals_of(example)
    views = len(features)
    counts = torch.zeros(predictions.shape[:2], dtype=torch.bool)
    for step, view in counted_pairs(example.inputs):
        counts[step - 1, view] = True
    noise = 3.0 + 10 * irregular(*predictions.shape)
    predictions = torch.where(counts[:, :, None, None], predictions, noise)
    if of_the_views(subject) == APPLIES:
        first = torch.arange(views)[:, None, None] == 0
        features = torch.where(first, 2.0 + 10 * irregular(*features.shape), features)
    return moved(example, predictions, features)


@declare(
    "what-is-not-compared-does-not-matter",
    "C17",
    formula="entries with t + k ≥ V, and features that nothing predicts, change neither L nor its "
    "gradient; the gradient there is 0",
    kills="views counted around the end, an offset of k, entries without a view averaged in",
    anchors=anchors,
    examples=examples,
)
def what_is_not_compared_does_not_matter(subject: LossSubject, example: Example) -> None:
    other = _disturbed(subject, example)
    value, before = subject.gradients(example)
    score, after = subject.gradients(other)
    tolerance = 2 * subject.tolerance(example, float(value))
    subject.compare(float(score), float(value), tolerance, other, "with other entries there")
    changed = {
        name: bool((other.inputs[name] != example.inputs[name]).any(-1).any(-1).any())
        for name in SIGNALS
    }
    for name, gradient in after.items():
        largest = float(gradient.abs().max()) + float(before[name].abs().max())
        error = float((gradient - before[name]).abs().max())
        allowed = 4 * tolerance * (1 + largest)
        subject.at_most(error, 0.0, allowed, other, f"∂L/∂{name}, against before")
        if changed[name]:
            at = other.inputs[name] != example.inputs[name]
            inside = float((gradient * at).abs().max())
            subject.at_most(inside, 0.0, 0.0, other, f"∂L/∂{name} where nothing is compared")


PREDICTION: tuple[Property, ...] = (
    images_permuted_together,
    features_rotated_together,
    mean_of_its_steps,
    what_is_not_compared_does_not_matter,
)
