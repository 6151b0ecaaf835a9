"""The interface read from source equals the interface of the imported object."""

from __future__ import annotations

import pytest

from sslcore.contract.interface import interface_of, load_reference
from sslcore.contract.records import KINDS
from sslcore.contract.settings import describe
from sslcore.contract.static_interface import read_interface, static_interface
from sslcore.registry.registry import Registry


def _shipped():
    registry = Registry()
    registry.load_entry_points()
    return [
        entry
        for kind in KINDS
        if kind != "method"
        for entry in registry.entries(kind)
        if entry.origin.shipped
    ]


@pytest.mark.parametrize("entry", _shipped(), ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_the_source_says_what_the_import_says(entry):
    read = read_interface(entry.build)
    assert read is not None
    imported = interface_of(load_reference(entry.build))
    assert list(read.settings) == list(imported.settings)
    for name, setting in read.settings.items():
        other = imported.settings[name]
        assert setting.default == other.default, name
        assert describe(setting.annotation) == describe(other.annotation), name
        assert setting.help == other.help, name
    assert read.supplied == imported.supplied
    assert read.needs == imported.needs
    assert read.provides == imported.provides


@pytest.mark.parametrize("entry", _shipped(), ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_setting_of_a_shipped_component_has_a_type_and_a_help(entry):
    for setting in static_interface(entry.build).settings.values():
        assert setting.type != "any value", setting.name
        assert setting.help, setting.name


def test_what_the_source_does_not_say_is_found_by_importing():
    # The constructor is inherited from another module.
    found = static_interface("inheriting_parts:Inheriting")
    assert list(found.supplied) == ["feature_dim", "image_size", "channels"]
    assert found.provides == {"patch_predictions": True}
