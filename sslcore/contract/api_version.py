"""Which plugins this engine understands, and what old names it still takes.

A plugin may state the version of the contract that it was written for, `SSLCORE_API = 1`. A name
of the contract that changes goes into a table here and keeps working, with a warning, until the
oldest version that is understood is past it.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sslcore
from sslcore.errors import PluginWarning

#: The version of the contract between engine and plugins, and the oldest one still understood.
API_VERSION = 1
OLDEST_API = 1

#: The attribute of a plugin's module that says which version it was written for.
ATTRIBUTE = "SSLCORE_API"


@dataclass(frozen=True)
class Renamed:
    """An old name that is still taken.

    Attributes:
        old: the name that plugins may still use.
        new: what it is called now.
        since: the version of sslcore that renamed it.
        message: what else the author of a plugin should know.
    """

    old: str
    new: str
    since: str
    message: str = ""

    def __str__(self) -> str:
        more = f": {self.message}" if self.message else ""
        return f"{self.old} is called {self.new} since sslcore {self.since}{more}"


#: Hooks and signals that have been renamed.
RENAMED_HOOKS: Sequence[Renamed] = ()
RENAMED_SIGNALS: Sequence[Renamed] = ()


class IncompatibleError(Exception):
    """A plugin was written for a version of the contract that this engine does not understand."""


def check_api(stated: Any, distribution: str) -> None:
    """Refuse a plugin of another time.

    Args:
        stated: what its module states, None for nothing.
        distribution: whose it is.

    Raises:
        IncompatibleError: it is too new or too old; the message says who must upgrade.
        TypeError: it is no integer.
    """
    if stated is None:
        return
    if type(stated) is not int:
        raise TypeError(f"{ATTRIBUTE} must be an integer, got {stated!r}")
    if stated > API_VERSION:
        raise IncompatibleError(
            f"it was written for plugin API {stated}, and sslcore {sslcore.__version__} has "
            f"{API_VERSION}: upgrade sslcore"
        )
    if stated < OLDEST_API:
        raise IncompatibleError(
            f"it was written for plugin API {stated}, and sslcore {sslcore.__version__} "
            f"understands {OLDEST_API} or newer: upgrade {distribution}"
        )


def stated_in_source(module: str) -> int | None:
    """Return the version that a module's source states, without running it; None where it doesn't.

    A plugin from the future may fail on import, before its attribute is there.
    """
    with suppress(Exception):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            return None
        for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ATTRIBUTE:
                stated = ast.literal_eval(node.value)
                return stated if type(stated) is int else None
    return None


def renamed_hook(name: str) -> Renamed | None:
    """Return what became of a hook's name; None where it is no old one."""
    return _entry(RENAMED_HOOKS, name)


def current_signal(name: str) -> str:
    """Return what a signal is called now; a teacher's signals are renamed with the student's."""
    found = _renamed_signal(name)
    if found is None:
        return name
    return f"teacher_{found.new}" if name.startswith("teacher_") else found.new


def old_signals(names: Iterable[str]) -> list[Renamed]:
    """Return the entries of those names that are old."""
    return [found for name in names if (found := _renamed_signal(name)) is not None]


def _renamed_signal(name: str) -> Renamed | None:
    return _entry(RENAMED_SIGNALS, name) or _entry(RENAMED_SIGNALS, name.removeprefix("teacher_"))


def _entry(table: Sequence[Renamed], name: str) -> Renamed | None:
    return next((entry for entry in table if entry.old == name), None)


_told: set[tuple[str, str]] = set()


def tell_of_old_name(plugin: str, entry: Renamed, warn: Callable[[PluginWarning], object]) -> None:
    """Warn, once per plugin, that it uses an old name."""
    if (plugin, entry.old) not in _told:
        warn(PluginWarning(f"{plugin} uses an old name: {entry}"))
        _told.add((plugin, entry.old))
