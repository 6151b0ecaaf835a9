"""Every shipped encoder and head has the properties of its kind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sslcore.registry import default_registry
from sslcore.testing import HeadSpec, cases, specs_of


def _shipped(kind):
    return {
        entry.name: spec
        for entry in default_registry().entries(kind)
        for spec in specs_of(entry)
        if entry.shipped
    }


_ENCODERS, _HEADS = _shipped("encoder"), _shipped("head")

#: These are resnet18's code at other depths, and take seconds for each property.
_DEEP = ("resnet34", "resnet50")
_FOR_DEEP = ("outputs-follow-the-contract", "state-is-complete")


def _encoder_cases():
    for name, spec in _ENCODERS.items():
        for case in cases(spec):
            if name not in _DEEP or case.id in _FOR_DEEP:
                yield pytest.param(case, id=f"{name}-{case.id}")


def _head_cases():
    specs = {
        **_HEADS,
        "projection, normalised": replace(
            _HEADS["projection"], settings={"batch_norm": True, "normalize": True}
        ),
        "projection, linear": replace(_HEADS["projection"], settings={"hidden": ()}),
        "conv-decoder, interpolated": replace(_HEADS["conv-decoder"], image_size=18, channels=3),
    }
    for name, spec in specs.items():
        for case in cases(spec):
            yield pytest.param(case, id=f"{name}-{case.id}")


@pytest.mark.parametrize("case", list(_encoder_cases()))
def test_a_shipped_encoder(case):
    case.run()


@pytest.mark.parametrize("case", list(_head_cases()))
def test_a_shipped_head(case):
    case.run()


def test_a_head_that_needs_what_no_encoder_gave_is_said_to():
    class Reader(_HEADS["projection"].make):
        def forward(self, tokens):
            return {}

    row = cases(HeadSpec(Reader))[0].row()
    assert row.status == "fail"
    assert "tokens" in row.reason
