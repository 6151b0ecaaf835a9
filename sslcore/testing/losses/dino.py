"""The family `dino` (Caron et al. 2021, equations 1 to 4) at its first call: no centre yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.testing.losses.dino_mutants import CONTROL, MUTANTS, SIGNALS
from sslcore.testing.losses.dino_properties import DINO_PROPERTIES
from sslcore.testing.losses.draws import fixed, hypers, irregular, tensors
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import Family, Hyper, HyperRange, register_family

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def _pairs(inputs: Inputs) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the student's and the teacher's logits (B, K) of each two different views."""
    for own, teacher in enumerate(inputs["teacher_projections"]):
        for other, student in enumerate(inputs["projections"]):
            if other != own:
                yield student, teacher


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over pairs of views and samples of log Σ e^(s/τ_s) − ⟨P, s/τ_s⟩."""
    entropies = []
    for student, teacher in _pairs(inputs):
        logits = student / hyper["student_temperature"]
        wanted = (teacher / hyper["teacher_temperature"]).log_softmax(-1).exp()
        entropies.append((logits.logsumexp(-1) - (wanted * logits).sum(-1)).mean())
    return torch.stack(entropies).mean()


def sum_over_pairs(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the sum over pairs of views of the mean over samples, as equation 3 has it."""
    return (2 * len(inputs["projections"]) - 2) * reference(inputs, hyper)


# Examples

_GEOMETRIES = (
    "plain",
    "plain",
    "student like the teacher",
    "uniform student",
    "uniform teacher",
    "confident teacher",
    "far from zero",
)
_DEFAULTS = {"student_temperature": 0.1, "teacher_temperature": 0.04}


def _example(
    student: Tensor, teacher: Tensor, hyper: Mapping[str, float], geometry: str = ""
) -> Example:
    return Example({"projections": student, "teacher_projections": teacher}, hyper, geometry)


def _shaped(student: Tensor, teacher: Tensor, geometry: str) -> tuple[Tensor, Tensor]:
    if geometry == "student like the teacher":
        return torch.cat([teacher.flip(0), student[2:]]), teacher
    if geometry == "uniform student":
        return torch.full_like(student, 0.5), teacher
    if geometry == "uniform teacher":
        return student, torch.full_like(teacher, -0.25)
    if geometry == "confident teacher":
        return student, 4 * teacher
    if geometry == "far from zero":
        return student + 8, teacher - 8
    return student, teacher


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of the logits of V student views and two teacher views."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        views, count, dim = (draw(st.integers(2, most)) for most in (4, 3, 5))
        numbers = draw(tensors(views + 2, count, dim))
        geometry = draw(st.sampled_from(_GEOMETRIES))
        student, teacher = _shaped(numbers[:views], numbers[views:], geometry)
        if draw(st.booleans()):
            student = student + irregular(*student.shape)
        return _example(student, teacher, draw(hypers(ranges)), geometry)

    return drawn()


#: (V, B, K, τ of the student, τ of the teacher).
_SIZES = (
    (2, 1, 2, 0.5, 0.5),
    (3, 2, 3, 0.1, 0.04),
    (2, 3, 4, 1.0, 0.5),
    (2, 4, 5, 0.1, 0.02),
    (4, 3, 5, 0.2, 0.1),
    (2, 4, 8, 0.1, 0.07),
    (3, 33, 6, 0.5, 0.2),
    (10, 2, 7, 0.1, 0.04),
    (2, 3, 500, 0.1, 0.04),
    (2, 130, 4, 0.5, 0.2),
    (2, 2, 1030, 0.1, 0.04),
)


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first, some with as many views as a multi-crop."""
    found = []
    for views, count, dim, for_student, for_teacher in _SIZES:
        student = fixed("student", views, count, dim)
        teacher = fixed("teacher", 2, count, dim)
        hyper = {"student_temperature": for_student, "teacher_temperature": for_teacher}
        found.append(_example(student, teacher, hyper))
    return found


#: Logits that, divided by the temperatures, are still in the type.
_LARGE = {"float64": 1e160, "float32": 1e20, "bfloat16": 1e20, "float16": 1000.0}


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return logits that are all alike, and large ones."""
    student, teacher = fixed("student", 3, 2, 4), fixed("teacher", 2, 2, 4)
    large = _LARGE[dtype] / max(student.abs().max(), teacher.abs().max())
    found = {
        "all logits zero": (torch.zeros_like(student), torch.zeros_like(teacher)),
        "large logits": (student * large, teacher * large),
        "large logits of the student": (student * large, teacher),
        "large logits of the teacher": (student, teacher * large),
        "confident and certain": (student * 100, teacher * 100),
    }
    return {name: _example(*logits, _DEFAULTS) for name, logits in found.items()}


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return a student and a teacher whose shapes don't match."""
    teacher = inputs["teacher_projections"]
    wrong = {
        "another number of samples": teacher[:, :-1],
        "one sample against several": teacher[:, :1],
        "another dimension": teacher[..., :-1],
        "one dimension against several": teacher[..., :1],
    }
    return {
        **{what: {**inputs, "teacher_projections": item} for what, item in wrong.items()},
        "an empty batch": {name: item[:, :0] for name, item in inputs.items()},
        "rows that are not vectors": {name: item[0, 0] for name, item in inputs.items()},
    }


