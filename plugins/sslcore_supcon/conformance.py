"""The family of supervised contrastive losses; it needs the extra `sslcore[test]`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.testing import Example, Family, HyperRange, declare, register_family
from sslcore.testing.losses.draws import fixed, hypers, irregular, tensors, without_zero_rows
from sslcore.testing.losses.extremes import HUGE, TINY
from sslcore.testing.losses.invariances import unchanged
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore_supcon.mutants import CONTROL, MUTANTS, SIGNALS

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Inputs = dict[str, Tensor]
Hyper = Mapping[str, float]

#: (V, N, D, τ, classes), small ones first.
_SIZES = (
    (2, 2, 2, 0.5, 2),
    (2, 3, 3, 1.0, 2),
    (2, 4, 3, 0.2, 2),
    (3, 3, 4, 0.1, 3),
    (2, 5, 8, 0.07, 1),
    (2, 9, 2, 2.0, 4),
    (2, 40, 5, 0.5, 10),
)
_LABELS = ("of few classes", "all of one class", "all different", "some without a label")


def _unit(rows: Tensor) -> Tensor:
    result: Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return result


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over views i of −1/|P(i)| Σ_p log( e^(s_ip/τ) / Σ_{k ≠ i} e^(s_ik/τ) ).

    A loop over views, so that it shares no indexing with the losses.
    """
    views, count = inputs["projections"].shape[:2]
    rows = [(view, image) for view in range(views) for image in range(count)]
    unit = {row: _unit(inputs["projections"][row]) for row in rows}
    labels = inputs["labels"].tolist()
    losses = []
    for i in rows:
        others = [k for k in rows if k != i]
        similar = torch.stack([unit[i] @ unit[k] for k in others]) / hyper["temperature"]
        alike = [
            position
            for position, k in enumerate(others)
            if k[1] == i[1] or (labels[k[1]] == labels[i[1]] and labels[i[1]] >= 0)
        ]
        losses.append(similar.logsumexp(0) - similar[alike].mean())
    return torch.stack(losses).mean()


# Examples


def example_of(
    projections: Tensor, labels: Tensor, temperature: float = 0.5, geometry: str = ""
) -> Example:
    """Return an example of projections (V, N, D) and labels (N,)."""
    inputs = dict(zip(SIGNALS, (projections, labels), strict=True))
    return Example(inputs, {"temperature": temperature}, geometry)


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of ordinary examples."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        views, count, dim = (
            draw(st.integers(2, 3)),
            draw(st.integers(1, 4)),
            draw(st.integers(1, 4)),
        )
        geometry = draw(st.sampled_from(_LABELS))
        least = -1 if geometry == "some without a label" else 0
        labels = torch.tensor([draw(st.integers(least, 2)) for _ in range(count)])
        if geometry == "all of one class":
            labels = labels * 0
        elif geometry == "all different":
            labels = torch.arange(count)
        projections = without_zero_rows(draw(tensors(views, count, dim)))
        if draw(st.booleans()):
            projections = projections + irregular(*projections.shape)
        return Example(
            dict(zip(SIGNALS, (projections, labels), strict=True)), draw(hypers(ranges)), geometry
        )

    return drawn()


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first, some with images without a label."""
    found = []
    for position, (views, count, dim, temperature, classes) in enumerate(_SIZES):
        labels = (torch.arange(count) * 2 + torch.arange(count) // 3) % classes
        if position % 2:
            labels[-2:] = -1
        found.append(example_of(fixed("supcon", views, count, dim), labels, temperature))
    return found


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return rows that are zero, huge or tiny in a type."""
    labels = torch.tensor([0, 1, 0, -1])
    given = fixed("supcon", 2, 4, 5)
    zero = given.clone()
    zero[0, 1] = 0
    largest = given.abs().max()
    return {
        "a zero row": example_of(zero, labels),
        "all rows zero": example_of(given * 0, labels),
        "a low temperature": example_of(given, labels, 1e-3 if dtype == "float64" else 0.02),
        "huge rows": example_of(given * (HUGE[dtype] / largest), labels),
        "tiny rows": example_of(given * (TINY[dtype] / largest), labels),
    }


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return projections and labels whose shapes don't match."""
    projections, labels = inputs["projections"], inputs["labels"]
    return {
        "another number of labels": {**inputs, "labels": labels[:-1]},
        "one label against several images": {**inputs, "labels": labels[:1]},
        "labels of each view": {**inputs, "labels": labels.expand(len(projections), -1)},
        "labels that are no integers": {**inputs, "labels": labels.double()},
        "no dimension of views": {**inputs, "projections": projections[0]},
        "one view": {**inputs, "projections": projections[:1]},
        "an empty batch": {"projections": projections[:, :0], "labels": labels[:0]},
    }


def _gradient_scale(inputs: Inputs, hyper: Hyper) -> Mapping[str, Tensor]:
    """Return (2/τ)/(N‖z‖) for each row, a bound on its gradient."""
    rows = inputs["projections"]
    lengths = rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return {"projections": 2 / (hyper["temperature"] * rows.shape[1] * lengths)}


# Properties


