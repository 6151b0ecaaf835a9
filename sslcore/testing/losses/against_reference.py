"""Properties that compare a loss with a float64 reference, and parts of a batch with the whole."""

from __future__ import annotations

import inspect
from itertools import pairwise

import torch
from torch.nn import functional as F

from sslcore.testing.losses.example import Example
from sslcore.testing.losses.spec import DTYPE
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore.testing.property import Property, declare

#: The lowest temperature in each type: below it a log-sum-exp has no digits left.
LOWEST_TEMPERATURE = {"float64": 0.0, "float32": 0.02, "bfloat16": 0.05, "float16": 0.05}
#: A gradient passes through about this many more roundings than the value.
_GRADIENT_ROUNDINGS = 4


def _applies(subject: LossSubject, dtype: str) -> str:
    if dtype not in subject.spec.dtypes:
        return f"{dtype} is not among the spec's types"
    if not subject.has_reference:
        return "there is no reference: give one, LossSpec(..., reference=…)"
    return ""


def _quantised(subject: LossSubject, example: Example, dtype: str) -> Example:
    """Return the example rounded to a type, as float64."""
    lowest = LOWEST_TEMPERATURE[dtype]
    if "temperature" in subject.takes and example.hyper["temperature"] < lowest:
        example = example.with_hyper(temperature=lowest)
    return example.to(DTYPE[dtype]).to(torch.float64)


def _value(dtype: str) -> Property:
    @declare(
        f"value-matches-reference-{dtype}",
        "C13",
        formula="|L − L₆₄| ≤ 8·eps·(1 + scale + |L|), L₆₄ the reference on the same rounded inputs",
        kills="any wrong term: missing, doubled, masked, mislabelled, summed instead of averaged",
        anchors=anchors,
        examples=examples,
        applies=lambda subject: _applies(subject, dtype),
        max_examples=60 if dtype == "float64" else 25,
    )
    def value_matches_reference(subject: LossSubject, example: Example) -> None:
        given = _quantised(subject, example, dtype)
        expected = subject.reference(given, dtype)
        if not abs(expected) < float("inf"):
            # The formula has no value there.
            return
        tolerance = subject.tolerance(given, expected, dtype)
        shown = given.to(DTYPE[dtype])
        subject.compare(subject.value(given, dtype), expected, tolerance, shown, "the value")

    return value_matches_reference


def _gradient(dtype: str) -> Property:
    @declare(
        f"gradient-matches-reference-{dtype}",
        "C13",
        formula="∂L/∂x equals the gradient of the reference",
        kills="a detached positive or denominator, an incorrect custom backward",
        anchors=anchors,
        examples=examples,
        applies=lambda subject: (
            _applies(subject, dtype)
            or ("" if subject.family.trainable else "no input is trainable")
        ),
        max_examples=40 if dtype == "float64" else 20,
    )
    def gradient_matches_reference(subject: LossSubject, example: Example) -> None:
        given = _quantised(subject, example, dtype)
        expected = subject.reference_gradients(given, dtype)
        score, found = subject.gradients(given, dtype)
        value = subject.reference(given, dtype)
        if not all(bool(item.isfinite().all()) for item in expected.values()):
            return
        shown = given.to(DTYPE[dtype])
        allowed_off = subject.tolerance(given, value, dtype)
        subject.compare(float(score), value, allowed_off, shown, "the value, with a graph")
        unit = subject.tolerance(given, float(score), dtype) * _GRADIENT_ROUNDINGS
        sizes = subject.family.gradient_scale(given.inputs, given.hyper)
        for name, gradient in found.items():
            size = sizes.get(name, torch.tensor(0.0)) + expected[name].abs().max()
            allowed = (unit * size.clamp_min(1e-300)).expand_as(gradient).flatten()
            off = (gradient - expected[name]).abs().flatten()
            worst = int((off / allowed).nan_to_num(nan=torch.inf).argmax())
            subject.compare(
                float(gradient.flatten()[worst]),
                float(expected[name].flatten()[worst]),
                float(allowed[worst]),
                shown,
                f"∂L/∂{name}, entry {worst}",
            )

    return gradient_matches_reference


