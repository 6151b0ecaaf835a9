"""Every shipped encoder and head has the properties of its kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sslcore.registry.registry import default_registry
from sslcore.testing import HeadSpec, cases, specs_of


def _shipped(kind):
    return {
        entry.name: spec
        for entry in default_registry().entries(kind)
        for spec in specs_of(entry)
        if entry.origin.shipped
    }


_ENCODERS, _HEADS = _shipped("encoder"), _shipped("head")

#: These are resnet18's code at other depths, and take seconds for each property.
_DEEP = ("resnet34", "resnet50")
_FOR_DEEP = ("outputs-follow-the-contract", "state-is-complete")

#: Heads with thousands of units in their papers, which would take seconds and gigabytes.
_SMALLER = {
    "expander": {"hidden": (16, 16), "dim": 24},
    "prediction": {"hidden": (16,), "dim": 8, "predictor_hidden": (12,)},
}


#: One of each kind of last layer: maps, channels last, and tokens.
_BACKBONES = {
    "timm": "test_resnet",
    "timm, channels last": "test_mambaout",
    "timm, tokens": "test_vit",
}


#: Smaller than its defaults, which take long for 64 patches.
_SMALL_VIT = {"width": 24, "depth": 2, "patch_size": 4}


def _hidden(views):
    """Return a mask that hides 12 of 16 patches of each view, different ones in each view."""
    places = torch.arange(16).expand(len(views), -1)
    return {"mask": (places + 3 * torch.arange(len(views))[:, None]) % 16 < 12}


def _encoder_cases():
    backbones = {
        name: replace(_ENCODERS["timm"], settings={"model": model})
        for name, model in _BACKBONES.items()
    }
    vit = replace(_ENCODERS["vit"], settings=_SMALL_VIT, channels=(1, 3), batch=4, draw=True)
    vits = {"vit": vit, "vit, masked": replace(vit, signals=_hidden)}
    for name, spec in {**_ENCODERS, **backbones, **vits}.items():
        for case in cases(spec):
            if name not in _DEEP or case.id in _FOR_DEEP:
                yield pytest.param(case, id=f"{name}-{case.id}")


def _head_cases():
    specs = {
        **_HEADS,
        **{name: replace(_HEADS[name], settings=small) for name, small in _SMALLER.items()},
        "prediction, normalised": replace(
            _HEADS["prediction"],
            settings={
                **_SMALLER["prediction"],
                "norm_output": True,
                "norm_predictions": True,
            },
        ),
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
