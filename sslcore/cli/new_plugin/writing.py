"""The files of a new plugin: templates filled in, and written as a whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template

import sslcore
from sslcore.cli.new_plugin.naming import Names
from sslcore.errors import UsageError
from sslcore.system.printable import is_one_printable_line

#: The module that holds the code of each kind; a method is a record alone.
_MODULES: Mapping[str, str] = {
    "method": "",
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


def files_of(*parts: Names, author: str = "", license: str = "MIT") -> dict[str, str]:
    """Return the files of a plugin, by path, with their text.

    Args:
        parts: the names of each of its parts, of different kinds; a method without a loss gets one.
        author: who holds the copyright; the authors of the plugin by default.
        license: one of `LICENSES`.

    Raises:
        UsageError: the author is no line of text.
    """
    first = parts[0]
    author = author.strip() or f"The {first.name} authors"
    if not is_one_printable_line(author):
        raise UsageError(f"--author: expected a line of text, got {author!r}")
    values = {
        "name": first.name,
        "package": first.package,
        "description": f"{_in_words([part.noun for part in parts])} for sslcore",
        "license": license,
        "author": author,
        # What is text in JSON is text in TOML.
        "quoted_author": json.dumps(author, ensure_ascii=False),
        "year": time.strftime("%Y"),
        "requirement": _requirement(),
        "check": f"sslcore check plugin {first.package}",
    }
    written = _with_a_loss(parts)
    # What a method names where the plugin has no part of the kind.
    values |= tomllib.loads(_read("method/parts.toml"))
    values |= {part.kind: part.part for part in written if part.kind != "method"}
    own = {
        part.kind: {**values, "part": part.part, "class_name": part.class_name} for part in written
    }
    values["hooks"] = "\n\n\n".join(
        _filled(f"{kind}/hooks.txt", names).rstrip("\n") for kind, names in own.items()
    )
    values["commands"] = "\n".join(
        line
        for part in parts
        for line in (part.show, _filled(f"{part.kind}/command.txt", own[part.kind]).strip())
    )
    modules = [
        f"`src/{first.package}/{module}.py`" for module in map(_module_of, written) if module
    ]
    values["code"] = f"{_joined(modules)} {'has' if len(modules) == 1 else 'have'}"
    source = f"src/{first.package}"
    files = {
        path: _filled(template, values)
        for path, template in {
            "pyproject.toml": "common/pyproject.toml.txt",
            "README.md": "common/README.md.txt",
            "LICENSE": f"licenses/{license}.txt",
            ".gitignore": "common/gitignore.txt",
            ".github/workflows/test.yml": "common/test.yml.txt",
            f"{source}/__init__.py": "common/records.txt",
        }.items()
    }
    for part in written:
        names = own[part.kind]
        if module := _module_of(part):
            files[f"{source}/{module}.py"] = _filled(f"{part.kind}/part.txt", names)
        if part.kind == "loss":
            files[f"{source}/formula.py"] = _filled("loss/formula.txt", names)
        files[f"tests/test_{part.kind}.py"] = _filled(f"{part.kind}/test.txt", names)
    return files


def _with_a_loss(parts: Sequence[Names]) -> list[Names]:
    """Return the parts, with a loss of the method's name where a method has none."""
    kinds = {part.kind: part for part in parts}
    if "method" not in kinds or "loss" in kinds:
        return list(parts)
    method = kinds["method"]
    return [Names(method.name, "loss", method.part), *parts]


def _module_of(part: Names) -> str:
    return _MODULES[part.kind]


def _in_words(nouns: Sequence[str]) -> str:
    """Return nouns with their articles: `A loss and an augmentation`."""
    words = _joined([f"{'an' if noun[0] in 'aeo' else 'a'} {noun}" for noun in nouns])
    return words[0].upper() + words[1:]


def _joined(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _requirement() -> str:
    """Return the versions of sslcore that have the contract of this one."""
    major, minor = map(int, sslcore.__version__.split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}"


def _filled(name: str, values: Mapping[str, str]) -> str:
    return Template(_read(name)).substitute(values)


def _read(name: str) -> str:
    return resources.files("sslcore.cli.new_plugin").joinpath("templates", name).read_text("utf-8")


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
