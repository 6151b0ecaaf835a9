"""The family of SwAV's loss, with prototypes as they are at the beginning, and no queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.testing import Example, Family, HyperRange, declare, register_family
from sslcore.testing.losses.draws import fixed, hypers, irregular, tensors, without_zero_rows
from sslcore.testing.losses.extremes import HUGE, TINY
from sslcore.testing.losses.invariances import sample_permutation, scale_of_each_row, view_swap
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore_swav.conformance.swapped_mutants import CONTROL, MUTANTS
from sslcore_swav.swapped import first_prototypes

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Inputs = dict[str, Tensor]
Hyper = Mapping[str, float]

_GEOMETRIES = ("plain", "plain", "two images alike", "all alike")
#: (V, B, D, τ, ε), small ones first.
_SIZES = (
    (2, 2, 2, 0.5, 0.5),
    (2, 3, 2, 0.1, 0.05),
    (3, 4, 3, 0.2, 0.1),
    (2, 5, 4, 1.0, 0.2),
    (5, 7, 3, 0.1, 0.05),
    (2, 33, 5, 0.2, 0.05),
)
_ITERATIONS = 3


@dataclass(frozen=True)
class WholeRange(HyperRange):
    """A hyperparameter of whole numbers."""

    def strategy(self) -> SearchStrategy[float]:
        """Return a strategy over the values and the range."""
        drawn = st.integers(int(self.low), int(self.high))
        return st.one_of(st.sampled_from(self.values), drawn)


def codes_of(scores: Tensor, epsilon: float) -> Tensor:
    """Return the balanced codes (B, K) of scores (B, K), by factors of rows and columns.

    Codes are u_b v_k exp(scores / ε), so that it shares no computation with the loss.
    """
    kernel = ((scores - scores.max()) / epsilon).exp()
    images = torch.ones(len(scores), dtype=scores.dtype)
    for _ in range(_ITERATIONS):
        prototypes = 1 / (images[:, None] * kernel).sum(0)
        images = 1 / (kernel * prototypes).sum(1)
    return images[:, None] * kernel * prototypes


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over pairs of views and over images of −Σ_k q_t^k log softmax_k."""
    views = inputs["projections"]
    found = views / views.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    prototypes = first_prototypes(int(hyper["prototypes"]), views.shape[-1]).double()
    losses = []
    for own in (0, 1):
        codes = codes_of(found[own].detach() @ prototypes.T, hyper["epsilon"])
        for other, view in enumerate(found):
            if other == own:
                continue
            for code, row in zip(codes, view, strict=True):
                logits = prototypes @ row / hyper["temperature"]
                losses.append(logits.logsumexp(0) - code @ logits)
    return torch.stack(losses).mean()


# Examples


