"""Predictions with one score for all right features and one for all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st

from sslcore.testing.losses.example import Example
from sslcore.testing.losses.prediction_examples import exact_predictions, sequence
from sslcore.testing.losses.subject import LossSubject

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def constant_scores(
    sizes: tuple[int, int, int], positive: float, other: float, temperature: float
) -> Example:
    """Return (K, V, B) predictions that score `positive` with the right features, else `other`."""
    steps, views, count = sizes
    features = torch.eye(views * count, dtype=torch.float64).view(views, count, -1)
    predictions = other + (positive - other) * exact_predictions(features, steps)
    return Example(
        sequence(predictions, features),
        {"temperature": temperature},
        f"right ones score {positive:g}, all others {other:g}",
        {"positive": positive, "other": other},
    )


def constant_anchors(subject: LossSubject) -> Sequence[Example]:
    """Return fixed predictions whose scores take two values."""
    return [
        subject.adapt(constant_scores(sizes, positive, other, temperature))
        for temperature in (1.0, 0.1, 2.0)
        for sizes, positive, other in (
            ((1, 2, 2), 1.0, 0.0),
            ((1, 2, 3), 1.0, 1.0),  # all scores are equal: L = log N
            ((2, 3, 2), 0.5, -0.25),
            ((3, 5, 4), -0.5, 0.125),
        )
    ]


def constant_draws(subject: LossSubject) -> SearchStrategy[Example]:
    """Return a strategy of predictions whose scores take two values."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        views = draw(st.integers(2, 4))
        sizes = (draw(st.integers(1, views - 1)), views, draw(st.integers(2, 4)))
        positive = draw(st.sampled_from([1.0, 0.5, -0.5, -1.0, 3.0]))
        other = draw(st.sampled_from([0.0, 1.0, 0.25, -0.5, -2.0]))
        temperature = draw(st.sampled_from([1.0, 0.5, 0.1, 2.0, 5.0]))
        return constant_scores(sizes, positive, other, temperature)

    return drawn().map(subject.adapt)
