"""Properties of contrastive predictive coding, besides those of any loss over predictions.

A family states in its `facts` whether its score is the `cosine`, and what its `negatives` are:
the other `images` at the predicted view, or all `positions` of all images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.arithmetic import log1p_exp
from sslcore.testing.losses.constant_scores import (
    constant_anchors,
    constant_draws,
    constant_scores,
)
from sslcore.testing.losses.draws import irregular
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.prediction_examples import (
    counted_pairs,
    exact_predictions,
)
from sslcore.testing.losses.prediction_properties import PREDICTION, moved, same, signals_of
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore.testing.property import APPLIES, Property, declare


def _everywhere(subject: LossSubject) -> bool:
    return subject.family.facts["negatives"] == "positions"


def _cosine(subject: LossSubject) -> bool:
    return bool(subject.family.facts["cosine"])


def _of_dot_products(subject: LossSubject) -> str:
    return "the score is the cosine" if _cosine(subject) else APPLIES


def _of_cosines(subject: LossSubject) -> str:
    return APPLIES if _cosine(subject) else "the score is the dot product"


def _candidates(subject: LossSubject, features: Tensor) -> int:
    """Return the number of candidates of a prediction."""
    views, count = features.shape[:2]
    return views * count if _everywhere(subject) else count


@declare(
    "empty-predictions-give-log-n",
    "C8",
    formula="x̂ orthogonal to all features (or zero, with dot products): L = log N",
    kills="no denominator, a candidate too many or too few, a constant, a sum instead of a mean",
    # Rounding errors of equal numbers add up if many are summed one by one.
    anchors=lambda subject: [item for item in anchors(subject) if item.size <= 400],
    examples=examples,
)
def empty_predictions_give_log_n(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    width = features.shape[-1]
    expected = math.log(_candidates(subject, features))
    others = [moved(example, F.pad(predictions, (width, 0)), F.pad(features, (0, width)))]
    if not _cosine(subject):
        others.append(moved(example, torch.zeros_like(predictions), features))
    for other in others:
        tolerance = subject.tolerance(other, expected)
        subject.compare(subject.value(other), expected, tolerance, other, "predicting nothing")


@declare(
    "common-shift-of-features",
    "C18",
    formula="adding one vector to all candidates does not change L: it shifts a row of scores",
    kills="no denominator, features that are normalised, negatives from elsewhere",
    anchors=anchors,
    examples=examples,
    applies=_of_dot_products,
)
def common_shift_of_features(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    views, _, width = features.shape
    shifts = 1 if _everywhere(subject) else views
    shift = 1.5 + 10 * irregular(shifts, 1, width)
    same(subject, example, moved(example, predictions, features + shift), "with features shifted")


@declare(
    "gradients-of-candidates-cancel",
    "C18",
    formula="Σ ∂L/∂x over the candidates of a prediction is 0",
    kills="a positive, a negative or a denominator that is detached",
    anchors=anchors,
    examples=examples,
    applies=_of_dot_products,
)
def gradients_of_candidates_cancel(subject: LossSubject, example: Example) -> None:
    score, found = subject.gradients(example)
    gradient = found["features"]
    total = gradient.sum((0, 1)) if _everywhere(subject) else gradient.sum(1)
    sizes = subject.family.gradient_scale(example.inputs, example.hyper)["features"]
    allowed = 4 * subject.tolerance(example, float(score)) * float(sizes.sum() + 1)
    subject.at_most(float(total.abs().max()), 0.0, allowed, example, "|Σ ∂L/∂x|")


@declare(
    "scale-exchanged",
    "C3",
    formula="L(c x̂, x/c) = L(x̂, x), and so ⟨x̂, ∂L/∂x̂⟩ = ⟨x, ∂L/∂x⟩",
    kills="one side that is normalised, the features detached, a penalty on lengths",
    anchors=anchors,
    examples=examples,
)
def scale_exchanged(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    for factor in (2.0, 0.25):
        other = moved(example, predictions * factor, features / factor)
        same(subject, example, other, f"with x̂ times {factor:g} and x divided by it")
    score, found = subject.gradients(example)
    ahead = float((found["step_predictions"] * predictions).sum())
    behind = float((found["features"] * features).sum())
    sizes = subject.family.gradient_scale(example.inputs, example.hyper)
    size = sum(float((sizes[name] * item.abs()).sum()) for name, item in example.inputs.items())
    allowed = 4 * subject.tolerance(example, float(score)) * (1 + size)
    subject.compare(ahead, behind, allowed, example, "⟨x̂, ∂L/∂x̂⟩ against ⟨x, ∂L/∂x⟩")


@declare(
    "temperature-divides-scores",
    "C3",
    formula="L(c x̂, x; cτ) = L(x̂, x; τ)",
    kills="temperature missing, inverted or applied twice; rows that are normalised",
    anchors=anchors,
    examples=examples,
    applies=lambda subject: (
        _of_dot_products(subject)
        or (APPLIES if "temperature" in subject.takes else "make takes no temperature")
    ),
)
def temperature_divides_scores(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    for factor in (2.0, 0.25):
        other = moved(example, predictions * factor, features)
        other = other.with_hyper(temperature=example.hyper["temperature"] * factor)
        same(subject, example, other, f"with x̂ and τ times {factor:g}")


@declare(
    "lengths-do-not-matter",
    "C3",
    formula="L(c_i x̂_i, d_j x_j) = L(x̂, x) for every c_i, d_j > 0",
    kills="rows that are not normalised, or normalised along the wrong dimension",
    anchors=anchors,
    examples=examples,
    applies=_of_cosines,
)
def lengths_do_not_matter(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)

    def factors(rows: Tensor) -> Tensor:
        count = rows[..., 0].numel()
        return 2.0 ** ((torch.arange(count) * 3) % 5 - 2).double().view(*rows.shape[:-1], 1)

    other = moved(example, predictions * factors(predictions), features * factors(features))
    same(subject, example, other, "with rows rescaled")


@declare(
    "features-padded-with-zeros",
    "C5",
    formula="appending dimensions of zeros does not change L",
    kills="a factor of F, a mean over dimensions instead of a sum",
    anchors=anchors,
    examples=examples,
)
def features_padded_with_zeros(subject: LossSubject, example: Example) -> None:
    other = moved(example, *(F.pad(item, (0, 3)) for item in signals_of(example)))
    same(subject, example, other, "padded with zeros")


@declare(
    "mean-over-rolls-of-images",
    "C10",
    formula="the mean over j of L(x̂, roll(x, j)) is at least log B, rolled over the images",
    kills="positives left out of the denominator, no denominator",
    anchors=anchors,
    examples=examples,
)
def mean_over_rolls_of_images(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    count = features.shape[1]
    if count > 20:
        return
    values = [
        subject.value(moved(example, predictions, features.roll(shift, 1)))
        for shift in range(count)
    ]
    tolerance = subject.tolerance(example, max(values))
    mean = sum(values) / count
    subject.at_most(-mean, -math.log(count), tolerance, example, "−(the mean over rolls)")


@declare(
    "constant-scores",
    "C8",
    formula="right candidates score s and all others ρ: L = log(1 + (N − 1) e^((ρ − s)/τ))",
    kills="temperature missing, inverted or applied twice; positives miscounted; an offset of k",
    anchors=constant_anchors,
    examples=constant_draws,
)
def right_ones_and_others(subject: LossSubject, example: Example) -> None:
    _, features = signals_of(example)
    positive, other = example.case["positive"], example.case["other"]
    length = 1.0
    if _cosine(subject):
        length = math.hypot(positive, other * math.sqrt(features.shape[-1] - 1))
    gap = (other - positive) / (length * example.hyper["temperature"])
    expected = log1p_exp(math.log(_candidates(subject, features) - 1) + gap)
    tolerance = 2 * subject.tolerance(example, expected)
    subject.compare(subject.value(example), expected, tolerance, example, example.geometry)


@declare(
    "right-offset-is-lowest",
    "C19",
    formula="with predictions one-hot for view t + k, moving any one step by a view raises L",
    kills="an offset of k, steps or views in another order, views and steps exchanged",
    anchors=lambda subject: [
        subject.adapt(constant_scores(sizes, 1.0, 0.0, 1.0))
        for sizes in ((1, 3, 2), (2, 4, 3), (3, 6, 2))
    ],
)
def right_offset_is_lowest(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    right = subject.value(example)
    for step in range(len(predictions)):
        for offset in (-1, 1):
            off = predictions.clone()
            off[step] = exact_predictions(features, len(predictions), offset)[step]
            other = moved(example, off, features)
            what = f"L at the right views, against step {step + 1} off by {offset}"
            subject.at_most(right, subject.value(other) - 1e-6, 0.0, other, what)


@declare(
    "hardest-candidate-bounds",
    "C9",
    formula="h ≤ L ≤ h + log N, h the mean of (highest score − the right one's)/τ",
    kills="nearly every wrong term",
    anchors=anchors,
    examples=examples,
)
def hardest_candidate_bounds(subject: LossSubject, example: Example) -> None:
    predictions, features = signals_of(example)
    if _cosine(subject):
        predictions, features = F.normalize(predictions, dim=-1), F.normalize(features, dim=-1)
    by_step: dict[int, list[float]] = {}
    for step, view in counted_pairs(example.inputs):
        ahead = predictions[step - 1, view]
        among = features.flatten(0, 1) if _everywhere(subject) else features[view + step]
        own = (ahead * features[view + step]).sum(-1)
        gaps = ((ahead @ among.T).amax(-1) - own) / example.hyper["temperature"]
        by_step.setdefault(step, []).append(float(gaps.mean()))
    pairs = [gap for gaps in by_step.values() for gap in gaps]
    steps = [sum(gaps) / len(gaps) for gaps in by_step.values()]
    # Steps are weighted by their pairs or equally: both are in use.
    means = [sum(pairs) / len(pairs), sum(steps) / len(steps)]
    value, room = subject.value(example), math.log(_candidates(subject, features))
    tolerance = subject.tolerance(example, value)
    subject.at_most(min(means), value, tolerance, example, "h, below L")
    subject.at_most(value, max(means) + room, tolerance, example, "L")


CPC: tuple[Property, ...] = (
    *PREDICTION,
    empty_predictions_give_log_n,
    common_shift_of_features,
    gradients_of_candidates_cancel,
    scale_exchanged,
    temperature_divides_scores,
    lengths_do_not_matter,
    features_padded_with_zeros,
    mean_over_rolls_of_images,
    right_ones_and_others,
    right_offset_is_lowest,
    hardest_candidate_bounds,
)