def plain_malformed(inputs: Inputs) -> Mapping[str, tuple[Tensor, ...]]:
    """Return two tensors of logits whose shapes don't match."""
    student, teacher = inputs["projections"][1], inputs["teacher_projections"][0]
    return {
        "another number of samples": (student, teacher[:-1]),
        "one sample against several": (student, teacher[:1]),
        "several samples against one": (student[:1], teacher),
        "another dimension": (student, teacher[:, :-1]),
        "one dimension against several": (student, teacher[:, :1]),
        "a vector instead of a batch": (student, teacher[0]),
        "an empty batch": (student[:0], teacher[:0]),
    }


def _roundings(inputs: Inputs, hyper: Hyper) -> tuple[Tensor, Tensor]:
    """Return how far L and the probabilities of a pair and sample move if logits are rounded.

    A probability moves by itself times the rounding of its logit and of the mean logit. Both
    results are (2V − 2, B).
    """
    values, probabilities = [], []
    for student, teacher in _pairs(inputs):
        logits = student / hyper["student_temperature"]
        wanted = (teacher / hyper["teacher_temperature"]).abs()
        p = (teacher / hyper["teacher_temperature"]).softmax(-1)
        q = logits.softmax(-1)
        mean = (p * wanted).sum(-1, keepdim=True)
        gap = (logits - (p * logits).sum(-1, keepdim=True)).abs()
        values.append(((p + q) * logits.abs() + p * (wanted + mean) * gap).sum(-1))
        probabilities.append((q * logits.abs() + p * wanted).sum(-1))
    return torch.stack(values), torch.stack(probabilities)


def scale(inputs: Inputs, hyper: Hyper) -> float:
    """Return how far L moves if each logit, divided by its temperature, is off by a rounding."""
    return float(_roundings(inputs, hyper)[0].mean())


def gradient_scale(inputs: Inputs, hyper: Hyper) -> dict[str, Tensor]:
    """Return 1/(τ_s B (V − 1)), increased by the error of a sample's probabilities."""
    values, probabilities = _roundings(inputs, hyper)
    views, count, dim = inputs["projections"].shape
    most = (1 + probabilities.amax(0)) / (1 + values.mean())
    size = most / (hyper["student_temperature"] * count * (views - 1))
    return {"projections": size[None, :, None].expand(views, count, dim)}


DINO = register_family(
    Family(
        name="dino",
        summary="Cross-entropy of the student's distribution with the teacher's of other views",
        signals=SIGNALS,
        reference=reference,
        conventions={"mean over pairs": reference, "sum over pairs": sum_over_pairs},
        hyper={
            "student_temperature": HyperRange(0.1, (0.1, 1.0, 0.2, 0.07), 0.05, 1.0),
            "teacher_temperature": HyperRange(0.04, (0.04, 1.0, 0.07, 0.5), 0.04, 1.0),
        },
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=tuple(degenerate("float64")),
        malformed=malformed,
        trainable=("projections",),
        stop_gradient=("teacher_projections",),
        plain=lambda inputs: list(_pairs(inputs)),
        plain_names=("student", "teacher"),
        plain_malformed=plain_malformed,
        scale=scale,
        gradient_scale=gradient_scale,
        properties=DINO_PROPERTIES,
        mutants=MUTANTS,
        control=CONTROL,
        stateful=True,
    )
)
