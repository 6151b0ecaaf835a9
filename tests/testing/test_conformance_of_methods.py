"""Every shipped method has the properties of methods, on images and on clips."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sslcore.registry.registry import default_registry
from sslcore.testing import MethodSpec, cases, specs_of

_ENTRIES = {e.name: e for e in default_registry().entries("method") if e.origin.shipped}

#: A method whose encoder takes seconds per property and is checked separately: it is resolved and
#: trained once with its own encoder; the other checks use a small one.
_LARGE = "infonce"


def _cases():
    for name, entry in _ENTRIES.items():
        for spec in specs_of(entry):
            if name == _LARGE:
                method = replace(entry.record, encoder="small-cnn")
                spec = MethodSpec(lambda method=method: method, name)
            for case in cases(spec):
                yield pytest.param(case, id=f"{spec.name}-{case.id}")
    for case in cases(*specs_of(_ENTRIES[_LARGE])):
        if case.id in ("its-names-resolve", "training-moves-every-weight"):
            yield pytest.param(case, id=f"{_LARGE} with its encoder-{case.id}")


@pytest.mark.parametrize("case", list(_cases()))
def test_a_shipped_method(case):
    case.run()


def test_methods_that_take_both_are_checked_on_images_and_on_clips():
    assert [spec.clips for spec in specs_of(_ENTRIES["cpc"])] == [False, True]
    assert [spec.clips for spec in specs_of(_ENTRIES["simclr"])] == [False]
