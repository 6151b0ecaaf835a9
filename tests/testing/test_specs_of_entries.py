"""The parts of any plugin, also of a third party, can be checked without changes."""

from __future__ import annotations

import re

import pytest
from torch import Tensor, nn

from sslcore.errors import UsageError
from sslcore.registry.registry import Registry
from sslcore.signals import Features
from sslcore.testing import (
    AugmentationSpec,
    DatasetSpec,
    EncoderSpec,
    EvaluatorSpec,
    HeadSpec,
    LossSpec,
    MethodSpec,
    cases,
    check,
    specs_of,
)
from sslcore.testing.parts.checking import catalogue

_SPECS = {
    "augmentation": AugmentationSpec,
    "encoder": EncoderSpec,
    "head": HeadSpec,
    "loss": LossSpec,
    "evaluator": EvaluatorSpec,
    "dataset": DatasetSpec,
    "method": MethodSpec,
}


def _failures(registry, kind, name):
    entry = registry.resolve(kind, name)
    specs = specs_of(entry, registry)
    assert specs
    return {
        row.property: row.reason
        for spec in specs
        for row in check(spec, mutation=False).rows
        if row.status not in ("pass", "n/a")
    }


@pytest.mark.parametrize("kind", _SPECS)
def test_every_record_gives_specs_of_its_kind(kind, registry):
    for entry in registry.entries(kind):
        for spec in specs_of(entry, registry):
            assert type(spec) is _SPECS[kind]
            assert entry.name in spec.name
            assert cases(spec)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("augmentation", "flip-pair"),
        ("augmentation", "tiny-patch-mask"),
        ("evaluator", "nearest-mean"),
        ("method", "agreement"),
        ("method", "tiny-mae"),
    ],
)
def test_somebody_elses_parts_pass(kind, name, registry):
    assert _failures(registry, kind, name) == {}


def test_an_encoder_that_asks_for_a_mask_gets_it_from_a_method_that_uses_it(registry):
    (spec,) = specs_of(registry.resolve("encoder", "tiny-vit"), registry)
    found = [case.row() for case in cases(spec) if "settings" not in case.id]
    assert [row.property for row in found if row.status == "fail"] == []
    assert sum(row.status == "pass" for row in found) >= 8


def test_a_head_that_asks_for_tokens_gets_them_from_a_method_that_uses_it(registry):
    assert _failures(registry, "head", "tiny-decoder") == {}


def test_a_loss_of_unknown_signals_and_no_family_has_nothing_to_be_checked_for(registry):
    assert specs_of(registry.resolve("loss", "tiny-masked-mse"), registry) == []
    (spec,) = specs_of(registry.resolve("loss", "agreement"), registry)
    assert spec.family == "custom"
    (spec,) = specs_of(registry.resolve("loss", "nt-xent"), registry)
    assert spec.family == "nt-xent"


def test_a_method_whose_parts_are_missing_fails_and_does_not_raise(registry):
    entry = registry.resolve("method", "tiny-mae")
    (plugin,) = (each for each in registry.plugins if each.origin == entry.origin)
    alone = Registry([plugin])
    assert "its-names-resolve" in _failures(alone, "method", "tiny-mae")


def test_an_expectation_that_names_no_property_is_an_error(registry):
    with pytest.raises(UsageError, match="no property 'evaluation-repeat'; nearest: eval"):
        cases(EncoderSpec(object, expected_failures={"evaluation-repeat": "it does not"}))
    with pytest.raises(UsageError, match="make must be callable"):
        cases(EncoderSpec(3))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(set(_SPECS) - {"loss"}))
def test_every_property_says_what_holds_and_what_it_catches(kind):
    found = catalogue(kind)
    for key in ("name", "code"):
        assert len({item[key] for item in found}) == len(found) >= 7
    for item in found:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", item["name"])
        assert re.fullmatch(r"[AEHVDM]\d+", item["code"])
        assert item["formula"]
        assert item["kills"]


def test_a_kind_that_there_is_not_is_an_error():
    with pytest.raises(UsageError, match="'encoders'; nearest: encoder; kinds are augmentation"):
        catalogue("encoders")


class Noisy(nn.Module):
    def __init__(self, image_size: int, channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels * image_size**2, 8)

    def forward(self, views: Tensor) -> Features:
        return {"features": nn.functional.dropout(self.layer(views.flatten(1)))}


def test_an_expected_failure_is_one_and_a_property_that_holds_is_unexpected():
    expected = {"evaluation-repeats": "noise", "seeded-weights": "guessed"}
    spec = EncoderSpec(Noisy, channels=(1,), expected_failures=expected)
    statuses = {case.id: case.row().status for case in cases(spec)}
    assert statuses["evaluation-repeats"] == "expected failure"
    assert statuses["seeded-weights"] == "unexpected pass"
