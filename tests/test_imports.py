"""Listing does not import torch, and the engine names no component."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Words that are also names of parts: exports know the library timm, and the classifier of its
#: models. A step is one of training.
SHARED_NAMES = {
    "": {"step"},
    "exports/": {"timm", "classifier", "huggingface"},
    "cli/export.py": {"timm", "huggingface"},
}
NAMES_KNOWN_TO_NOBODY = "import sys; assert 'torch' not in sys.modules, 'torch was imported'"


def _without_exports(path: Path) -> ast.Module:
    """A file without its `__all__`: a public function may share a component's name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    ]
    return tree


def test_the_engine_names_no_component_and_no_method(registry):
    from sslcore.contract.records import KINDS

    names = {entry.name for kind in KINDS for entry in registry.entries(kind)}
    # The conformance kit names families of losses, some of which share a loss's name.
    kit = ROOT / "sslcore" / "testing" / "losses"
    for path in (ROOT / "sslcore").rglob("*.py"):
        if path.is_relative_to(kit):
            continue
        place = path.relative_to(ROOT / "sslcore").as_posix()
        shared = [words for start, words in SHARED_NAMES.items() if place.startswith(start)]
        known = names.difference(*shared)
        for node in ast.walk(_without_exports(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in known, f"{path} line {node.lineno} says {node.value!r}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["methods"],
        ["methods", "simclr"],
        ["components"],
        ["components", "--json"],
        ["components", "loss"],
        ["components", "loss", "nt-xent"],
        ["components", "augmentation", "two-views"],
        ["components", "head", "projection"],
        ["components", "encoder", "resnet18"],
        ["components", "evaluator", "linear-probe"],
        ["components", "dataset", "digits"],
        ["plugins"],
        ["plugins", "--json"],
        ["methods", "cpc", "--json"],
        ["components", "evaluator", "reconstruction", "--json"],
        ["-p", "no:sslcore_simclr", "plugins"],
        ["completion", "bash"],
        ["new-plugin", "made-up-plugin", "--kind", "method"],
    ],
    ids=" ".join,
)
def test_listing_does_not_import_torch(arguments):
    program = (
        "import sys\n"
        "from sslcore.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n" + NAMES_KNOWN_TO_NOBODY
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_importing_sslcore_does_not_import_torch():
    program = "import sslcore; sslcore.Method; sslcore.hookimpl\n" + NAMES_KNOWN_TO_NOBODY
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there():
    import sslcore

    for name in sslcore.__all__:
        assert getattr(sslcore, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sslcore.nothing