def _direction(dtype: str) -> Property:
    @declare(
        f"gradient-points-as-reference-{dtype}",
        "C13",
        formula="cos(∂L/∂x, ∂L₆₄/∂x) > 0.9 and their lengths are within a factor of 1.5",
        kills="a detached or scaled branch for low precision",
        precondition="τ ≥ 0.5",
        anchors=lambda subject: [
            item
            for item in anchors(subject)
            if item.hyper.get("temperature", 1.0) >= 0.5 and item.size <= 200
        ],
        applies=lambda subject: (
            _applies(subject, dtype)
            or ("" if subject.family.trainable else "no input is trainable")
        ),
    )
    def gradient_points_as_reference(subject: LossSubject, example: Example) -> None:
        given = _quantised(subject, example, dtype)
        expected = subject.reference_gradients(given, dtype)
        _, found = subject.gradients(given, dtype)
        for name, gradient in found.items():
            want = expected[name].flatten()
            # Near zero, a gradient in low precision is rounding error only.
            if float(want.norm()) < 0.02:
                continue
            shown = given.to(DTYPE[dtype])
            cosine = float(F.cosine_similarity(gradient.flatten(), want, dim=0))
            ratio = float(gradient.norm() / want.norm())
            subject.at_most(1 - cosine, 0.1, 0.0, shown, f"1 − cosine of ∂L/∂{name}")
            subject.at_most(
                max(ratio, 1 / max(ratio, 1e-9)), 1.5, 0.0, shown, f"length of ∂L/∂{name}"
            )

    return gradient_points_as_reference


_CHUNK = ("chunk_size", "chunk", "chunk_rows")


@declare(
    "chunks-agree",
    "C14",
    formula="chunks of 1, 3, N and N + 1 rows give the same value and gradient",
    kills="a dropped last chunk, a chunk with a wrong weight",
    anchors=anchors,
    applies=lambda subject: (
        "" if any(subject.accepts(name) for name in _CHUNK) else "make takes no chunk_size"
    ),
)
def chunks_agree(subject: LossSubject, example: Example) -> None:
    name = next(name for name in _CHUNK if subject.accepts(name))
    count = subject.family.batch_of(example.inputs)
    values = {}
    for size in sorted({1, 3, count, count + 1, 2 * count - 1}):
        leaves = {
            key: example.inputs[key].clone().requires_grad_() for key in subject.family.trainable
        }
        given = example.with_inputs(**leaves)
        score = subject.call(subject.make(given, **{name: size}), given)
        values[size] = (float(score.detach()), subject.backward(score, given))
    whole, gradients = values[count]
    tolerance = subject.tolerance(example, whole)
    for size, (value, found) in values.items():
        subject.compare(value, whole, tolerance, example, f"{name}={size}")
        for key, gradient in found.items():
            error = float((gradient - gradients[key]).abs().max())
            largest = float(gradients[key].abs().max()) + 1e-12
            subject.at_most(
                error, 0.0, 4 * tolerance * (largest + 1), example, f"∂L/∂{key} at {name}={size}"
            )


@declare(
    "ranks-agree",
    "C15",
    formula="the mean over ranks of L_r is L, and that of ∂L_r/∂x is ∂L/∂x, each rank weighted by "
    "its share of the rows; the state after a batch does not depend on the rows that were scored",
    kills="a missing offset of the rank, a rank that averages over its own rows only",
    anchors=anchors,
    applies=lambda subject: _takes_rows(subject),
)
def ranks_agree(subject: LossSubject, example: Example) -> None:
    count = subject.family.batch_of(example.inputs)
    loss = subject.make(example)
    whole, gradients = subject.gradients_of(loss, example)
    after = float(subject.call(loss, example).detach())
    tolerance = subject.tolerance(example, float(whole))
    for ranks in sorted({2, min(3, count), count}):
        cuts = [count * rank // ranks for rank in range(ranks + 1)]
        mean, average = 0.0, {name: torch.zeros_like(item) for name, item in gradients.items()}
        for start, stop in pairwise(cuts):
            loss, rows = subject.make(example), slice(start, stop)
            score, found = subject.gradients_of(loss, example, rows=rows)
            mean += float(score) * (stop - start) / count
            for name, item in found.items():
                average[name] += item * (stop - start) / count
            again = float(subject.call(loss, example).detach())
            said = f"all rows, once rows {start} to {stop} were scored"
            subject.compare(again, after, subject.tolerance(example, after), example, said)
        subject.compare(mean, float(whole), tolerance, example, f"the mean over {ranks} ranks")
        for name, expected in gradients.items():
            error = float((average[name] - expected).abs().max())
            largest = float(expected.abs().max()) + 1
            subject.at_most(
                error, 0.0, 4 * tolerance * largest, example, f"∂L/∂{name} over {ranks} ranks"
            )


def _takes_rows(subject: LossSubject) -> str:
    example = anchors(subject)[0]
    loss = subject.make(example)
    function = loss.forward if isinstance(loss, torch.nn.Module) else loss
    takes = "rows" in inspect.signature(function).parameters
    return "" if takes else "the loss takes no rows: the engine gathers all of them for it"


REFERENCE: tuple[Property, ...] = (
    *(_value(dtype) for dtype in DTYPE),
    *(_gradient(dtype) for dtype in ("float64", "float32")),
    *(_direction(dtype) for dtype in ("bfloat16", "float16")),
    chunks_agree,
    ranks_agree,
)
