"""Parts whose images come with more than a label are checked like all others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sslcore.testing import check
from sslcore.testing.parts.entries import specs_of

PARTS = [
    ("dataset", "scenes"),
    ("augmentation", "crop-with-map"),
    ("encoder", "knows-the-place"),
    ("head", "area"),
    ("method", "areas"),
]


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_parts_that_use_extras_conform(kind, name, registry):
    specs = specs_of(registry.resolve(kind, name), registry)
    assert specs
    for spec in specs:
        report = check(spec)
        assert report.passed, str(report)


def test_a_data_set_without_the_extras_of_its_record_does_not_conform(registry):
    (spec,) = specs_of(registry.resolve("dataset", "scenes"), registry)
    report = check(replace(spec, provides=("segmentation", "captions")))
    assert not report.passed
    assert "segmentation, place, hour" in str(report)
