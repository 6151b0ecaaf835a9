"""Every shipped data set that needs no network has the properties of data sets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sslcore.registry.registry import default_registry
from sslcore.testing import cases, conformance, specs_of

_SPECS = {
    entry.name: spec
    for entry in default_registry().entries("dataset")
    for spec in specs_of(entry)
    if entry.origin.shipped
}


def _specs():
    yield replace(_SPECS["digits"], learnable=True)
    yield replace(_SPECS["digits"], name="digits as they are", settings={"image_size": 8})
    yield replace(_SPECS["moving-digits"], settings={"frames": 4})
    yield _SPECS["folder"]
    yield _SPECS["table"]
    yield _SPECS["shards"]


@conformance(*_specs())
def test_a_shipped_data_set(case):
    case.run()


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion-mnist", "stl10"])
def test_a_data_set_that_must_be_fetched_is_not_checked(name):
    # The cache of a test is empty.
    row = cases(_SPECS[name])[0].row()
    assert row.status == "n/a"
    assert "can't be built here" in row.reason
