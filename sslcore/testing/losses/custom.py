"""The family `custom`: a loss outside all families, checked against its author's statements."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st

from sslcore.contract.interface import SUPPLIED
from sslcore.contract.settings import Setting, settings_of
from sslcore.errors import UsageError
from sslcore.testing.losses.draws import hypers, pairs
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import Family, Hyper, HyperRange, register_family
from sslcore.testing.losses.pair_examples import (
    pair_anchors,
    pair_degenerate,
    pair_malformed,
    pair_plain,
    pair_plain_malformed,
)
from sslcore.testing.losses.spec import LossSpec
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.property import declare

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def _points(subject: LossSubject) -> Sequence[Example]:
    return [
        subject.adapt(Example(_in_double(inputs), {}, case={"value": value}))
        for inputs, value in subject.spec.points
    ]


def _in_double(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return inputs as examples hold them: floating-point ones in float64, unrounded."""
    return {
        name: item.double() if item.is_floating_point() else item for name, item in inputs.items()
    }


@declare(
    "value-at-named-points",
    "P1",
    formula="L has the stated value at each stated point",
    kills="any fault that changes the value at these points",
    anchors=_points,
    applies=lambda subject: (
        ""
        if subject.spec.points
        else "no points are given: LossSpec(..., points=[(inputs, value)])"
    ),
)
def value_at_named_points(subject: LossSubject, example: Example) -> None:
    expected = example.case["value"]
    # A value written by hand has about seven digits.
    tolerance = max(subject.tolerance(example, expected), 1e-6 * (1 + abs(expected)))
    subject.compare(subject.value(example), expected, tolerance, example, "the stated value")


def _for_spec(spec: LossSpec) -> Family:
    """Return the family with the signals of the spec's points, pairs of views by default.

    Its hyperparameters are the numbers that both the loss and its stated reference take.
    """
    hyper = varied(spec)
    family = replace(CUSTOM, hyper=hyper, anchors=lambda: _at_other_settings(pair_anchors(), hyper))
    if not spec.points:
        return family
    named = {tuple(inputs) for inputs, _ in spec.points}
    if len(named) > 1:
        raise UsageError("points: all must name the same signals")
    signals = named.pop()
    if signals == CUSTOM.signals:
        return family
    given = [Example(_in_double(inputs)) for inputs, _ in spec.points]

    def examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
        drawn = st.tuples(st.sampled_from(given), hypers(ranges))
        return drawn.map(lambda both: replace(both[0], hyper=both[1]))

    floating = {
        name
        for inputs, _ in spec.points
        for name, item in inputs.items()
        if isinstance(item, torch.Tensor) and item.is_floating_point()
    }
    return replace(
        family,
        signals=signals,
        examples=examples,
        anchors=lambda: _at_other_settings(given, hyper),
        degenerate=lambda dtype: {},
        degenerate_gradient=(),
        malformed=lambda inputs: {},
        trainable=tuple(
            name for name in signals if name in floating and not name.startswith("teacher_")
        ),
        plain=None,
        plain_names=(),
    )


def _gradient_scale(inputs: Inputs, hyper: Hyper) -> dict[str, torch.Tensor]:
    """Return one over the length of each row, the scale of a gradient by the row's direction.

    If the exact gradient of a loss of directions is zero, the computed one is rounding error.
    """
    return {
        name: (1 / item.norm(dim=-1, keepdim=True).clamp_min(1e-30)).expand_as(item)
        for name, item in inputs.items()
        if item.is_floating_point() and item.dim()
    }


def varied(spec: LossSpec) -> dict[str, HyperRange]:
    """Return the numbers that a loss and its stated reference both take, with values to try."""
    if spec.reference is None:
        return {}
    of_reference = inspect.signature(spec.reference).parameters
    return {
        name: HyperRange(setting.default, values, min(values), max(values))
        for name, setting in numbers_of(spec).items()
        if name in of_reference and len(values := _values(setting)) > 1
    }


def numbers_of(spec: LossSpec) -> dict[str, Setting]:
    """Return the settings of a loss that are numbers; none where its signature can't be read."""
    try:
        settings = settings_of(spec.make, skip=frozenset(SUPPLIED))
    except (TypeError, ValueError):
        return {}
    return {name: item for name, item in settings.items() if isinstance(item.default, float)}


def _values(setting: Setting) -> tuple[float, ...]:
    """Return the default of a setting, and other values that its annotation allows."""
    default = setting.default
    found = [default]
    for value in (default / 2, 2 * default, default + 1.0, 0.25, 3.0):
        try:
            setting.validate(value)
        except ValueError:
            continue
        found.append(value)
    return tuple(dict.fromkeys(found))


def _at_other_settings(
    given: Sequence[Example], hyper: Mapping[str, HyperRange]
) -> Sequence[Example]:
    """Return examples at the defaults, then two of them with each value of each setting."""
    further = [
        replace(example, hyper={**example.hyper, name: value})
        for name, item in hyper.items()
        for value in item.values[1:]
        for example in given[1:3] or given[:1]
    ]
    return [*given, *further]


CUSTOM = register_family(
    Family(
        name="custom",
        summary="Any other loss, over pairs of views unless its points name other signals",
        signals=("projections",),
        examples=pairs,
        anchors=pair_anchors,
        # Only inputs that any loss must accept: a loss may grow with the length of its inputs.
        degenerate=lambda dtype: {
            name: item for name, item in pair_degenerate(dtype).items() if "huge" not in name
        },
        malformed=pair_malformed,
        trainable=("projections",),
        plain=pair_plain,
        plain_names=("z1", "z2"),
        plain_malformed=pair_plain_malformed,
        properties=(value_at_named_points,),
        gradient_scale=_gradient_scale,
        facts={"symmetric": True},
        for_spec=_for_spec,
    )
)
