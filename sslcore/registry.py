"""Find plugins, load what they offer, and resolve names.

A plugin that fails anywhere is left out whole and remembered as broken, with its error; it never
takes a command down.
"""

from __future__ import annotations

import importlib.metadata
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pluggy

from sslcore import hookspecs
from sslcore.components import KINDS, Component, Record
from sslcore.errors import UnknownNameError, UsageError, nearest

#: The entry-point group, and the distribution that the shipped plugins come from.
GROUP = "sslcore"
SHIPPED = "sslcore"

_KIND_OF_HOOK = {f"sslcore_{kind}{'es' if kind.endswith('s') else 's'}": kind for kind in KINDS}


class BrokenPluginWarning(UserWarning):
    """A plugin could not be loaded and was left out."""


@dataclass(frozen=True)
class Entry:
    """A record and where it came from."""

    record: Record
    plugin: str
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """The record's name."""
        return self.record.name

    @property
    def kind(self) -> str:
        """The record's kind."""
        return self.record.kind

    @property
    def shipped(self) -> bool:
        """Whether it ships with sslcore itself."""
        return self.distribution == SHIPPED

    @property
    def qualified(self) -> str:
        """The name that is never ambiguous: `distribution:name`."""
        return f"{self.distribution}:{self.name}"

    @property
    def build(self) -> str:
        """The reference of the code behind a component."""
        assert isinstance(self.record, Component)
        return self.record.build

    def __str__(self) -> str:
        return f"{self.kind} {self.name} (from {self.distribution} {self.version})"


@dataclass(frozen=True)
class PluginStatus:
    """A plugin as `sslcore plugins` shows it: active, or broken with its error."""

    name: str
    distribution: str
    version: str
    entries: tuple[Entry, ...] = ()
    error: str = ""
    traceback: str = ""

    @property
    def status(self) -> str:
        """`"active"` or `"broken"`."""
        return "broken" if self.error else "active"


@dataclass
class Registry:
    """Every plugin found, and every record by kind."""

    plugins: list[PluginStatus] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._manager = pluggy.PluginManager("sslcore")
        self._manager.add_hookspecs(hookspecs)

    def register(
        self, plugin: Any, *, name: str, distribution: str = "(unpackaged)", version: str = "0"
    ) -> PluginStatus:
        """Register a plugin: a module, or any object with the hooks as attributes.

        It is registered whole or not at all; a failure is recorded and warned of, not raised.
        """
        try:
            self._manager.register(plugin, name=f"{distribution}:{name}")
            self._manager.check_pending()
            status = PluginStatus(
                name,
                distribution,
                version,
                tuple(self._collect(plugin, name, distribution, version)),
            )
        except (Exception, SystemExit) as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            status = self._broken(name, distribution, version, error)
        self.plugins.append(status)
        return status

    def load_entry_points(self) -> None:
        """Load every installed plugin of the entry-point group."""
        seen: set[tuple[str, str]] = set()
        for point in importlib.metadata.entry_points(group=GROUP):
            distribution = point.dist.name if point.dist else "(unknown)"
            version = point.dist.version if point.dist else "0"
            if (distribution, point.name) in seen:
                # The same distribution found twice on the path: the first one wins, as on import.
                continue
            seen.add((distribution, point.name))
            try:
                plugin = point.load()
            except (Exception, SystemExit) as error:
                self.plugins.append(self._broken(point.name, distribution, version, error))
                continue
            self.register(plugin, name=point.name, distribution=distribution, version=version)

    def _collect(self, plugin: Any, name: str, distribution: str, version: str) -> Iterator[Entry]:
        callers = self._manager.get_hookcallers(plugin) or []
        if not callers:
            raise TypeError("it implements none of the hooks of sslcore.hookspecs")
        for caller in callers:
            record_type = KINDS[_KIND_OF_HOOK[caller.name]]
            for implementation in caller.get_hookimpls():
                if implementation.plugin is not plugin:
                    continue
                names: set[str] = set()
                for record in _records(implementation.function(), caller.name):
                    if type(record) is not record_type:
                        raise TypeError(
                            f"{caller.name} yielded {record!r}, expected sslcore."
                            f"{record_type.__name__}"
                        )
                    if record.name in names:
                        raise ValueError(f"{caller.name} yielded {record.name!r} twice")
                    names.add(record.name)
                    yield Entry(record, name, distribution, version)

    def _broken(
        self, name: str, distribution: str, version: str, error: BaseException
    ) -> PluginStatus:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        warnings.warn(
            f"plugin {name} (from {distribution} {version}) is broken and was left out: {said}; "
            "see: sslcore plugins",
            BrokenPluginWarning,
            stacklevel=3,
        )
        trace = "".join(traceback.format_exception(error))
        return PluginStatus(name, distribution, version, error=said, traceback=trace)

    def entries(self, kind: str) -> list[Entry]:
        """Return every record of a kind, what ships first, then by name."""
        found = [entry for plugin in self.plugins for entry in plugin.entries if entry.kind == kind]
        return sorted(found, key=lambda entry: (not entry.shipped, entry.name, entry.distribution))

    def resolve(self, kind: str, name: str) -> Entry:
        """Return the record that a name stands for.

        A bare name means what ships with sslcore if that has it, else the only plugin that offers
        it; `distribution:name` always names one.

        Raises:
            UnknownNameError: no plugin offers it; the message has the nearest names.
            UsageError: several do; the message names them.
        """
        entries = self.entries(kind)
        distribution, colon, bare = name.rpartition(":")
        found = [
            entry
            for entry in entries
            if entry.name == bare and (not colon or entry.distribution == distribution)
        ]
        if found and (found[0].shipped or len(found) == 1):
            return found[0]
        if found:
            choices = " or ".join(f"{entry.qualified} ({entry.version})" for entry in found)
            raise UsageError(f"{kind} {name!r} is offered by {len(found)} plugins: say {choices}")
        known = [entry.name for entry in entries] + [entry.qualified for entry in entries]
        broken = [plugin for plugin in self.plugins if plugin.status == "broken"]
        failed = "; plugins that failed to load: " + ", ".join(
            f"{plugin.name} ({plugin.error})" for plugin in broken
        )
        raise UnknownNameError(
            f"no {kind} is called {name!r}{nearest(bare, known)}; list them with: "
            f"sslcore {_listing(kind)}{failed if broken else ''}"
        )

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, each once."""
        return list(dict.fromkeys(entry.name for entry in self.entries(kind)))


def _listing(kind: str) -> str:
    return "methods" if kind == "method" else f"components {kind}"


def _records(yielded: Any, hook: str) -> Iterable[Record]:
    if yielded is None or not hasattr(yielded, "__iter__"):
        raise TypeError(f"{hook} returned {yielded!r}, expected it to yield records")
    return yielded


@cache
def default_registry() -> Registry:
    """Return the registry of everything installed, made once per process."""
    registry = Registry()
    registry.load_entry_points()
    return registry
