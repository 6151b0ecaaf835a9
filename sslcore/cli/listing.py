"""`sslcore methods` and `sslcore components`: listings, without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from sslcore.cli.options import json_option
from sslcore.cli.tables import (
    as_text,
    identity,
    new_table,
    print_fields,
    print_json,
    show,
)
from sslcore.cli.words import complete_kinds, complete_parts, names_of
from sslcore.contract.records import KINDS
from sslcore.errors import UsageError, nearest
from sslcore.registry.loading import Entry
from sslcore.registry.registry import Registry, default_registry

_COMPONENTS = tuple(kind for kind in KINDS if kind != "method")

#: The tables of a description: their columns, and a row of them.
_TABLES: Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, Any]], tuple[str, ...]]]] = {
    "stages": (
        ("stage", "component", "needs", "provides"),
        lambda row: (
            row["kind"],
            row["name"],
            ", ".join(row["needs"]),
            ", ".join(row["provides"]),
        ),
    ),
    "presets": (
        ("preset", "for", "settings", ""),
        lambda row: (
            row["name"],
            row["for"],
            "\n".join(f"{name} = {as_text(value)}" for name, value in row["settings"].items()),
            f"{row['summary']} ({row['reference']})" if row["reference"] else row["summary"],
        ),
    ),
    "settings": (
        ("setting", "type", "default", ""),
        lambda row: (
            row["name"],
            row["type"],
            "(required)" if row["required"] else as_text(row["default"]),
            row["help"],
        ),
    ),
}


@click.command()
@click.argument("name", required=False, shell_complete=names_of("method"))
@json_option
def methods(name: str | None, as_json: bool) -> None:
    """List methods, or show one."""
    registry = default_registry()
    if name is None:
        _list({"method": registry.entries("method")}, as_json)
        return
    from sslcore.cli.describe import describe_method

    _show(describe_method(registry.resolve("method", name), registry), as_json)


@click.command()
@click.argument("kind", required=False, metavar="[KIND]", shell_complete=complete_kinds)
@click.argument("name", required=False, shell_complete=complete_parts)
@json_option
def components(kind: str | None, name: str | None, as_json: bool) -> None:
    """List components, those of a kind, or show one with its settings.

    \b
    KIND is augmentation, encoder, head, loss, evaluator, dataset, optimizer, schedule or
    tracker.
    """
    registry = default_registry()
    if kind is None:
        _list({each: registry.entries(each) for each in _COMPONENTS}, as_json)
        return
    # "losses" and "loss" are the same to a person.
    singular = next((each for each in _COMPONENTS if kind in (each, f"{each}s", f"{each}es")), None)
    if singular is None:
        raise UsageError(
            _is_a_name(kind, registry)
            or f"no kind of component is called {kind!r}{nearest(kind, _COMPONENTS)}; "
            f"kinds are {', '.join(_COMPONENTS)}"
        )
    if name is None:
        _list({singular: registry.entries(singular)}, as_json)
        return
    from sslcore.cli.describe import describe_component

    bare, _ = registry.variant(singular, name)
    _show(describe_component(registry.resolve(singular, bare)), as_json)


def _show(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(shown)
        return
    tables = {name: shown.pop(name) for name in _TABLES if name in shown}
    print_fields(shown)
    for name, rows in tables.items():
        if rows:
            columns, cells = _TABLES[name]
            table = new_table(*columns)
            for row in rows:
                table.add_row(*cells(row))
            show("")
            show(table)


def _is_a_name(word: str, registry: Registry) -> str:
    """Return which kinds have a component of that name; empty if none has."""
    kinds = [
        kind
        for kind in KINDS
        if any(word in (entry.name, entry.qualified) for entry in registry.entries(kind))
    ]
    commands = [
        f"sslcore {'methods' if kind == 'method' else f'components {kind}'} {word}"
        for kind in kinds
    ]
    if not kinds:
        return ""
    named = ", ".join(kinds)
    return f"{word} is no kind but the name of a component ({named}): {' or '.join(commands)}"


def _list(entries: dict[str, list[Entry]], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"kind": kind, **identity(entry), "summary": entry.record.summary}
                for kind, found in entries.items()
                for entry in found
            ]
        )
        return
    counts: dict[tuple[str, str], int] = {}
    for kind, found in entries.items():
        for entry in found:
            counts[kind, entry.name] = counts.get((kind, entry.name), 0) + 1
    table = new_table("kind", "name", "summary", "from") if len(entries) > 1 else None
    table = table or new_table("name", "summary", "from")
    for kind, found in entries.items():
        for position, entry in enumerate(found):
            twice = counts[kind, entry.name] > 1 and not entry.origin.shipped
            name = entry.qualified if twice else entry.name
            first = [kind if position == 0 else ""] if len(entries) > 1 else []
            origin = f"{entry.origin.plugin} {entry.origin.version}"
            table.add_row(*first, name, entry.record.summary, origin)
    show(table)
