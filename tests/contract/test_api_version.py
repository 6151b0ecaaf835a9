"""A plugin may state the version of the contract that it was written for."""

from __future__ import annotations

import types

import pytest

import sslcore
from sslcore.contract.api_version import API_VERSION, OLDEST_API, check_api, stated_in_source
from sslcore.errors import IncompatibleError, PluginWarning
from sslcore.registry.registry import Registry


def test_the_current_version_and_none_are_understood_and_others_say_what_to_upgrade():
    for stated in (None, *range(OLDEST_API, API_VERSION + 1)):
        check_api(stated, "made-up")
    with pytest.raises(IncompatibleError, match="upgrade sslcore"):
        check_api(API_VERSION + 1, "made-up")
    with pytest.raises(IncompatibleError, match="upgrade made-up"):
        check_api(OLDEST_API - 1, "made-up")


def test_a_hook_that_was_never_there_is_still_an_error():
    module = types.ModuleType("misspelt")
    module.sslcore_criterions = sslcore.hookimpl(lambda: iter([]))
    with pytest.warns(PluginWarning, match="is broken"):
        Registry().register(module, name="misspelt")


def test_a_version_that_is_no_integer_is_refused():
    check_api(None, "d")
    check_api(API_VERSION, "d")
    for wrong in ("1", 1.0, True):
        with pytest.raises(TypeError, match="must be an integer"):
            check_api(wrong, "d")


def test_the_version_is_read_from_source_without_running_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "says_seven.py").write_text("raise RuntimeError\nSSLCORE_API = 7\n")
    (tmp_path / "says_nothing.py").write_text("SSLCORE_API = seven()\n")
    assert stated_in_source("says_seven") == 7
    assert stated_in_source("says_nothing") is None
    assert stated_in_source("is_not_there.at_all") is None
