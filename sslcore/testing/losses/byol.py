"""The family `byol` (Grill et al. 2020, equation 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.testing.losses.byol_mutants import CONTROL, MUTANTS, SIGNALS
from sslcore.testing.losses.byol_properties import BYOL_PROPERTIES, gradient_scale, unit_rows
from sslcore.testing.losses.draws import fixed, irregular, shaped, tensors
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.extremes import HUGE, TINY
from sslcore.testing.losses.family import Family, Hyper, HyperRange, register_family

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over both directions and all samples of ‖p̄ − t̄‖², pair by pair."""
    predictions, teacher = inputs["predictions"], inputs["teacher_projections"]
    distances = [
        (unit_rows(prediction) - unit_rows(target)).square().sum()
        for view in (0, 1)
        for prediction, target in zip(predictions[view], teacher[1 - view], strict=True)
    ]
    return torch.stack(distances).mean()


def sum_of_directions(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the sum of the losses of the two directions, as the paper trains with."""
    return 2 * reference(inputs, hyper)


# Examples

_GEOMETRIES = (
    "plain",
    "plain",
    "exact predictions",
    "opposite predictions",
    "two images alike",
    "all alike",
    "orthonormal",
    "of very different lengths",
)


def _example(predictions: Tensor, teacher: Tensor, geometry: str = "") -> Example:
    return Example({"predictions": predictions, "teacher_projections": teacher}, {}, geometry)


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of predictions and the teacher's projections, (2, B, D)."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        count, dim = draw(st.integers(1, 5)), draw(st.integers(1, 5))
        geometry = draw(st.sampled_from(_GEOMETRIES))
        first, second = draw(tensors(2, 2, count, dim))
        predictions, teacher = shaped(first, geometry), shaped(second, geometry)
        if geometry in ("exact predictions", "opposite predictions"):
            predictions = teacher.flip(0) * (0.5 if geometry == "exact predictions" else -2)
        if draw(st.booleans()):
            predictions = predictions + irregular(*predictions.shape)
        return _example(predictions, teacher, geometry)

    return drawn()


_SIZES = (
    (1, 1),
    (2, 3),
    (1, 4),
    (3, 2),
    (5, 8),
    (4, 1),
    (6, 5),
    (33, 7),
    (4, 200),
    (130, 3),
    (300, 2),
    (2, 1030),
)


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first; in some, predictions are near their targets."""
    found = []
    for position, (count, dim) in enumerate(_SIZES):
        predictions, teacher = fixed("byol", 2, 2, count, dim)
        if position % 3 == 1:
            predictions = teacher.flip(0) + 0.3 * predictions
        found.append(_example(predictions, teacher))
    return found


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return rows that are zero, huge or tiny in a type."""
    predictions, teacher = fixed("byol", 2, 2, 4, 5)
    one_zero, another = predictions.clone(), teacher.clone()
    one_zero[0, 1] = another[1, 3] = 0
    largest = max(predictions.abs().max(), teacher.abs().max())
    huge, tiny = HUGE[dtype] / largest, TINY[dtype] / largest
    return {
        "a zero row": _example(one_zero, another),
        "all rows zero": _example(torch.zeros_like(predictions), torch.zeros_like(teacher)),
        "huge rows": _example(predictions * huge, teacher * huge),
        "tiny rows": _example(predictions * tiny, teacher * tiny),
        "huge and tiny rows": _example(predictions * huge, teacher * tiny),
        "exact predictions": _example(teacher.flip(0).clone(), teacher),
    }


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return predictions and projections whose shapes don't match."""
    teacher = inputs["teacher_projections"]
    wrong = {
        "another number of samples": teacher[:, :-1],
        "one sample against several": teacher[:, :1],
        "one view against two": teacher[:1],
        "another dimension": teacher[..., :-1],
        "one dimension against several": teacher[..., :1],
        "no dimension of views": teacher[0],
    }
    return {
        **{what: {**inputs, "teacher_projections": item} for what, item in wrong.items()},
        "an empty batch": {name: item[:, :0] for name, item in inputs.items()},
        "rows that are not vectors": {name: item[..., 0] for name, item in inputs.items()},
    }


def plain_calls(inputs: Inputs) -> Sequence[tuple[Tensor, ...]]:
    """Return the two directions: each view's predictions with the other's projections."""
    predictions, teacher = inputs["predictions"], inputs["teacher_projections"]
    return [(predictions[0], teacher[1]), (predictions[1], teacher[0])]


def plain_malformed(inputs: Inputs) -> Mapping[str, tuple[Tensor, ...]]:
    """Return a prediction and a target whose shapes don't match."""
    prediction, target = inputs["predictions"][0], inputs["teacher_projections"][1]
    return {
        "another number of samples": (prediction, target[:-1]),
        "one sample against several": (prediction, target[:1]),
        "several samples against one": (prediction[:1], target),
        "another dimension": (prediction, target[:, :-1]),
        "one dimension against several": (prediction, target[:, :1]),
        "a vector instead of a batch": (prediction, target[0]),
        "vectors of one dimension": (prediction[:, 0], target[:, 0]),
        "an empty batch": (prediction[:0], target[:0]),
    }


BYOL = register_family(
    Family(
        name="byol",
        summary="Squared distance of unit predictions to a teacher's projections of the other view",
        signals=SIGNALS,
        reference=reference,
        conventions={"mean of directions": reference, "sum of directions": sum_of_directions},
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=("a zero row", "all rows zero", "exact predictions"),
        malformed=malformed,
        trainable=("predictions",),
        stop_gradient=("teacher_projections",),
        plain=plain_calls,
        plain_names=("prediction", "target"),
        plain_malformed=plain_malformed,
        scale=lambda inputs, hyper: 2.0,
        gradient_scale=gradient_scale,
        properties=BYOL_PROPERTIES,
        mutants=MUTANTS,
        control=CONTROL,
    )
)
