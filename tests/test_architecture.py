"""The engine's packages import lower layers only, and plugins are independent.

The contracts are import-linter's in pyproject.toml; `lint-imports` checks them as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def _lint(folder):
    path = os.pathsep.join([str(folder), str(folder / "plugins")])
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
    )


@pytest.fixture
def copy(tmp_path):
    """A copy of the engine, the plugins and the contracts."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("sslcore", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_holds():
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("sslcore/system/files.py", "import sslcore.cli.options", "rooms below it BROKEN"),
        ("sslcore/pipeline/pipeline.py", "import sslcore.training.state", "rooms below it BROKEN"),
        ("sslcore/random.py", "import sslcore.transforms.color", "rooms below it BROKEN"),
        ("sslcore/api/before.py", "import sslcore_simclr", "The engine imports no plugin BROKEN"),
        ("plugins/sslcore_moco/batch.py", "import sslcore_byol", "imports another plugin BROKEN"),
    ],
)
def test_a_deliberate_import_in_the_wrong_direction_is_found(copy, file, line, broken):
    path = copy / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    done = _lint(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert broken in done.stdout


def test_every_room_and_every_plugin_is_under_contract():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    plugins = sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())
    assert sorted(settings["root_packages"]) == ["sslcore", *plugins]
    for contract in settings["contracts"]:
        if contract["id"] != "rooms":
            assert sorted(contract.get("modules") or contract["forbidden_modules"]) == plugins
        else:
            # import-linter reports a package that no layer names.
            assert contract["exhaustive"]


def test_every_room_says_what_it_is_for():
    rooms = [path for path in (ROOT / "sslcore").iterdir() if (path / "__init__.py").is_file()]
    assert len(rooms) == 18
    for room in rooms:
        first = (room / "__init__.py").read_text().partition("\n")[0]
        assert first.startswith('"""'), room
        assert first.rstrip('"').endswith("."), room
