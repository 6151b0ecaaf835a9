"""Queries and keys for checks of MoCo's losses: ordinary, degenerate and malformed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.testing.losses.draws import fixed, hypers, irregular, shaped, tensors
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.extremes import HUGE, TINY
from sslcore.testing.losses.family import HyperRange
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

KEYS = "teacher_projections"

#: Values drawn for τ: ordinary ones first, then those in use and extremes.
TEMPERATURE = HyperRange(0.2, (0.2, 1.0, 0.5, 0.07, 2.0, 10.0), 0.05, 5.0, required=True)

_GEOMETRIES = (
    "plain",
    "plain",
    "queries at their keys",
    "queries opposite their keys",
    "two images alike",
    "all alike",
    "orthonormal",
    "of very different lengths",
)

#: (B, D, τ): small ones first, then sizes at which chunks and strides go wrong.
_SIZES = (
    (2, 2, 0.5),
    (2, 3, 1.0),
    (3, 4, 0.2),
    (4, 3, 0.07),
    (2, 1, 0.5),
    (5, 8, 0.1),
    (7, 2, 2.0),
    (6, 4, 0.01),
    (33, 5, 0.5),
    (4, 200, 0.2),
    (130, 3, 1.0),
    (2, 1030, 0.2),
)


def unit(rows: Tensor) -> Tensor:
    """Return rows (..., D) at unit length; a zero row stays zero."""
    result: Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return result


def norm_detached(rows: Tensor) -> Tensor:
    """Return rows at unit length with a detached length: a fault."""
    result: Tensor = rows / rows.norm(dim=-1, keepdim=True).detach().clamp_min(1e-12)
    return result


def small_anchors(subject: LossSubject) -> Sequence[Example]:
    """Return the family's fixed examples that are small enough for many calls."""
    return [example for example in anchors(subject) if example.size <= 200]


def lengths(rows: Tensor) -> Tensor:
    """Return the lengths (..., 1) of rows (..., D), none of them 0."""
    result: Tensor = rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return result


class Signals:
    """Examples of a loss that compares one signal with a teacher's projections.

    Args:
        queries: the student's signal, (2, B, D).
        further: hyperparameters besides the temperature, for fixed examples.
    """

    def __init__(self, queries: str, further: Mapping[str, float] | None = None) -> None:
        self.names = (queries, KEYS)
        self.further = dict(further or {})

    def example(
        self,
        queries: Tensor,
        keys: Tensor,
        temperature: float,
        geometry: str = "",
        **case: float,
    ) -> Example:
        """Return an example of queries and keys, (2, B, D) each."""
        inputs = dict(zip(self.names, (queries, keys), strict=True))
        return Example(inputs, {**self.further, "temperature": temperature}, geometry, case)

    def moved(self, example: Example, queries: Tensor, keys: Tensor) -> Example:
        """Return the example with other queries and keys."""
        return example.with_inputs(**dict(zip(self.names, (queries, keys), strict=True)))

    def of(self, example: Example) -> tuple[Tensor, Tensor]:
        """Return queries and keys."""
        return example.inputs[self.names[0]], example.inputs[KEYS]

    def drawn(self, ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
        """Return a strategy of ordinary examples."""

        @st.composite
        def drawn(draw: st.DrawFn) -> Example:
            count, dim = draw(st.integers(2, 5)), draw(st.integers(1, 5))
            geometry = draw(st.sampled_from(_GEOMETRIES))
            first, second = draw(tensors(2, 2, count, dim))
            queries, keys = shaped(first, geometry), shaped(second, geometry)
            if geometry == "queries at their keys":
                queries = keys.flip(0) * 0.5
            elif geometry == "queries opposite their keys":
                queries = keys.flip(0) * -2
            if draw(st.booleans()):
                queries = queries + irregular(*queries.shape)
            example = self.example(queries, keys, 0.5, geometry)
            return example.with_hyper(**draw(hypers(ranges)))

        return drawn()

    def anchors(self) -> Sequence[Example]:
        """Return fixed ordinary examples; in some, queries are near their keys."""
        found = []
        for position, (count, dim, temperature) in enumerate(_SIZES):
            queries, keys = fixed("moco", 2, 2, count, dim)
            if position % 3 == 1:
                queries = keys.flip(0) + 0.3 * queries
            found.append(self.example(queries, keys, temperature))
        return found

    def degenerate(self, dtype: str) -> Mapping[str, Example]:
        """Return rows that are zero, huge or tiny in a type."""
        queries, keys = fixed("moco", 2, 2, 4, 5)
        zero_query, zero_key = queries.clone(), keys.clone()
        zero_query[0, 1] = zero_key[1, 3] = 0
        largest = max(queries.abs().max(), keys.abs().max())
        huge, tiny = HUGE[dtype] / largest, TINY[dtype] / largest
        alike = queries[:1, :1].expand_as(queries).clone()
        return {
            "a zero row": self.example(zero_query, zero_key, 0.5),
            "all rows zero": self.example(queries * 0, keys * 0, 0.5),
            "all rows alike": self.example(alike, alike.clone(), 0.5),
            "a low temperature": self.example(queries, keys, 1e-3 if dtype == "float64" else 0.02),
            "huge rows": self.example(queries * huge, keys * huge, 0.5),
            "tiny rows": self.example(queries * tiny, keys * tiny, 0.5),
            "huge and tiny rows": self.example(queries * huge, keys * tiny, 0.5),
        }

    def malformed(self, inputs: Inputs) -> Mapping[str, Inputs]:
        """Return queries and keys whose shapes don't match."""
        queries, keys = inputs[self.names[0]], inputs[KEYS]

        def changed(change: Callable[[Tensor], Tensor]) -> Inputs:
            return {name: change(item) for name, item in inputs.items()}

        wrong: dict[str, Any] = {
            "another number of samples": keys[:, :-1],
            "one sample against several": keys[:, :1],
            "one view against two": keys[:1],
            "another dimension": keys[..., :-1],
            "one dimension against several": keys[..., :1],
            "no dimension of views": keys[0],
        }
        return {
            **{what: {**inputs, KEYS: item} for what, item in wrong.items()},
            "several samples against one": {**inputs, self.names[0]: queries[:, :1]},
            "an empty batch": changed(lambda item: item[:, :0]),
            "rows that are not vectors": changed(lambda item: item[..., 0]),
            "one view": changed(lambda item: item[:1]),
            "three views": changed(lambda item: torch.cat([item, item[:1]])),
        }


#: The degenerate examples with a finite gradient; a gradient grows as 1/‖q‖.
MODERATE = ("a zero row", "all rows zero", "all rows alike", "a low temperature")
