"""Properties of any loss: malformed inputs, and inputs near the limits of a dtype."""

from __future__ import annotations

from dataclasses import replace

import torch

from sslcore.testing.losses.example import Example
from sslcore.testing.losses.spec import DTYPE
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import first_anchors, unsupported
from sslcore.testing.property import Property, declare
from sslcore.testing.violation import Violation


@declare(
    "refuses-malformed-shapes",
    "G5",
    formula="unequal N or D (1 included), rows that are not vectors, or N = 0 raise an error",
    kills="silent broadcasting, the NaN of an empty mean",
    anchors=lambda subject: first_anchors(subject)[-1:],
)
def refuses_malformed_shapes(subject: LossSubject, example: Example) -> None:
    if subject.is_plain(subject.make(example)):
        for what, arguments in subject.family.plain_malformed(example.inputs).items():
            try:
                returned = subject.raw(subject.make(example), example, *arguments)
            except Exception:  # noqa: BLE001 - the checked code may raise anything
                continue
            shapes = " and ".join(str(tuple(item.shape)) for item in arguments)
            drawn = ", ".join(f"torch.ones{tuple(item.shape)}" for item in arguments)
            raise Violation(
                f"{what}: inputs of shape {shapes} gave {_shown(returned)}; raise a ValueError",
                f"import torch\nmake()({drawn})",
            )
        return
    for what, inputs in subject.family.malformed(example.inputs).items():
        try:
            returned = subject.raw(subject.make(example), example, **inputs)
        except Exception:  # noqa: BLE001 - the checked code may raise anything
            continue
        shapes = ", ".join(f"{name} {tuple(item.shape)}" for name, item in inputs.items())
        drawn = ", ".join(f"{name}=torch.ones{tuple(item.shape)}" for name, item in inputs.items())
        raise Violation(
            f"{what}: {shapes} gave {_shown(returned)}; raise a ValueError",
            f"import torch\nmake()({drawn})",
        )


def finite_value_in(dtype: str) -> Property:
    @declare(
        f"finite-value-{dtype}",
        "G7",
        formula="L is finite for zero, huge and tiny rows",
        kills="an overflowing exp, −1e9 or 1e-12 in a dtype that can't hold them, 0/0",
        anchors=lambda subject: _degenerate(subject, dtype),
        applies=lambda subject: (
            unsupported(subject, dtype)
            or ("" if _degenerate(subject, dtype) else "no example is degenerate")
        ),
    )
    def finite_value(subject: LossSubject, example: Example) -> None:
        given = example.to(DTYPE[dtype])
        if subject.family.formula and not abs(subject.reference(given, dtype)) < float("inf"):
            return
        value = float(subject.call(subject.make(given), given).detach())
        if not abs(value) < float("inf"):
            raise subject.violation(f"{example.geometry} in {dtype} gave {value}", given)

    return finite_value


def finite_gradient_in(dtype: str) -> Property:
    @declare(
        f"finite-gradient-{dtype}",
        "G7",
        formula="∂L/∂x is finite",
        kills="a norm or a root differentiated at zero",
        precondition="rows of moderate length, or exactly zero (not in float16, where a gradient "
        "that grows as 1/‖z‖ overflows)",
        anchors=lambda subject: [
            item
            for item in _degenerate(subject, dtype)
            if item.geometry in subject.family.degenerate_gradient
            and not (dtype == "float16" and "zero" in item.geometry)
        ],
        applies=lambda subject: (
            unsupported(subject, dtype)
            or ("" if subject.family.degenerate_gradient else "no example is degenerate")
        ),
    )
    def finite_gradient(subject: LossSubject, example: Example) -> None:
        given = example.to(DTYPE[dtype])
        _, found = subject.gradients(given, dtype)
        for name, gradient in found.items():
            if not bool(torch.isfinite(gradient).all()):
                raise subject.violation(f"{example.geometry}: ∂L/∂{name} is not finite", given)

    return finite_gradient


@declare(
    "not-a-number-shows",
    "G7",
    formula="NaN inputs give a loss that is not finite, or an error",
    kills="nan_to_num and the like, which hide a failed run from the trainer",
    anchors=lambda subject: first_anchors(subject)[:1],
)
def not_a_number_shows(subject: LossSubject, example: Example) -> None:
    targets = subject.targets(example)
    for name in subject.family.trainable:
        if name in targets:
            continue
        nowhere = torch.full_like(example.inputs[name], torch.nan)
        given = example.with_inputs(**{name: nowhere})
        try:
            value = subject.value(given)
        except Violation:
            continue
        if abs(value) < float("inf"):
            raise subject.violation(f"{name} is NaN everywhere, and L is {value}", given)


@declare(
    "single-sample",
    "G8",
    formula="N = 1 raises an error or gives the exact value, never NaN",
    kills="the NaN of an empty denominator or of the variance of one sample",
    anchors=lambda subject: [subject.adapt(subject.family.single())],
    applies=lambda subject: "" if subject.family.single else "one sample is not a special case",
)
def single_sample(subject: LossSubject, example: Example) -> None:
    loss = subject.make(example)
    plain = subject.is_plain(loss)
    try:
        if plain:
            value = float("nan")
            for arguments in subject.family.plain(example.inputs):  # type: ignore[misc]
                value = float(subject.raw(loss, example, *arguments))
        else:
            returned = subject.raw(loss, example, **example.inputs)
            value = float(returned["loss"] if isinstance(returned, dict) else returned)
    except Exception:  # noqa: BLE001 - the checked code may raise anything
        return
    expected = subject.reference(example)
    tolerance = subject.tolerance(example, 0.0)
    subject.compare(value, expected, tolerance, example, "one sample")


def _degenerate(subject: LossSubject, dtype: str) -> list[Example]:
    found = subject.family.degenerate(dtype)
    return [subject.adapt(replace(item, geometry=geometry)) for geometry, item in found.items()]


def _shown(returned: object) -> str:
    if isinstance(returned, torch.Tensor):
        shape = tuple(returned.shape)
        return f"{float(returned):.4g}" if not shape else f"a tensor of shape {shape}"
    return repr(returned)
