"""What every test has: an empty working folder, a cache of its own, and small thread counts."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from rich.console import Console

from sslcore.registry import Registry


@pytest.fixture(scope="session", autouse=True)
def _threads():
    # One thread a process: the suite may run in several, and sums must not depend on how many.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def registry():
    """Everything installed, and the plugins of tests/third_party."""
    return third_party_registry()


def third_party_registry() -> Registry:
    import byol_plugin
    import example_plugin
    import mae_plugin
    import moco_plugin

    found = Registry()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.load_entry_points()
        for plugin in (example_plugin, byol_plugin, moco_plugin, mae_plugin):
            found.register(plugin, name=plugin.__name__, distribution="third-party", version="1.0")
    return found


@pytest.fixture
def console():
    """A console that writes into memory: `console.file.getvalue()`."""
    return Console(file=io.StringIO(), width=200, highlight=False, markup=False)


TINY = {"training": {"epochs": 1, "batch_size": 16, "precision": "fp32", "log_every": 1}}


@pytest.fixture
def tiny():
    """Settings of a run of three steps on the data set `noise`."""
    return {section: dict(values) for section, values in TINY.items()}
