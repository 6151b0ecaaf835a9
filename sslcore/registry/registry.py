"""The registry of plugins and their records, and the resolution of names.

A plugin that fails anywhere is left out as a whole and recorded as broken, with its error; it never
ends a command.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache

from sslcore.contract.records import Component
from sslcore.errors import BrokenPluginWarning, PluginWarning, UnknownNameError, UsageError, nearest
from sslcore.registry import discovery
from sslcore.registry.discovery import Candidate, Selection
from sslcore.registry.loading import Entry, Loader, PluginStatus
from sslcore.registry.origin import Origin

#: States of a plugin that could not be loaded.
_FAILED = ("broken", "incompatible")


def _warn(warning: PluginWarning) -> None:
    warnings.warn(warning, stacklevel=4)


@dataclass
class Registry:
    """Every plugin found, and every record by kind.

    Attributes:
        plugins: all that were registered, or tried.
        warn: called with a warning for each plugin that is left out.
    """

    plugins: list[PluginStatus] = field(default_factory=list)
    warn: Callable[[PluginWarning], object] = _warn

    def __post_init__(self) -> None:
        self._loader = Loader()

    def derived(self) -> Registry:
        """Return a registry with the same plugins; what it loads further is not in this one."""
        return Registry(list(self.plugins), self.warn)

    def register(
        self, plugin: object, *, name: str, distribution: str = "(unpackaged)", version: str = "0"
    ) -> PluginStatus:
        """Register a plugin: a module, or any object with the hooks as attributes.

        It is registered whole or not at all; a failure is recorded and warned of, not raised.
        """
        return self.load(Candidate(Origin(name, distribution, version), name, lambda: plugin))

    def load_entry_points(self) -> None:
        """Load every installed plugin of the entry-point group."""
        for candidate in discovery.installed():
            self.load(candidate)

    def load(self, candidate: Candidate) -> PluginStatus:
        """Load a plugin and register it, whole or not at all.

        Raises:
            UsageError: a file or module that the user named fails. A failure of an installed
                plugin is recorded and warned of, not raised.
        """
        status = self._loader.load(candidate)
        self.plugins.append(status)
        if status.error and candidate.origin.given:
            raise UsageError(f"-p {candidate.origin.version}: {status.error}") from status.cause
        if status.error:
            traced = "sslcore --debug plugins" if status.cause else "sslcore plugins"
            self.warn(
                BrokenPluginWarning(
                    f"{candidate} is {status.status} and was left out: {status.error}; "
                    f"see: {traced}"
                )
            )
        return status

    def block(self, candidate: Candidate, why: str) -> None:
        """Record a plugin that is not to be loaded."""
        self.plugins.append(
            PluginStatus(candidate.origin, error=f"blocked: {why}", status="blocked")
        )

    def entries(self, kind: str) -> list[Entry]:
        """Return every record of a kind, what ships first, then by name."""
        found = [entry for plugin in self.plugins for entry in plugin.entries if entry.kind == kind]
        return sorted(
            found,
            key=lambda entry: (not entry.origin.shipped, entry.name, entry.origin.distribution),
        )

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
            if entry.name == bare and (not colon or entry.origin.distribution == distribution)
        ]
        if found and (found[0].origin.shipped or len(found) == 1):
            return found[0]
        if found:
            raise UsageError(
                f"{kind} {name!r} is offered by {len(found)} plugins: {_either(found)}"
            )
        known = [entry.name for entry in entries] + [entry.qualified for entry in entries]
        raise UnknownNameError(
            f"no {kind} is called {name!r}{nearest(bare, known)}; list them with: "
            f"sslcore {_listing(kind)}{self._left_out()}"
        )

    def variant(self, kind: str, name: str) -> tuple[str, dict[str, str]]:
        """Return a component's name and the setting that stands after it: `NAME:VALUE`.

        Only a record that names its `variant` is read so, and only where no distribution of that
        name offers what stands after the colon; else the name is returned as it is.
        """
        bare, _, value = name.partition(":")
        entries = self.entries(kind)
        if not value or any(entry.qualified == name for entry in entries):
            return name, {}
        for entry in entries:
            record = entry.record
            if entry.name == bare and isinstance(record, Component) and record.variant:
                return bare, {record.variant: value}
        return name, {}

    def _left_out(self) -> str:
        left = {
            "failed to load": [each for each in self.plugins if each.status in _FAILED],
            "are left out": [each for each in self.plugins if each.status == "blocked"],
        }
        return "".join(
            f"; plugins that {what}: " + ", ".join(f"{one.name} ({one.error})" for one in plugins)
            for what, plugins in left.items()
            if plugins
        )

    def address(self, entry: Entry) -> str:
        """Return the shortest name that finds a record."""
        same = [other for other in self.entries(entry.kind) if other.name == entry.name]
        return entry.name if entry.origin.shipped or len(same) == 1 else entry.qualified

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, each once."""
        return list(dict.fromkeys(entry.name for entry in self.entries(kind)))


def _either(found: list[Entry]) -> str:
    choices = list(dict.fromkeys(entry.qualified for entry in found))
    if len(choices) == len(found):
        return "use " + " or ".join(
            f"{entry.qualified} ({entry.origin.version})" for entry in found
        )
    plugins = dict.fromkeys(entry.origin.plugin for entry in found)
    return "leave one out: " + " or ".join(f"-p no:{plugin}" for plugin in plugins)


def _listing(kind: str) -> str:
    return "methods" if kind == "method" else f"components {kind}"


_given: tuple[str, ...] = ()


def use_plugins(given: Iterable[str]) -> None:
    """Set the plugins of this process: all values of `-p`."""
    global _given
    _given = tuple(given)


def plugins_in_use() -> tuple[str, ...]:
    """Return the values of `-p` that were set last."""
    return _given


def found_plugins() -> tuple[Registry, tuple[str, ...]]:
    """Return the registry of what is installed and wanted, and what a strict reader refuses.

    Raises:
        UsageError: what `-p` names is not there, or can't be loaded.
    """
    return _found(Selection.of_environment(_given), discovery.is_strict())


@cache
def _found(selection: Selection, strict: bool) -> tuple[Registry, tuple[str, ...]]:
    problems: list[PluginWarning] = []
    registry = Registry(warn=problems.append if strict else _warn)
    wanted, blocked, sentences = selection.apply(discovery.installed())
    for sentence in sentences:
        registry.warn(PluginWarning(sentence))
    for candidate in wanted:
        registry.load(candidate)
    for candidate, why in blocked:
        registry.block(candidate, why)
    return registry, tuple(map(str, problems))


def default_registry() -> Registry:
    """Return the registry of everything installed and wanted, made once per process.

    Raises:
        UsageError: what `-p` names is not there or can't be loaded; or a plugin is broken and
            `SSLCORE_STRICT` is set.
    """
    registry, problems = found_plugins()
    if problems:
        raise UsageError("\n".join([*problems, f"({discovery.STRICT} is set)"]))
    return registry
