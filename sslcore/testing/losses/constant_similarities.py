"""Pairs of views with one similarity for all positives and one for all negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st

from sslcore.testing.losses.example import Example
from sslcore.testing.losses.subject import LossSubject

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_TEMPERATURES = (0.5, 0.1, 1.0, 5.0)


def drawn_constants() -> SearchStrategy[Example]:
    """Return a strategy of pairs whose similarities take two values."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        count = draw(st.integers(2, 6))
        positive = draw(st.sampled_from([1.0, 0.5, 0.0, -0.5, -1.0, 0.9]))
        temperature = draw(st.sampled_from([*_TEMPERATURES, 0.25, 2.0]))
        lowest, highest = _admissible(count, positive)
        share = draw(st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.75]))
        return constant_similarities(
            count, positive, lowest + share * (highest - lowest), temperature
        )

    return drawn()


def _admissible(count: int, positive: float) -> tuple[float, float]:
    """Return the lowest and the highest similarity that all negatives can have at once."""
    return -(1 + positive) / (2 * (count - 1)), (1 + positive) / 2


def constant_similarities(
    count: int, positive: float, negative: float, temperature: float
) -> Example:
    """Return N pairs at similarity `positive`, with all other similarities at `negative`."""
    gram = torch.full((2 * count, 2 * count), negative, dtype=torch.float64)
    index = torch.arange(2 * count)
    gram[index, (index + count) % (2 * count)] = positive
    gram[index, index] = 1.0
    values, vectors = torch.linalg.eigh(gram)
    rows = vectors * values.clamp_min(0).sqrt()
    return Example(
        {"projections": rows.view(2, count, 2 * count)},
        {"temperature": temperature},
        f"positives at {positive:g}, all others at {negative:.4g}",
        {"positive": positive, "negative": negative},
    )


def constant_anchors(subject: LossSubject) -> Sequence[Example]:
    """Return fixed pairs whose similarities take two values."""
    return [
        subject.adapt(constant_similarities(count, positive, negative, temperature))
        for temperature in (0.5, 0.1, 2.0)
        for count, positive, negative in (
            (2, 1.0, 1.0),  # collapse: L = log(M + 1)
            (2, 1.0, 0.0),  # identical orthonormal pairs
            (2, 0.0, 0.0),  # 2N orthonormal rows: log(M + 1) again
            (2, 0.5, -0.25),
            (3, 0.5, 0.25),
            (5, -0.5, 0.125),
        )
    ]
