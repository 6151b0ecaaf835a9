"""Fixtures of all tests: an empty working folder, a separate cache, and few threads."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import types
import warnings

import pytest
import torch
from PIL import Image
from rich.console import Console

import sslcore
import sslcore.cli
from sslcore.contract.records import KINDS
from sslcore.registry.registry import Registry


@pytest.fixture(scope="session", autouse=True)
def _threads():
    # One thread per process: the suite may run in several, and sums depend on the thread count.
    torch.set_num_threads(1)
    # The same in the processes that tests start.
    os.environ["OMP_NUM_THREADS"] = "1"
    # A report takes seconds, and hundreds of tests train.
    os.environ["SSLCORE_REPORT"] = "0"


@pytest.fixture(scope="session", autouse=True)
def _signals_heard():
    # A suite started in the background inherits ignored signals, but tests send these.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            usual = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(number, usual)


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
    import data_plugin
    import example_plugin
    import extras_plugin
    import mae_plugin
    import moments_plugin

    found = Registry()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.load_entry_points()
        plugins = (data_plugin, example_plugin, extras_plugin, mae_plugin, moments_plugin)
        for plugin in plugins:
            found.register(plugin, name=plugin.__name__, distribution="third-party", version="1.0")
    return found


@pytest.fixture
def add():
    """Register a test's class as a component: `add(registry, "loss", TheClass)`."""
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


class Site:
    """A folder of distributions on PYTHONPATH, for separate processes."""

    def __init__(self, path):
        self.path = path
        path.mkdir()

    def add(self, name, source, *, version="1.0", module=None, points=None, metadata_name=None):
        """Install a distribution of one module: its source, and its metadata as written by pip."""
        module = module or name.replace("-", "_")
        (self.path / f"{module}.py").write_text(source, encoding="utf-8")
        points = {module: module} if points is None else points
        self.describe(name, version=version, points=points, metadata_name=metadata_name)

    def describe(self, name, *, points, version="1.0", metadata_name=None):
        """Write the metadata of a distribution whose code exists."""
        info = self.path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        said = f"Metadata-Version: 2.1\nName: {metadata_name or name}\nVersion: {version}\n"
        (info / "METADATA").write_text(said, encoding="utf-8")
        lines = [f"{point} = {value}" for point, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[sslcore]", *lines, ""]))

    def run(self, *arguments, cwd=None, **environment):
        """Run the command line in a separate process."""
        path = os.pathsep.join(filter(None, [str(self.path), os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, "-m", "sslcore", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "300", **environment},
        )


@pytest.fixture
def site(tmp_path):
    """An empty folder for distributions, on the path of the programs that the test runs."""
    return Site(tmp_path / "site")


LOSS_PLUGIN = """
import sslcore

@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(name="{name}", summary="Made up", build="{module}:Agreement")

def __getattr__(name):
    if name != "Agreement":
        raise AttributeError(name)
    from torch import Tensor, nn

    class Agreement(nn.Module):
        def forward(self, projections: Tensor) -> Tensor:
            first, second = projections
            return (first - second).square().mean()

    Agreement.forward.__annotations__ = {{"projections": Tensor, "return": Tensor}}
    return Agreement
"""


@pytest.fixture
def loss_plugin():
    """The source of a plugin with one loss: `loss_plugin("module", "name-of-the-loss")`."""
    return lambda module, name: LOSS_PLUGIN.format(module=module, name=name)


@pytest.fixture
def sslcore_cli(capsys):
    """Run a command in this process: `code, out, err = sslcore_cli("train", …)`."""

    def run(*arguments):
        code = sslcore.cli.run([str(argument) for argument in arguments], debug=False)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run


@pytest.fixture
def photos(tmp_path):
    """Make a folder of images: `photos({"cat": 4, "dog": 4})`, or `photos({"": 10})`.

    `name` is that of the folder.
    """

    def make(classes, size=12, channels=3, name="photos"):
        generator = torch.Generator().manual_seed(0)
        for label, count in classes.items():
            folder = tmp_path / name / label
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                shape = (size, size, 3) if channels == 3 else (size, size)
                values = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
                Image.fromarray(values.numpy()).save(folder / f"{number:02}.png")
        return tmp_path / name

    return make
