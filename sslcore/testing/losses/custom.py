"""The family `custom`: a loss that no family describes, checked on what its author states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sslcore.errors import UsageError
from sslcore.testing.losses.draws import pairs
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.family import Family, HyperRange, register_family
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


def _points(subject: LossSubject) -> Sequence[Example]:
    return [
        Example(dict(inputs), {}, case={"value": value}) for inputs, value in subject.spec.points
    ]


@declare(
    "value-at-named-points",
    "P1",
    formula="L has the stated value at each stated point",
    kills="whatever moves the value there",
    anchors=_points,
    applies=lambda subject: (
        "" if subject.spec.points else "no point is named: LossSpec(..., points=[(inputs, value)])"
    ),
)
def value_at_named_points(subject: LossSubject, example: Example) -> None:
    expected = example.case["value"]
    # A value that a person has written down has about seven digits.
    tolerance = max(subject.tolerance(example, expected), 1e-6 * (1 + abs(expected)))
    subject.compare(subject.value(example), expected, tolerance, example, "the stated value")


def _for_spec(spec: LossSpec) -> Family:
    """Return the family with the signals of the spec's points, pairs of views by default."""
    if not spec.points:
        return CUSTOM
    named = {tuple(inputs) for inputs, _ in spec.points}
    if len(named) > 1:
        raise UsageError("points: all must name the same signals")
    signals = named.pop()
    if signals == CUSTOM.signals:
        return CUSTOM
    given = [Example(dict(inputs)) for inputs, _ in spec.points]

    def examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
        return st.sampled_from(given)

    floating = {
        name
        for inputs, _ in spec.points
        for name, item in inputs.items()
        if isinstance(item, torch.Tensor) and item.is_floating_point()
    }
    return replace(
        CUSTOM,
        signals=signals,
        examples=examples,
        anchors=lambda: given,
        degenerate=lambda dtype: {},
        degenerate_gradient=(),
        malformed=lambda inputs: {},
        trainable=tuple(
            name for name in signals if name in floating and not name.startswith("teacher_")
        ),
        plain=None,
        plain_names=(),
    )


CUSTOM = register_family(
    Family(
        name="custom",
        summary="A loss of its own, over pairs of views unless its points name other signals",
        signals=("projections",),
        examples=pairs,
        anchors=pair_anchors,
        # Only what any loss must bear: a loss may well grow with the length of its inputs.
        degenerate=lambda dtype: {
            name: item for name, item in pair_degenerate(dtype).items() if "huge" not in name
        },
        malformed=pair_malformed,
        trainable=("projections",),
        plain=pair_plain,
        plain_names=("z1", "z2"),
        plain_malformed=pair_plain_malformed,
        properties=(value_at_named_points,),
        facts={"symmetric": True},
        for_spec=_for_spec,
    )
)
