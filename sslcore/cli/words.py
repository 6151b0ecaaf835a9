"""Words that a shell completes: names, keys of settings, plugins, run folders.

Nothing here imports torch, so that Tab answers at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from sslcore.contract.records import KINDS, Component, Dataset, Method
from sslcore.errors import SslcoreError
from sslcore.registry.registry import Entry, Registry, discovery, found_plugins

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

#: Shells put words into the line as they are: what they would take for more is not offered.
_HARMLESS = re.compile(r"[\w./@%+,:=-]+")

_STAGES = ("augmentation", "encoder", "head", "loss")


def _items(words: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(word, help=summary or None)
        for word, summary in words
        if word.startswith(incomplete) and _HARMLESS.fullmatch(word)
    ]


def _registry() -> Registry | None:
    """Return what there is, a strict environment or not; None where not even that can be said."""
    try:
        return found_plugins()[0]
    except SslcoreError:
        return None


def _names(registry: Registry, kind: str) -> Iterator[tuple[str, str]]:
    for entry in registry.entries(kind):
        yield registry.address(entry), entry.record.summary


def names_of(kind: str) -> Complete:
    """Return what completes the names of a kind."""

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        registry = _registry()
        return _items(_names(registry, kind), incomplete) if registry else []

    return complete


complete_evaluators = names_of("evaluator")


def complete_data(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a data set, else a folder."""
    return names_of("dataset")(context, parameter, incomplete) or [
        CompletionItem(incomplete, type="dir")
    ]


def complete_runs(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the folder of a run under runs/, newest first; else any folder."""
    recipes = sorted(
        Path("runs").glob("*/recipe.toml"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    found = _items(((str(path.parent), "") for path in recipes), incomplete)
    return found or [CompletionItem(incomplete, type="dir")]


def complete_kinds(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a kind of component."""
    return _items(((kind, "") for kind in KINDS if kind != "method"), incomplete)


def complete_parts(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a part of the kind that stands before it."""
    kind = str(context.params.get("kind"))
    return names_of(kind)(context, parameter, incomplete) if kind in KINDS else []


def complete_checks(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete what can be checked: a kind, or all that a plugin offers, or a family's list."""
    return _items(((word, "") for word in (*KINDS, "plugin", "family")), incomplete)


def complete_checked(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of what is to be checked; families are torch's to list, which is slow."""
    if context.params.get("kind") != "plugin":
        return complete_parts(context, parameter, incomplete)
    return _items(((name, "") for name in _installed()), incomplete)


def _installed() -> list[str]:
    return sorted({candidate.name for candidate in discovery.installed()})


def complete_plugins(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete what may stand after -p: no:NAME, the name of a plugin, or a file."""
    names = _installed()
    words = [*((f"no:{name}", "leave it out") for name in names), *((name, "") for name in names)]
    return _items(words, incomplete) or [CompletionItem(incomplete, type="file")]


def complete_settings(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete SECTION.NAME= for the parts that are chosen so far."""
    if "=" in incomplete:
        return []
    registry = _registry()
    return _items(_keys(context.params, registry), incomplete) if registry else []


def _keys(chosen: Mapping[str, Any], registry: Registry) -> Iterator[tuple[str, str]]:
    if "method" not in chosen:
        # A run is evaluated as it was trained: only the evaluator can be set.
        yield from _keys_of_parts("evaluator", _evaluators(chosen, registry))
        return
    method = _found(registry, "method", chosen.get("method"))
    record = method.record if method is not None else None
    for kind in _STAGES:
        named = chosen.get(kind) or (getattr(record, kind) if isinstance(record, Method) else None)
        names = named if isinstance(named, tuple) else (named,)
        yield from _keys_of_parts(kind, [_found(registry, kind, name) for name in names])
    yield from _keys_of_parts("evaluator", _evaluators(chosen, registry))
    yield from _keys_of_parts("data", [_data(chosen.get("data"), registry)])
    yield from _keys_of_engine(record)


def _keys_of_engine(record: Any) -> Iterator[tuple[str, str]]:
    from sslcore.contract.settings import settings_of
    from sslcore.recipe.recipe import Training

    own = record.settings.get("optimizer", {}) if isinstance(record, Method) else {}
    for name in dict.fromkeys(("name", "lr", "weight_decay", *own)):
        yield f"optimizer.{name}=", ""
    for setting in settings_of(Training).values():
        yield f"training.{setting.name}=", setting.type
    for name in ("momentum", "final_momentum"):
        yield f"teacher.{name}=", ""


def _keys_of_parts(section: str, entries: Iterable[Entry | None]) -> Iterator[tuple[str, str]]:
    from sslcore.contract.static_interface import read_interface

    keys: dict[str, str] = {}
    for entry in entries:
        if entry is None or not isinstance(entry.record, Component):
            continue
        interface = read_interface(entry.build)
        for setting in interface.settings.values() if interface else ():
            keys.setdefault(f"{section}.{setting.name}=", setting.type)
    yield from keys.items()


def _evaluators(chosen: Mapping[str, Any], registry: Registry) -> list[Entry | None]:
    names = chosen.get("evaluators") or ()
    if names:
        return [_found(registry, "evaluator", name) for name in names]
    return list(registry.entries("evaluator"))


def _data(name: str | None, registry: Registry) -> Entry | None:
    entries = registry.entries("dataset")
    records = [(entry, entry.record) for entry in entries if isinstance(entry.record, Dataset)]
    if name is None:
        return next((entry for entry, record in records if record.default), None)
    opens = next((entry for entry, record in records if record.opens_paths), None)
    return _found(registry, "dataset", name) or opens


def _found(registry: Registry, kind: str, name: str | None) -> Entry | None:
    if not name:
        return None
    try:
        return registry.resolve(kind, name)
    except SslcoreError:
        return None
