"""Loads a plugin: imports it, calls its hooks and checks its records; all of it or nothing."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Literal

import pluggy

from sslcore.contract import hooks
from sslcore.contract.api_version import (
    ATTRIBUTE,
    check_api,
    stated_in_source,
)
from sslcore.contract.interface import Interface, interface_of, load_reference
from sslcore.contract.records import KINDS, Component, Record
from sslcore.contract.training_parts import own_interface
from sslcore.errors import CompositionError, IncompatibleError, SslcoreError, nearest
from sslcore.registry.discovery import Candidate
from sslcore.registry.origin import Origin
from sslcore.system.printable import one_line

_KIND_OF_HOOK = {f"sslcore_{kind}{'es' if kind.endswith('s') else 's'}": kind for kind in KINDS}

#: Longer error texts of plugins are cut.
_LONGEST = 300


@dataclass(frozen=True)
class Entry:
    """A record and its origin."""

    record: Record
    origin: Origin

    @property
    def name(self) -> str:
        """The record's name."""
        return self.record.name

    @property
    def kind(self) -> str:
        """The record's kind."""
        return self.record.kind

    @property
    def qualified(self) -> str:
        """The name that is never ambiguous: `distribution:name`."""
        return self.origin.qualified(self.name)

    @property
    def owner(self) -> str:
        """Its name and origin, for messages about its settings."""
        return f"{self.name}, from {self.origin}"

    @property
    def addresses(self) -> tuple[str, str]:
        """The names that it answers to: bare and qualified."""
        return self.name, self.qualified

    @property
    def build(self) -> str:
        """The reference of the code behind a component."""
        assert isinstance(self.record, Component)
        return self.record.build

    def interface(self) -> Interface:
        """Import the code behind a component and return its interface.

        Raises:
            CompositionError: the code can't be imported, or has a setting that a recipe can't hold;
                the message names the plugin.
        """
        try:
            interface = own_interface(self.kind, interface_of(load_reference(self.build)))
        except SslcoreError as error:
            raise CompositionError(f"{self}: {error}") from error
        except Exception as error:
            raise CompositionError(
                f"{self}: {self.build} is not a class or function with a signature: {error}"
            ) from error
        if "name" in interface.settings:
            raise CompositionError(
                f"{self} has a setting called name, which a recipe reserves for the name of the "
                "part; its plugin must rename the setting"
            )
        return interface

    def __str__(self) -> str:
        return f"{self.kind} {self.name} (from {self.origin})"


@dataclass(frozen=True)
class PluginStatus:
    """A plugin as `sslcore plugins` shows it.

    Attributes:
        origin: its name, distribution and version.
        entries: its records; none unless it is active.
        error: why it is not active, in one line.
        status: active; blocked by the user; broken; or incompatible with this engine.
        cause: the exception that it raised.
    """

    origin: Origin
    entries: tuple[Entry, ...] = ()
    error: str = ""
    status: Literal["active", "blocked", "broken", "incompatible"] = "active"
    cause: BaseException | None = None

    @property
    def name(self) -> str:
        """The name of the plugin."""
        return self.origin.plugin

    @property
    def traceback(self) -> str:
        """Where it failed; empty where it did not."""
        if self.cause is None:
            return ""
        return "".join(traceback.format_exception(self.cause))


class Loader:
    """Loads plugins, each whole or not at all."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("sslcore")
        self._manager.add_hookspecs(hooks)

    def load(self, candidate: Candidate) -> PluginStatus:
        """Import a plugin and return its records, or the reason why it can't be used."""
        origin = candidate.origin
        try:
            # The output of a plugin must not mix with the output of a command.
            with redirect_stdout(sys.stderr):
                entries = self._entries(candidate)
            return PluginStatus(origin, entries=tuple(entries))
        except IncompatibleError as error:
            return PluginStatus(origin, error=str(error), status="incompatible")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
            return PluginStatus(origin, error=_in_one_line(error), status="broken", cause=error)

    def _entries(self, candidate: Candidate) -> list[Entry]:
        try:
            plugin = candidate.load()
        except (Exception, SystemExit):
            # A plugin for a newer engine may fail before its version can be read.
            check_api(stated_in_source(candidate.module), candidate.origin.distribution)
            raise
        check_api(getattr(plugin, ATTRIBUTE, None), candidate.origin.distribution)
        self._manager.register(plugin, name=candidate.origin.qualified(candidate.name))
        try:
            _check_hooks(plugin)
            self._manager.check_pending()
            return list(self._collect(plugin, candidate))
        except BaseException:
            self._manager.unregister(plugin)
            raise

    def _collect(self, plugin: object, candidate: Candidate) -> Iterator[Entry]:
        callers = self._manager.get_hookcallers(plugin) or []
        if not callers:
            raise TypeError("it implements none of the hooks of sslcore.contract.hooks")
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
                    yield Entry(record, candidate.origin)


def _check_hooks(plugin: object) -> None:
    """Refuse a hook that does not exist, and name the nearest one."""
    known = [name for name in vars(hooks) if name.startswith("sslcore_")]
    for name in dir(plugin):
        marked = getattr(getattr(plugin, name, None), "sslcore_impl", None)
        wanted = (marked.get("specname") or name) if isinstance(marked, dict) else None
        if wanted and wanted not in known:
            raise ValueError(
                f"there is no hook {wanted}{nearest(wanted, known)}; hooks are {', '.join(known)}"
            )


def _records(yielded: object, hook: str) -> Iterable[object]:
    if not isinstance(yielded, Iterable):
        raise TypeError(f"{hook} returned {yielded!r}, expected it to yield records")
    return yielded


def _in_one_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a plugin may raise anything
        text = "(its message can't be read)"
    text = one_line(f"{type(error).__name__}: {text}")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
