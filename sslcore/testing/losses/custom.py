"""The family `custom`: a loss outside all families, checked against its author's statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st

from sslcore.errors import UsageError
from sslcore.signals import batch_axis
from sslcore.testing.limits import OutOfTime, within
from sslcore.testing.losses.custom_mutants import control_of, mutants_of
from sslcore.testing.losses.custom_properties import PROPERTIES, points_of
from sslcore.testing.losses.custom_settings import varied
from sslcore.testing.losses.draws import hypers, pairs
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.extremes import TINY
from sslcore.testing.losses.family import Family, Hyper, HyperRange, register_family
from sslcore.testing.losses.formula import Formula
from sslcore.testing.losses.pair_examples import (
    pair_anchors,
    pair_degenerate,
    pair_malformed,
    pair_plain,
    pair_plain_malformed,
)
from sslcore.testing.losses.signal_draws import (
    anchors_of,
    degenerate_of,
    examples_of,
    first_accepted,
    malformed_of,
)
from sslcore.testing.losses.signal_shapes import ENGINE, Asked, asked_by, shape_of
from sslcore.testing.losses.signature import parameters_of
from sslcore.testing.losses.spec import LossSpec
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.violation import Hung, Violation

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def _for_spec(spec: LossSpec) -> Family:
    """Return the family of one loss.

    Its signals are those that `forward` asks for, or that its points name; pairs of views where
    neither tells. Its hyperparameters are settings that both the loss and its formula take.
    """
    hyper = varied(spec)
    formula = None if spec.reference is None else Formula(spec, lambda: LossSubject(spec))
    family = replace(
        CUSTOM,
        hyper=hyper,
        anchors=lambda: _at_other_settings(pair_anchors(), hyper),
        formula=formula,
    )
    asked = _asked(spec)
    if asked is not None and asked.unknown:
        family = _at_points(family, spec)
    elif asked is not None and (tuple(asked.shapes) != CUSTOM.signals or asked.engine):
        family = _drawn(family, spec, asked)
    if formula is not None:
        family = replace(family, mutants=mutants_of(family), control=control_of(family))
    return family


def _asked(spec: LossSpec) -> Asked | None:
    """Return what a loss asks for; None where only its signature as a plain function tells."""
    named = {tuple(inputs) for inputs, _ in spec.points}
    if len(named) > 1:
        raise UsageError("points: all must name the same signals")
    of_points = named.pop() if named else ()
    of_formula = None if spec.reference is None else parameters_of(spec.reference)
    asked = asked_by(spec.make, frozenset({*of_points, *(of_formula or ())}))
    if asked is not None or not of_points:
        return asked
    shapes = {name: shape_of(name) for name in of_points if name not in ENGINE}
    known = {name: shape for name, shape in shapes.items() if shape is not None}
    engine = tuple(name for name in of_points if name in ENGINE)
    return Asked(known, engine, tuple(name for name in shapes if name not in known))


def _drawn(family: Family, spec: LossSpec, asked: Asked) -> Family:
    """Return the family with signals drawn by their shapes."""
    family = replace(
        family,
        signals=(*asked.shapes, *asked.engine),
        trainable=asked.trained,
        axes=asked.axes,
        batch_of=lambda inputs: _images(inputs, asked.axes),
        degenerate_gradient=(),
        malformed=lambda inputs: malformed_of(asked, inputs),
        plain=None,
        plain_names=(),
    )
    probe = LossSubject(replace(spec, family=replace(family, for_spec=None, formula=None)))
    layout = first_accepted(asked, lambda example: _accepts(probe, example))
    return replace(
        family,
        examples=lambda ranges: examples_of(asked, layout, ranges),
        anchors=lambda: _at_other_settings(anchors_of(asked, layout), family.hyper),
        degenerate=lambda dtype: degenerate_of(asked, layout, TINY[dtype]),
    )


def _images(inputs: Inputs, axes: Mapping[str, int]) -> int:
    name = next(name for name in inputs if name in axes)
    return inputs[name].shape[axes[name]]


def _accepts(subject: LossSubject, example: Example) -> bool:
    """Whether a loss has a finite value for an example."""
    example = subject.adapt(example)

    def value() -> float:
        return float(subject.call(subject.make(example), example).detach())

    try:
        return abs(within(subject.spec.seconds, value)) < float("inf")
    except (Violation, Hung, OutOfTime):
        return False


def _at_points(family: Family, spec: LossSpec) -> Family:
    """Return the family with the signals of the points, and other numbers of the same shapes."""
    if not spec.points:
        return family
    given = points_of(spec)

    def examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
        drawn = st.tuples(st.sampled_from(given), hypers(ranges), st.sampled_from((1.0, 0.5, -2.0)))
        return drawn.map(lambda drawn: _rescaled(replace(drawn[0], hyper=drawn[1]), drawn[2]))

    signals = tuple(given[0].inputs)
    axes = {
        name: min(batch_axis(name), item.dim() - 1)
        for name, item in given[0].inputs.items()
        if item.dim()
    }
    floating = {
        name for item in given for name, value in item.inputs.items() if value.is_floating_point()
    }
    return replace(
        family,
        signals=(*signals, *given[0].engine),
        examples=examples,
        anchors=lambda: _at_other_settings(given, family.hyper),
        axes=axes,
        batch_of=lambda inputs: _images(inputs, axes),
        degenerate=lambda dtype: {},
        degenerate_gradient=(),
        malformed=lambda inputs: {},
        trainable=tuple(
            name for name in signals if name in floating and not name.startswith("teacher_")
        ),
        plain=None,
        plain_names=(),
    )


def _rescaled(example: Example, factor: float) -> Example:
    return example.with_inputs(
        **{name: item * factor for name, item in example.inputs.items() if item.is_floating_point()}
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
        summary="Any other loss, of the signals that it asks for",
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
        properties=PROPERTIES,
        gradient_scale=_gradient_scale,
        facts={"symmetric": True},
        for_spec=_for_spec,
        cast=True,
    )
)