@declare(
    "rows-alike-give-the-number-of-others",
    "SC1",
    formula="all rows alike: L = log(VN − 1) for any labels; and |L − log(VN − 1)| ≤ 2/τ always",
    kills="the view itself in the denominator, a sum for a mean, a factor",
    anchors=anchors,
    examples=examples,
    max_examples=10,
)
def rows_alike(subject: LossSubject, example: Example) -> None:
    rows = example.inputs["projections"]
    room = math.log(rows.shape[:2].numel() - 1)
    alike = example.with_inputs(projections=torch.ones_like(rows))
    tolerance = 2 * subject.tolerance(alike, room)
    subject.compare(subject.value(alike), room, tolerance, alike, "all rows alike")
    bound = 2 / example.hyper["temperature"]
    off = abs(subject.value(example) - room)
    subject.at_most(off, bound, subject.tolerance(example, bound), example, "|L − log(VN − 1)|")


@declare(
    "classes-on-axes",
    "SC2",
    formula="C orthogonal classes of n images each: L = log(Vn − 1 + (C − 1) V n e^(−1/τ)), where "
    "equation (3), with the mean inside the logarithm, has the same value",
    kills="positives left out of the denominator, labels of other images, a wrong temperature",
    anchors=lambda subject: anchors(subject)[:2],
)
def classes_on_axes(subject: LossSubject, example: Example) -> None:
    views, temperature = 2, example.hyper["temperature"]
    for classes, each in ((2, 1), (3, 2), (2, 4)):
        labels = torch.arange(classes).repeat(each)
        rows = torch.eye(classes, dtype=torch.float64)[labels].expand(views, -1, -1).clone()
        given = example.with_inputs(projections=rows, labels=labels)
        alike, others = views * each - 1, (classes - 1) * views * each
        # Subtracting the positives' similarity 1/τ from all of them.
        expected = math.log(alike + others * math.exp(-1 / temperature))
        tolerance = 2 * subject.tolerance(given, expected)
        subject.compare(subject.value(given), expected, tolerance, given, f"{classes} classes")


@declare(
    "gradient-is-tangential",
    "SC3",
    formula="⟨∂L/∂z_i, z_i⟩ = 0",
    kills="rows that are not normalised, a detached norm",
    anchors=anchors,
    examples=examples,
    max_examples=10,
)
def gradient_is_tangential(subject: LossSubject, example: Example) -> None:
    score, found = subject.gradients(example)
    radial = (found["projections"] * example.inputs["projections"]).sum(-1).abs().max()
    tolerance = 8 * subject.tolerance(example, float(score))
    subject.at_most(float(radial), 0.0, tolerance, example, "⟨∂L/∂z, z⟩")


def _reordered(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    rows, labels = example.inputs["projections"], example.inputs["labels"]
    for order in (torch.arange(len(labels)).roll(1), torch.arange(len(labels)).flip(0)):
        moved = example.with_inputs(projections=rows[:, order], labels=labels[order])
        yield f"images in the order {order.tolist()}", moved
    yield "views in reverse", example.with_inputs(projections=rows.flip(0))


def _relabelled(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    labels = example.inputs["labels"]
    other = torch.where(labels < 0, labels, 7 - 2 * labels + 3 * int(labels.max().clamp_min(0)))
    yield "with other numbers for the classes", example.with_inputs(labels=other)
    alone = torch.where(labels < 0, 100 + torch.arange(len(labels)), labels)
    yield "with a class for each image without a label", example.with_inputs(labels=alone)


def _rescaled(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    rows = example.inputs["projections"]
    index = torch.arange(rows.shape[:2].numel()).view(*rows.shape[:2], 1)
    yield "rows rescaled", example.with_inputs(projections=rows * 2.0 ** ((index * 3) % 5 - 2))


SUPCON = register_family(
    Family(
        name="supcon",
        summary="Identify all views of all images of a class among the views of the batch",
        signals=SIGNALS,
        reference=reference,
        hyper={
            "temperature": HyperRange(0.1, (0.5, 0.1, 1.0, 0.07, 2.0), 0.05, 5.0, required=True)
        },
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=("a zero row", "all rows zero", "a low temperature"),
        malformed=malformed,
        trainable=("projections",),
        scale=lambda inputs, hyper: 2 / hyper["temperature"],
        gradient_scale=_gradient_scale,
        properties=(
            rows_alike,
            classes_on_axes,
            gradient_is_tangential,
            unchanged(
                "joint-permutation",
                "SC4",
                formula="L is the same for images in any order, with their labels, and any order "
                "of the views",
                kills="images or views that count by position, labels of another image",
                moves=_reordered,
            ),
            unchanged(
                "classes-have-no-number",
                "SC5",
                formula="L is the same if classes get other numbers; an image with the label −1 is "
                "a class of its own",
                kills="unlabelled images as one class, a class left out",
                moves=_relabelled,
            ),
            unchanged(
                "scale-of-each-row",
                "SC6",
                formula="L(c_i z_i) = L(z_i) for every c_i > 0",
                kills="rows that are not normalised, or along the wrong dimension",
                moves=_rescaled,
            ),
        ),
        mutants=MUTANTS,
        control=CONTROL,
    )
)
