"""Every shipped evaluator has the properties of evaluators."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sslcore.registry.registry import default_registry
from sslcore.testing import cases, conformance, specs_of

_SPECS = {
    entry.name: spec
    for entry in default_registry().entries("evaluator")
    for spec in specs_of(entry)
    if entry.origin.shipped
}

#: Smaller than its defaults, which take a minute for all properties.
_SMALL = {"widths": (32,), "epochs": 10, "batch_size": 24, "lr": 1e-2}


def _specs():
    for name, spec in _SPECS.items():
        yield replace(spec, settings=_SMALL) if name == "mlp-probe" else spec
    yield replace(_SPECS["knn"], name="knn of one", settings={"k": 1}, num_classes=4)
    yield replace(_SPECS["linear-probe"], name="linear-probe of all", settings={"l2": 1.0})


@conformance(*_specs())
def test_a_shipped_evaluator(case):
    case.run()


@pytest.mark.parametrize("name", ["perfect-features-score-1", "wrong-labels-score-0"])
def test_the_mlp_probe_at_its_defaults(name):
    next(case for case in cases(_SPECS["mlp-probe"]) if case.id == name).run()
