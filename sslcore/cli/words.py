"""Completions for a shell: names, settings, plugins and run folders.

Nothing here imports torch, so that Tab answers at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from sslcore.contract.records import KINDS, Method, Optimizer, Schedule, Teacher
from sslcore.contract.settings import settings_of
from sslcore.contract.stages import STAGES
from sslcore.contract.static_interface import read_interface
from sslcore.contract.training_parts import own_interface
from sslcore.errors import SslcoreError
from sslcore.recipe.opening import opener
from sslcore.recipe.recipe import Training
from sslcore.recipe.renamed import settings_in
from sslcore.recipe.teacher import teacher_settings
from sslcore.registry import discovery
from sslcore.registry.loading import Entry
from sslcore.registry.registry import Registry, found_plugins

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

#: Shells insert completions unquoted, so words with other characters are not offered.
_HARMLESS = re.compile(r"[\w./@%+,:=-]+")


def _items(words: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    unique = dict(words)
    return [
        CompletionItem(word, help=summary or None)
        for word, summary in unique.items()
        if word.startswith(incomplete) and _HARMLESS.fullmatch(word)
    ]


def _registry() -> Registry | None:
    """Return the registry, in a strict environment too; None if it can't be made."""
    try:
        return found_plugins()[0]
    except SslcoreError:
        return None


def _names(registry: Registry, kind: str) -> Iterator[tuple[str, str]]:
    for entry in registry.entries(kind):
        yield registry.address(entry), entry.record.summary


def names_of(kind: str) -> Complete:
    """Return a function that completes the names of a kind."""

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
    """Complete the name of a data set, else a file or folder."""
    return names_of("dataset")(context, parameter, incomplete) or [
        CompletionItem(incomplete, type="file")
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
    registry = None if "=" in incomplete else _registry()
    return _items(_keys(context.params, registry), incomplete) if registry else []


def _keys(chosen: Mapping[str, Any], registry: Registry) -> Iterator[tuple[str, str]]:
    method = _found(registry, "method", chosen.get("method"))
    own = method.record if method and isinstance(method.record, Method) else None
    if "method" in chosen:
        for kind in STAGES:
            named = chosen.get(kind) or getattr(own, kind, None) or ()
            for name in (named,) if isinstance(named, str) else named:
                yield from _keys_of(kind, _found(registry, kind, name))
        yield from _keys_of("data", _data(chosen.get("data"), registry))
        if elsewhere := chosen.get("eval_data"):
            yield from _keys_of("eval_data", _data(elsewhere, registry))
        yield from _keys_of_training_parts(registry, own)
        for setting in settings_of(Training).values():
            yield f"training.{setting.name}=", setting.type
        for setting in teacher_settings(Teacher()).values():
            yield f"teacher.{setting.name}=", setting.type
        for name in chosen.get("track") or ():
            yield from _keys_of("tracker", _found(registry, "tracker", name))
    # A run is evaluated as it was trained: there, only the evaluator can be set.
    named = chosen.get("evaluators") or registry.names("evaluator")
    for name in named:
        yield from _keys_of("evaluator", _found(registry, "evaluator", name))


def _keys_of_training_parts(registry: Registry, own: Method | None) -> Iterator[tuple[str, str]]:
    """Yield the settings of the optimizers and schedules that a method and its presets name."""
    stated = [] if own is None else [own.settings, *(each.settings for each in own.presets)]
    for kind in ("optimizer", "schedule"):
        tables = [settings_in(settings, kind) for settings in stated]
        names = {str(table["name"]).casefold(): None for table in tables if "name" in table}
        default = (
            each.name
            for each in registry.entries(kind)
            if isinstance(each.record, (Optimizer, Schedule)) and each.record.default
        )
        yield f"{kind}.name=", ""
        keys = {
            key: said
            for name in names or default
            for key, said in _keys_of(kind, _found(registry, kind, name))
        }
        yield from keys.items()
    yield "optimizer.lr_per=", ""


def _keys_of(section: str, entry: Entry | None) -> Iterator[tuple[str, str]]:
    interface = None if entry is None else read_interface(entry.build)
    if entry is not None and interface is not None:
        interface = own_interface(entry.kind, interface)
    for setting in interface.settings.values() if interface else ():
        yield f"{section}.{setting.name}=", setting.type


def _data(name: str | None, registry: Registry) -> Entry | None:
    if name is None:
        entries = registry.entries("dataset")
        return next((each for each in entries if getattr(each.record, "default", False)), None)
    return _found(registry, "dataset", name) or _opener(name, registry)


def _opener(path: str, registry: Registry) -> Entry | None:
    try:
        found = opener(path, registry)
    except SslcoreError:
        return None
    return found[0] if found else None


def _found(registry: Registry, kind: str, name: str | None) -> Entry | None:
    try:
        return registry.resolve(kind, name) if name else None
    except SslcoreError:
        return None
