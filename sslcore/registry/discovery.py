"""Finds plugins: in installed distributions, in a file, in a module. Nothing is loaded yet.

The command line (`-p`) and the environment select among them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import keyword
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sslcore.errors import UsageError, nearest
from sslcore.registry.origin import FILE, MODULE, Origin
from sslcore.system.environment import is_on
from sslcore.system.files import user_path

if TYPE_CHECKING:
    from types import ModuleType

#: The entry-point group.
GROUP = "sslcore"

#: Environment: which plugins besides those that ship ("a,b"; empty: none), and whether a warning
#: about a plugin is an error.
WANTED, STRICT = "SSLCORE_PLUGINS", "SSLCORE_STRICT"


@dataclass(frozen=True)
class Candidate:
    """A plugin that was found and is not loaded yet.

    Attributes:
        origin: its name, distribution and version.
        module: the module's name.
        load: imports the module.
    """

    origin: Origin
    module: str
    load: Callable[[], object]

    @property
    def name(self) -> str:
        """The name of the plugin."""
        return self.origin.plugin

    def __str__(self) -> str:
        return f"plugin {self.name} (from {self.origin})"

    def is_called(self, name: str) -> bool:
        """Whether a plugin's, distribution's or module's name means this one."""
        return _folded(name) in map(_folded, (self.name, self.origin.distribution, self.module))


def _folded(name: str) -> str:
    """A name as pip compares them."""
    return re.sub(r"[-_.]+", "-", name).casefold()


def installed() -> list[Candidate]:
    """Return the plugins of the installed distributions, each once."""
    points: dict[tuple[str, str], importlib.metadata.EntryPoint] = {}
    # Of a distribution that is twice on the path, the first counts, as on import.
    for point in importlib.metadata.entry_points(group=GROUP):
        distribution = point.dist.name if point.dist else "(unknown)"
        points.setdefault((distribution, point.name), point)
    return [
        Candidate(
            Origin(name, distribution, point.dist.version if point.dist else "0"),
            module=point.value.partition(":")[0].strip(),
            load=point.load,
        )
        for (distribution, name), point in points.items()
    ]


def of_file(named: str) -> Candidate:
    """Return the plugin that a single Python file is.

    Raises:
        UsageError: it is not there, or can't be imported by its name.
    """
    path = user_path(named, "-p")
    if not path.is_file():
        raise UsageError(f"-p {named}: there is no such file")
    path = path.absolute()
    name = path.stem
    if path.suffix != ".py" or not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(
            f"-p {named}: its references name the file as a module, and {path.name!r} is no name "
            "of one: call it like my_idea.py"
        )
    other = _origin_of(name)
    if other is not None and other != path.resolve():
        raise UsageError(
            f"-p {named}: a module called {name} is there already ({other}): rename the file"
        )
    return Candidate(Origin(name, FILE, str(path)), name, lambda: _import_file(name, path))


def _origin_of(name: str) -> Path | None:
    """Where a top-level module of that name would come from; None where there is none."""
    if name in sys.builtin_module_names:
        return Path("built in")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
        if name in sys.modules:
            return Path(getattr(sys.modules[name], "__file__", None) or "loaded already")
    if spec is None:
        return None
    return Path(spec.origin or next(iter(spec.submodule_search_locations or ()), "")).resolve()


def _import_file(name: str, path: Path) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        # A later import must not find half a module.
        del sys.modules[name]
        raise
    return module


def of_module(name: str, known: Iterable[Candidate]) -> Candidate:
    """Return the plugin that an importable module is.

    Raises:
        UsageError: there is no such module; the message has the nearest names.
    """
    spec = None
    if all(part.isidentifier() for part in name.split(".")):
        with suppress(ImportError, ValueError, AttributeError):
            spec = importlib.util.find_spec(name)
    if spec is None:
        raise UsageError(f"-p {name}: no plugin, file or module is called that{_near(name, known)}")
    return Candidate(Origin(name, MODULE, name), name, lambda: importlib.import_module(name))


@dataclass(frozen=True)
class Selection:
    """Which plugins are wanted.

    Attributes:
        given: what stands after each `-p`: `no:NAME`, a file, a plugin or a module.
        wanted: the names besides what ships; None means all that are installed.
    """

    given: tuple[str, ...] = ()
    wanted: tuple[str, ...] | None = None

    @classmethod
    def of_environment(cls, given: Iterable[str] = ()) -> Selection:
        """Return what the command line gives, with what the environment says."""
        names = os.environ.get(WANTED)
        split = None if names is None else tuple(filter(None, map(str.strip, names.split(","))))
        return cls(tuple(given), split)

    def apply(
        self, found: Sequence[Candidate]
    ) -> tuple[list[Candidate], list[tuple[Candidate, str]], list[str]]:
        """Return the plugins to load, those to leave alone with the reason, and warnings.

        Raises:
            UsageError: a name that was given is nobody's, or a file is not there.
        """
        blocked = [value.removeprefix("no:") for value in self.given if value.startswith("no:")]
        asked = [value for value in self.given if not value.startswith("no:")]
        extra: list[Candidate] = []
        for value in asked:
            if not any(candidate.is_called(value) for candidate in found):
                extra.append(of_file(value) if _is_path(value) else of_module(value, found))
        everything = [*found, *{each.origin: each for each in extra}.values()]
        for name in blocked:
            if not any(candidate.is_called(name) for candidate in everything):
                raise UsageError(f"-p no:{name}: no plugin is called that{_near(name, everything)}")
        kept: list[Candidate] = []
        left: list[tuple[Candidate, str]] = []
        for candidate in everything:
            why = self._why_blocked(candidate, blocked, asked)
            if why:
                left.append((candidate, why))
            else:
                kept.append(candidate)
        return kept, left, self._unknown(found)

    def _why_blocked(self, candidate: Candidate, blocked: list[str], asked: list[str]) -> str:
        for name in blocked:
            if candidate.is_called(name):
                return f"-p no:{name}"
        free = self.wanted is None or candidate.origin.shipped or candidate.origin.given
        if free or any(candidate.is_called(name) for name in (*(self.wanted or ()), *asked)):
            return ""
        return f"{WANTED} does not name it"

    def _unknown(self, found: Sequence[Candidate]) -> list[str]:
        return [
            f"{WANTED} names {name!r}, and no plugin is called that{_near(name, found)}"
            for name in self.wanted or ()
            if not any(candidate.is_called(name) for candidate in found)
        ]


def _is_path(value: str) -> bool:
    return value.endswith(".py") or os.sep in value or value.startswith("~")


def _near(name: str, known: Iterable[Candidate]) -> str:
    names = {each for one in known for each in (one.name, one.origin.distribution, one.module)}
    return f"{nearest(name, names - {FILE, MODULE})}; see: sslcore plugins"


def is_strict() -> bool:
    """Whether a warning about a plugin is an error."""
    return is_on(STRICT, default=False)
