"""Which name a new plugin can have, and the names that follow from it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import sys
from contextlib import suppress
from dataclasses import dataclass

from sslcore.contract.records import KEBAB_CASE, KINDS
from sslcore.errors import UsageError
from sslcore.registry.registry import Registry

#: Lines that hold a name stay shorter than a line may be.
LONGEST = 30

#: Folders of the project that a package of that name could not be told from.
_FOLDERS = ("src", "tests", "dist", "build")


@dataclass(frozen=True)
class Names:
    """The names of a plugin and of one of its parts.

    Attributes:
        name: of the distribution, in kebab-case.
        kind: of the part.
        part: of the part, in kebab-case.
    """

    name: str
    kind: str
    part: str = ""

    def __post_init__(self) -> None:
        if not self.part:
            # What ends up on the command line says what it is, not what it is for.
            object.__setattr__(self, "part", self.name.removeprefix("sslcore-"))

    @property
    def package(self) -> str:
        """The name of the Python package."""
        return self.name.replace("-", "_")

    @property
    def class_name(self) -> str:
        """The name of the class behind the part."""
        words = self.part.split("-")
        # The kind in it keeps it apart from every name that its module imports.
        return "".join(
            map(str.capitalize, words if words[-1] == self.kind else [*words, self.kind])
        )

    @property
    def noun(self) -> str:
        """The kind, in words."""
        return "data set" if self.kind == "dataset" else self.kind

    @property
    def show(self) -> str:
        """The command that shows the part."""
        what = "methods" if self.kind == "method" else f"components {self.kind}"
        return f"sslcore {what} {self.part}"


def check_names(names: Names, registry: Registry) -> None:
    """Refuse names that a plugin and its part can't have.

    Raises:
        UsageError: one is no kebab-case, no name of a package, or taken; the message says by whom.
    """
    check_name(names.name, registry)
    if names.part != names.name:
        check_part(names.part, registry)


def _check_form(name: str) -> None:
    if not KEBAB_CASE.fullmatch(name):
        raise UsageError(f"{name!r} is not kebab-case (a-z, 0-9, hyphens), as in soft-agreement")
    if len(name) > LONGEST:
        raise UsageError(f"{name!r} has {len(name)} characters; {LONGEST} is the most")


def check_part(part: str, registry: Registry) -> None:
    """Refuse a name that a part can't have.

    Raises:
        UsageError: it is no kebab-case, too long, no start of a class's name, or taken.
    """
    _check_form(part)
    if part[0].isdigit():
        raise UsageError(f"{part!r} can't be a part: a class can't be called so; start with a-z")
    for kind in KINDS:
        for entry in registry.entries(kind):
            if entry.name == part:
                raise UsageError(
                    f"{part!r} is taken: {entry}; choose another with --name (what ships with "
                    "sslcore can't be shadowed, and two of one name must be told apart each time)"
                )


def check_name(name: str, registry: Registry) -> None:
    """Refuse a name that a plugin can't have.

    Raises:
        UsageError: it is no kebab-case, no name of a package, or taken; the message says by whom.
    """
    package = name.replace("-", "_")
    _check_form(name)
    if not package.isidentifier() or keyword.iskeyword(package) or package in _FOLDERS:
        raise UsageError(f"{name!r} can't be a plugin: {package} is no name for a Python package")
    check_part(name, registry)
    for plugin in registry.plugins:
        origin = plugin.origin
        if package == origin.plugin or name == origin.distribution:
            raise UsageError(f"{name!r} is taken: plugin {origin.plugin} of {origin.distribution}")
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version(name)
        raise UsageError(f"{name!r} is taken: {name} {version} is installed")
    if package in sys.modules or _is_importable(package):
        raise UsageError(f"{name!r} is taken: there is a Python module {package} already")


def _is_importable(package: str) -> bool:
    with suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(package)
        # A folder without __init__.py is no package that was installed.
        return spec is not None and spec.origin is not None
    return False
