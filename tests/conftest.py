"""What every test has: an empty working folder, a cache of its own, and small thread counts."""

from __future__ import annotations

import io
import os
import sys
import types
import warnings

import pytest
import torch
from rich.console import Console

import sslcore
from sslcore.components import KINDS
from sslcore.registry import Registry


@pytest.fixture(scope="session", autouse=True)
def _threads():
    # One thread a process: the suite may run in several, and sums must not depend on how many.
    torch.set_num_threads(1)
    # And in the processes that tests start.
    os.environ["OMP_NUM_THREADS"] = "1"


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
def add():
    """Register a component made of a class of a test: `add(registry, "loss", TheClass)`."""
    return _add


def _add(registry, kind, target, *, name="made-up", distribution="made-up-dist", **more):
    module_name = f"made_up_{target.__name__}"
    module = sys.modules.setdefault(module_name, types.ModuleType(module_name))
    setattr(module, target.__name__, target)
    record = KINDS[kind](
        name=name, summary="Made up", build=f"{module_name}:{target.__name__}", **more
    )
    plugin = types.SimpleNamespace()
    hook = f"sslcore_{kind}{'es' if kind.endswith('s') else 's'}"
    plugin.__dict__[hook] = sslcore.hookimpl(lambda: iter([record]))
    status = registry.register(plugin, name=module_name, distribution=distribution, version="1.2")
    assert not status.error, status.traceback


@pytest.fixture
def console():
    """A console that writes into memory: `console.file.getvalue()`."""
    return Console(file=io.StringIO(), width=200, highlight=False, markup=False)


TINY = {"training": {"epochs": 1, "batch_size": 16, "precision": "fp32", "log_every": 1}}


@pytest.fixture
def tiny():
    """Settings of a run of three steps on the data set `noise`."""
    return {section: dict(values) for section, values in TINY.items()}
