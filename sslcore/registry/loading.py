"""One plugin: imported, its hooks called, its records checked; taken whole or not at all."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Literal

import pluggy

from sslcore.contract import hooks as hookspecs
from sslcore.contract.api_version import (
    ATTRIBUTE,
    IncompatibleError,
    check_api,
    renamed_hook,
    stated_in_source,
    tell_of_old_name,
)
from sslcore.contract.records import KINDS, Component, Loss, Record
from sslcore.errors import PluginWarning, nearest
from sslcore.registry.discovery import SHIPPED, Candidate
from sslcore.system.printable import one_line, printable

_KIND_OF_HOOK = {f"sslcore_{kind}{'es' if kind.endswith('s') else 's'}": kind for kind in KINDS}

#: Longer error texts of plugins are cut: they are one line among others.
_LONGEST = 300


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
    def owner(self) -> str:
        """Its name and origin, for messages about its settings."""
        return f"{self.name}, from {self.distribution} {self.version}"

    @property
    def addresses(self) -> tuple[str, str]:
        """The names that it answers to: bare and qualified."""
        return self.name, self.qualified

    @property
    def build(self) -> str:
        """The reference of the code behind a component."""
        assert isinstance(self.record, Component)
        return self.record.build

    @property
    def whose(self) -> str:
        """The plugin that offers it, for messages."""
        return f"plugin {self.plugin} (from {self.distribution} {self.version})"

    def __str__(self) -> str:
        return f"{self.kind} {self.name} (from {self.distribution} {self.version})"


@dataclass(frozen=True)
class PluginStatus:
    """A plugin as `sslcore plugins` shows it.

    Attributes:
        name: of the entry point.
        distribution: where it comes from.
        version: of the distribution.
        entries: what it offers; nothing unless it is active.
        error: why it is not active, in one line.
        status: active; blocked by the user; broken; or incompatible, of another time.
        cause: what it raised.
    """

    name: str
    distribution: str
    version: str
    entries: tuple[Entry, ...] = ()
    error: str = ""
    status: Literal["active", "blocked", "broken", "incompatible"] = "active"
    cause: BaseException | None = None

    @property
    def traceback(self) -> str:
        """Where it failed; empty where it did not."""
        if self.cause is None:
            return ""
        return printable("".join(traceback.format_exception(self.cause)))


class _Manager(pluggy.PluginManager):
    """Takes hooks under the names that they once had."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        options = super().parse_hookimpl_opts(plugin, name)
        if options is not None and (entry := renamed_hook(options.get("specname") or name)):
            options["specname"] = entry.new
        return options


class Loader:
    """Loads plugins, each whole or not at all."""

    def __init__(self) -> None:
        self._manager = _Manager("sslcore")
        self._manager.add_hookspecs(hookspecs)

    def load(self, candidate: Candidate, warn: Callable[[PluginWarning], object]) -> PluginStatus:
        """Import a plugin and return what it offers, or why it can't be used.

        Args:
            candidate: the plugin.
            warn: called where it uses a name that is no longer the current one.
        """
        found = (candidate.name, candidate.distribution, candidate.version)
        try:
            # What a plugin prints must not get into what a command prints.
            with redirect_stdout(sys.stderr):
                entries = self._entries(candidate, warn)
            return PluginStatus(*found, entries=tuple(entries))
        except IncompatibleError as error:
            return PluginStatus(*found, error=str(error), status="incompatible")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return PluginStatus(*found, error=_said(error), status="broken", cause=error)

    def _entries(
        self, candidate: Candidate, warn: Callable[[PluginWarning], object]
    ) -> list[Entry]:
        try:
            plugin = candidate.load()
        except (Exception, SystemExit):
            # One of another time may need what is not there, before it has said its time.
            check_api(stated_in_source(candidate.module), candidate.distribution)
            raise
        check_api(getattr(plugin, ATTRIBUTE, None), candidate.distribution)
        self._manager.register(plugin, name=f"{candidate.distribution}:{candidate.name}")
        try:
            _check_hooks(plugin)
            self._manager.check_pending()
            return list(self._collect(plugin, candidate, warn))
        except BaseException:
            self._manager.unregister(plugin)
            raise

    def _collect(
        self, plugin: Any, candidate: Candidate, warn: Callable[[PluginWarning], object]
    ) -> Iterator[Entry]:
        callers = self._manager.get_hookcallers(plugin) or []
        if not callers:
            raise TypeError("it implements none of the hooks of sslcore.contract.hooks")
        for caller in callers:
            record_type = KINDS[_KIND_OF_HOOK[caller.name]]
            for implementation in caller.get_hookimpls():
                if implementation.plugin is not plugin:
                    continue
                if old := renamed_hook(implementation.function.__name__):
                    tell_of_old_name(str(candidate), old, warn)
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
                    _check_references(record, candidate)
                    yield Entry(record, candidate.name, candidate.distribution, candidate.version)


def _check_hooks(plugin: Any) -> None:
    """Refuse a hook that there is none of, with the nearest one."""
    known = [name for name in vars(hookspecs) if name.startswith("sslcore_")]
    for name in dir(plugin):
        marked = getattr(getattr(plugin, name, None), "sslcore_impl", None)
        wanted = (marked.get("specname") or name) if isinstance(marked, dict) else None
        if wanted and wanted not in known and renamed_hook(wanted) is None:
            raise ValueError(
                f"there is no hook {wanted}{nearest(wanted, known)}; hooks are {', '.join(known)}"
            )


def _records(yielded: Any, hook: str) -> Iterable[Record]:
    if yielded is None or not hasattr(yielded, "__iter__"):
        raise TypeError(f"{hook} returned {yielded!r}, expected it to yield records")
    return yielded


def _check_references(record: Record, candidate: Candidate) -> None:
    """Refuse a reference to code that is not the distribution's own."""
    references = [record.build] if isinstance(record, Component) else []
    references += [record.family] if isinstance(record, Loss) and ":" in record.family else []
    for reference in references:
        top = reference.partition(":")[0].partition(".")[0]
        # Almost always the plugin's own package; what else a distribution has is looked up late.
        if candidate.packages is None or top == candidate.module.partition(".")[0]:
            continue
        if top not in candidate.packages():
            raise ValueError(
                f"{record.kind} {record.name!r}: {reference!r} is not in a package of "
                f"{candidate.distribution}; a plugin names code of its own only"
            )


def _said(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:
        said = "(its message can't be read)"
    text = one_line(f"{type(error).__name__}: {said}")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