def example_of(
    projections: Tensor, temperature: float = 0.1, epsilon: float = 0.05, geometry: str = ""
) -> Example:
    """Return an example of projections (V, B, D)."""
    hyper = {"temperature": temperature, "epsilon": epsilon, "prototypes": 6}
    return Example({"projections": projections}, hyper, geometry)


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of ordinary examples."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        views, count, dim = (
            draw(st.integers(2, 4)),
            draw(st.integers(1, 5)),
            draw(st.integers(1, 4)),
        )
        geometry = draw(st.sampled_from(_GEOMETRIES))
        rows = without_zero_rows(draw(tensors(views, count, dim)))
        if geometry == "two images alike":
            rows = torch.cat([rows[:, :1], rows[:, :1], rows[:, 2:]], 1)
        elif geometry == "all alike":
            rows = rows[:1, :1].expand_as(rows).clone()
        else:
            rows = rows + irregular(*rows.shape)
        return example_of(rows, geometry=geometry).with_hyper(**draw(hypers(ranges)))

    return drawn()


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first."""
    return [
        example_of(fixed("swav", views, count, dim), temperature, epsilon)
        for views, count, dim, temperature, epsilon in _SIZES
    ]


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return rows that are zero, huge or tiny in a type, and hard codes."""
    rows = fixed("swav", 2, 4, 5)
    zero = rows.clone()
    zero[0, 1] = zero[1, 3] = 0
    return {
        "a zero row": example_of(zero),
        "all rows zero": example_of(rows * 0),
        "hard codes": example_of(rows, epsilon=1e-3),
        "a low temperature": example_of(rows, 1e-3 if dtype == "float64" else 0.02),
        "huge rows": example_of(rows * (HUGE[dtype] / rows.abs().max())),
        "tiny rows": example_of(rows * (TINY[dtype] / rows.abs().max())),
    }


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return projections of other shapes."""
    rows = inputs["projections"]
    return {
        "no dimension of views": {"projections": rows[0]},
        "one view": {"projections": rows[:1]},
        "an empty batch": {"projections": rows[:, :0]},
        "whole numbers": {"projections": rows.round().long()},
    }


def _gradient_scale(inputs: Inputs, hyper: Hyper) -> Mapping[str, Tensor]:
    """Return 2/(τB‖z‖) for each row, a bound on its gradient."""
    rows = inputs["projections"]
    lengths = rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return {"projections": 2 / (hyper["temperature"] * rows.shape[1] * lengths)}


# Properties


@declare(
    "images-alike-share-all-prototypes",
    "SW1",
    formula="equal projections z of all images and views: every code is uniform, and L is the mean "
    "over k of −log softmax_k(z·c / τ)",
    kills="codes that are not balanced over the batch, such as a softmax or an argmax",
    anchors=anchors,
    examples=examples,
    max_examples=10,
)
def images_alike(subject: LossSubject, example: Example) -> None:
    rows = example.inputs["projections"]
    alike = example.with_inputs(projections=rows[:1, :1].expand_as(rows).clone())
    prototypes = first_prototypes(int(example.hyper["prototypes"]), rows.shape[-1]).double()
    logits = prototypes @ (rows[0, 0] / rows[0, 0].norm()) / example.hyper["temperature"]
    expected = float(logits.logsumexp(0) - logits.mean())
    tolerance = 2 * subject.tolerance(alike, expected)
    subject.compare(subject.value(alike), expected, tolerance, alike, "projections all alike")


@declare(
    "local-views-are-not-assigned",
    "SW2",
    formula="with views from the third on at zero, L = ((V − 2) log K + mean of the two swapped "
    "predictions) / (V − 1)",
    kills="codes of local views, pairs with another weight, a view paired with itself",
    anchors=anchors,
)
def local_views(subject: LossSubject, example: Example) -> None:
    rows = example.inputs["projections"][:2]
    pair = example.with_inputs(projections=rows)
    swapped = subject.value(pair)
    room = float(torch.tensor(float(example.hyper["prototypes"])).double().log())
    for more in (1, 3):
        zeros = torch.zeros(more, *rows.shape[1:], dtype=rows.dtype)
        given = example.with_inputs(projections=torch.cat([rows, zeros]))
        expected = (more * room + swapped) / (more + 1)
        tolerance = 3 * subject.tolerance(given, expected)
        subject.compare(subject.value(given), expected, tolerance, given, f"{more} local views")


SWAV = register_family(
    Family(
        name="swav",
        summary="Predict the balanced cluster of a global view from each other view",
        signals=("projections",),
        reference=reference,
        hyper={
            "temperature": HyperRange(0.1, (0.1, 0.2, 1.0), 0.05, 2.0, required=True),
            "epsilon": HyperRange(0.05, (0.05, 0.1, 0.5), 0.03, 1.0, required=True),
            "prototypes": WholeRange(6, (6, 2, 9), 2, 12, required=True),
        },
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=("a zero row", "all rows zero", "hard codes", "a low temperature"),
        malformed=malformed,
        trainable=("projections",),
        scale=lambda inputs, hyper: 2 / hyper["temperature"] * (1 + 1 / hyper["epsilon"]),
        gradient_scale=_gradient_scale,
        properties=(
            images_alike,
            local_views,
            sample_permutation("SW3"),
            scale_of_each_row("SW4"),
            view_swap("SW5"),
        ),
        mutants=MUTANTS,
        control=CONTROL,
        # The queue, which the examples leave empty; prototypes have one dimension.
        stateful=True,
        facts={"constant": "codes"},
    )
)
