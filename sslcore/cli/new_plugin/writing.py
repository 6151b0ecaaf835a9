"""The files of a new plugin: templates filled in, and written as a whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

import sslcore
from sslcore.cli.new_plugin.naming import Names
from sslcore.errors import UsageError
from sslcore.system.printable import is_one_printable_line

#: The module that holds the code of each kind.
_MODULES: Mapping[str, str] = {
    "method": "losses",
    "augmentation": "augmentations",
    "encoder": "encoders",
    "head": "heads",
    "loss": "losses",
    "evaluator": "evaluators",
    "dataset": "datasets",
    "tracker": "trackers",
}

#: The kinds of parts that a plugin can start with.
KINDS = tuple(_MODULES)

LICENSES = ("MIT", "Apache-2.0", "BSD-3-Clause")

_ARTICLES = {"a": "an", "e": "an"}


def files_of(names: Names, *, author: str = "", license: str = "MIT") -> dict[str, str]:
    """Return the files of a plugin, by path, with their text.

    Args:
        names: what it is called.
        author: who holds the copyright; the authors of the plugin by default.
        license: one of `LICENSES`.

    Raises:
        UsageError: the author is no line of text.
    """
    author = author.strip() or f"The {names.name} authors"
    if not is_one_printable_line(author):
        raise UsageError(f"--author: expected a line of text, got {author!r}")
    module = _MODULES[names.kind]
    noun = "data set" if names.kind == "dataset" else names.kind
    kind = names.kind
    values = {
        "name": names.name,
        "part": names.part,
        "package": names.package,
        "class_name": names.class_name,
        "module": module,
        "description": f"{_ARTICLES.get(noun[0], 'a').capitalize()} {noun} for sslcore",
        "license": license,
        "author": author,
        # What is text in JSON is text in TOML.
        "quoted_author": json.dumps(author, ensure_ascii=False),
        "year": time.strftime("%Y"),
        "requirement": _requirement(),
        "show": f"sslcore {'methods' if kind == 'method' else f'components {kind}'} {names.part}",
        "check": f"sslcore check plugin {names.package}",
    }
    values["command"] = _filled(f"{kind}/command.txt", values).strip()
    templates = {
        "pyproject.toml": "common/pyproject.toml.txt",
        "README.md": "common/README.md.txt",
        "LICENSE": f"licenses/{license}.txt",
        ".gitignore": "common/gitignore.txt",
        ".github/workflows/test.yml": "common/test.yml.txt",
        f"src/{names.package}/__init__.py": f"{kind}/records.txt",
        f"src/{names.package}/{module}.py": f"{kind}/part.txt",
        f"tests/test_{names.package}.py": f"{kind}/test.txt",
    }
    return {path: _filled(template, values) for path, template in templates.items()}


def _requirement() -> str:
    """Return the versions of sslcore that have the contract of this one."""
    major, minor = map(int, sslcore.__version__.split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}"


def _filled(name: str, values: Mapping[str, str]) -> str:
    text = resources.files("sslcore.cli.new_plugin").joinpath("templates", name).read_text("utf-8")
    return Template(text).substitute(values)


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a new folder; where that fails, there is no folder.

    Raises:
        UsageError: the folder exists, or can't be made.
    """
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists already: choose another name or --directory")
    beside = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        # A temporary folder is for its owner alone; this one is to be an ordinary one.
        beside.chmod(0o777 & ~_mask())
        for path, text in files.items():
            file = beside / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        beside.rename(folder)
    except OSError as error:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)
        raise UsageError(f"{folder} can't be written: {error.strerror}") from error


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
