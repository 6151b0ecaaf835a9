"""Properties of the form "L is the same after this change of the inputs", for any family.

Inputs are stacked as (views, samples, …); the last dimension holds the vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore.testing.property import Property

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: Makes changed examples, each with a description of the change.
Moves = Callable[[LossSubject, Example], Iterable[tuple[str, Example]]]


def unchanged(
    name: str,
    code: str,
    *,
    formula: str,
    kills: str,
    moves: Moves,
    slack: float = 2.0,
    drifts: bool = False,
    **rest: Any,
) -> Property:
    """Return the property that certain changes of an example do not change the loss.

    Args:
        name: passed to `Property`, as are `code`, `formula`, `kills` and `rest`.
        code: see `name`.
        formula: see `name`.
        kills: see `name`.
        moves: the changed examples.
        slack: how many tolerances the two values may differ by.
        drifts: whether the property holds only up to ε in a convention with an ε; the loss may then
            change by as much as its reference does.
        rest: see `name`.
    """

    def check(subject: LossSubject, example: Example) -> None:
        expected = subject.value(example)
        for what, moved in moves(subject, example):
            tolerance = slack * max(
                subject.tolerance(example, expected), subject.tolerance(moved, expected)
            )
            if drifts:
                tolerance += 2 * abs(subject.reference(moved) - subject.reference(example))
            subject.compare(subject.value(moved), expected, tolerance, moved, what)

    return Property(
        name,
        code,
        formula,
        kills,
        check,
        **{"anchors": anchors, "examples": examples, "max_examples": 15, **rest},
    )


def each(change: Callable[[Tensor], Tensor]) -> Callable[[Example], Example]:
    """Return a change of examples from a change of each floating-point input."""

    def changed(example: Example) -> Example:
        moved = {
            name: change(item) if item.is_floating_point() else item
            for name, item in example.inputs.items()
        }
        return example.with_inputs(**moved)

    return changed


def coarse(example: Example) -> Example:
    """Return the example with entries at multiples of 2⁻²⁰: adding 4096 rounds none of them."""
    return each(lambda item: (item * 2**20).round() / 2**20)(example)


def coarse_anchors(subject: LossSubject) -> Sequence[Example]:
    """Return the family's fixed examples, made coarse."""
    return [coarse(example) for example in anchors(subject)]


def coarse_examples(subject: LossSubject) -> SearchStrategy[Example]:
    """Return the family's ordinary examples, made coarse."""
    return examples(subject).map(coarse)


def in_other_orders(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    """Yield an example with its images in other orders, the same in all signals."""
    axes = {
        name: axis for name in example.inputs if (axis := subject.family.axis_of(name)) is not None
    }
    name = next(iter(axes))
    count = example.inputs[name].shape[axes[name]]
    for order in (torch.arange(count).roll(1), torch.arange(count).flip(0)):
        moved = {
            name: example.inputs[name].index_select(axis, order) for name, axis in axes.items()
        }
        yield f"in the order {order.tolist()}", example.with_inputs(**moved)


def _swapped(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    def swap(item: Tensor) -> Tensor:
        return item[[1, 0, *range(2, len(item))]] if len(item) > 1 else item

    # A signal whose first axis are the images, such as labels, has no views.
    moved = {
        name: swap(item)
        for name, item in example.inputs.items()
        if subject.family.axis_of(name) != 0
    }
    yield "with the views swapped", example.with_inputs(**moved)


def _turned(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    size = next(iter(example.inputs.values())).shape[-1]
    turn = torch.linalg.qr(fixed("rotation", size, size))[0]
    yield "rotated", each(lambda item: item @ turn)(example)


def _padded(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    yield "padded with zeros", each(lambda item: F.pad(item, (0, 3)))(example)


def _rows_rescaled(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    def rescaled(item: Tensor) -> Tensor:
        rows = item.shape[:-1]
        index = torch.arange(rows.numel()) + item.shape[-1]
        return item * 2.0 ** ((index * 3) % 5 - 2).double().view(*rows, 1)

    for name in example.inputs:
        moved = example.with_inputs(**{name: rescaled(example.inputs[name])})
        yield f"with rows of {name} rescaled", moved


def _dimensions_reordered(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    size = next(iter(example.inputs.values())).shape[-1]
    for order in (torch.arange(size).roll(1), torch.arange(size).flip(0)):
        moved = {name: item[..., order] for name, item in example.inputs.items()}
        yield f"with dimensions {order.tolist()}", example.with_inputs(**moved)


def sample_permutation(code: str, **rest: Any) -> Property:
    """Return the property that samples may be reordered, jointly in all inputs."""
    return unchanged(
        "joint-permutation",
        code,
        formula="L(P x) = L(x) for every permutation P of the samples, the same in all inputs",
        kills="samples that count by position, a dropped last sample, mispaired samples",
        moves=in_other_orders,
        **rest,
    )


def view_swap(code: str, **rest: Any) -> Property:
    """Return the property that the first two views may be swapped, jointly in all inputs."""
    return unchanged(
        "view-swap",
        code,
        formula="L is the same with the first two views swapped",
        kills="one direction or view left out, or with another weight",
        moves=_swapped,
        **rest,
    )


def joint_rotation(code: str, **rest: Any) -> Property:
    """Return the property that an orthogonal map of the last dimension does not change L."""
    return unchanged(
        "joint-rotation",
        code,
        formula="L(x Q) = L(x) for orthogonal Q, the same for all inputs",
        kills="an entry or dimension that is treated differently, another norm",
        moves=_turned,
        slack=10.0,
        **rest,
    )


def zero_padding(code: str, **rest: Any) -> Property:
    """Return the property that appending dimensions of zeros does not change L."""
    return unchanged(
        "zero-padding",
        code,
        formula="appending dimensions of zeros does not change L",
        kills="a factor of D, a mean over dimensions instead of a sum",
        moves=_padded,
        **rest,
    )


def scale_of_each_row(code: str, **rest: Any) -> Property:
    """Return the property that scaling each row by a positive factor does not change L."""
    return unchanged(
        "scale-of-each-row",
        code,
        formula="L(c_i x_i) = L(x_i) for every c_i > 0, in each input separately",
        kills="rows that are not normalised, or normalised along the wrong dimension",
        moves=_rows_rescaled,
        **rest,
    )


def dimension_permutation(code: str, **rest: Any) -> Property:
    """Return the property that dimensions may be reordered, jointly in all inputs."""
    return unchanged(
        "dimension-permutation",
        code,
        formula="L(x P) = L(x) for every permutation P of the dimensions, the same in all inputs",
        kills="dimensions that count by position, or are paired with other dimensions",
        moves=_dimensions_reordered,
        **rest,
    )


def decomposes_over_samples(code: str, **rest: Any) -> Property:
    """Return the property that the loss of a batch is the mean of its samples' losses."""

    def check(subject: LossSubject, example: Example) -> None:
        count = next(iter(example.inputs.values())).shape[1]
        if count > 12:
            return
        value = subject.value(example)
        parts = []
        for index in range(count):
            one = {name: item[:, index : index + 1] for name, item in example.inputs.items()}
            parts.append(subject.value(example.with_inputs(**one)))
        tolerance = 2 * subject.tolerance(example, max(parts))
        what = "L of the batch, against the mean over its samples"
        subject.compare(value, sum(parts) / count, tolerance, example, what)

    return Property(
        "decomposes-over-samples",
        code,
        "L of a batch is the mean of L over its samples, each as a batch of one",
        "a sum over samples, statistics of the batch, samples that affect each other",
        check,
        **{"anchors": anchors, "examples": examples, "max_examples": 15, **rest},
    )
