"""`sslcore methods`, `components` and `plugins`: what there is, without importing torch."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich.table import Table

from sslcore.cli.options import json_option
from sslcore.components import KINDS, Component, Method
from sslcore.console import stdout_console
from sslcore.errors import UsageError, nearest
from sslcore.registry import Entry, Registry, default_registry
from sslcore.settings import REQUIRED, plain
from sslcore.static import static_interface

_COMPONENTS = tuple(kind for kind in KINDS if kind != "method")
_SECTION = {"dataset": "data"}


@click.command()
@click.argument("name", required=False)
@json_option
def methods(name: str | None, as_json: bool) -> None:
    """List methods, or show one."""
    registry = default_registry()
    if name is None:
        _list({"method": registry.entries("method")}, as_json)
        return
    entry = registry.resolve("method", name)
    shown = _describe_method(entry)
    if as_json:
        _print_json(shown)
        return
    _print_fields(shown)
    _print(f"\nsslcore train --method {entry.name}")


@click.command()
@click.argument("kind", required=False, metavar="[KIND]")
@click.argument("name", required=False)
@json_option
def components(kind: str | None, name: str | None, as_json: bool) -> None:
    """List components, those of a kind, or show one with its settings.

    \b
    KIND is augmentation, encoder, head, loss, evaluator or dataset.
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
    entry = registry.resolve(singular, name)
    shown = _describe_component(entry)
    if as_json:
        _print_json(shown)
        return
    settings = shown.pop("settings")
    _print_fields(shown)
    if settings:
        table = _table("setting", "type", "default", "")
        for setting in settings:
            default = "(must be given)" if setting["required"] else _value(setting["default"])
            table.add_row(setting["name"], setting["type"], default, setting["help"])
        _print("")
        _print(table)


def _is_a_name(word: str, registry: Registry) -> str:
    """Say which kinds have a part of that name; empty where none has."""
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
    return f"{word} is no kind but the name of a part ({', '.join(kinds)}): {' or '.join(commands)}"


@click.command()
@json_option
def plugins(as_json: bool) -> None:
    """List installed plugins and what they offer."""
    found = default_registry().plugins
    rows: list[dict[str, Any]] = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "status": plugin.status,
            "offers": {
                kind: names
                for kind in KINDS
                if (names := [entry.name for entry in plugin.entries if entry.kind == kind])
            },
            **({"error": plugin.error} if plugin.error else {}),
        }
        for plugin in found
    ]
    if as_json:
        _print_json({"interpreter": sys.executable, "plugins": rows})
        return
    table = _table("plugin", "from", "status", "offers")
    for row in rows:
        offers = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in row["offers"].items())
        origin = f"{row['distribution']} {row['version']}"
        table.add_row(row["name"], origin, row["status"], row.get("error") or offers)
    _print(table)


def _list(entries: dict[str, list[Entry]], as_json: bool) -> None:
    if as_json:
        _print_json(
            [
                {"kind": kind, **_identity(entry), "summary": entry.record.summary}
                for kind, found in entries.items()
                for entry in found
            ]
        )
        return
    counts: dict[tuple[str, str], int] = {}
    for kind, found in entries.items():
        for entry in found:
            counts[kind, entry.name] = counts.get((kind, entry.name), 0) + 1
    table = _table("kind", "name", "summary", "from") if len(entries) > 1 else None
    table = table or _table("name", "summary", "from")
    for kind, found in entries.items():
        for position, entry in enumerate(found):
            twice = counts[kind, entry.name] > 1 and not entry.shipped
            name = entry.qualified if twice else entry.name
            first = [kind if position == 0 else ""] if len(entries) > 1 else []
            origin = f"{entry.plugin} {entry.version}"
            table.add_row(*first, name, entry.record.summary, origin)
    _print(table)


def _identity(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "plugin": entry.plugin,
        "distribution": entry.distribution,
        "version": entry.version,
    }


def _describe_method(entry: Entry) -> dict[str, Any]:
    method = entry.record
    assert isinstance(method, Method)
    shown: dict[str, Any] = {
        **_identity(entry),
        "summary": method.summary,
        "reference": method.reference,
        "augmentation": method.augmentation,
        "encoder": method.encoder,
        "head": method.head or "none",
        "loss": method.loss,
        "evaluators": method.evaluators or "(the default ones)",
        "settings": method.settings,
    }
    if method.teacher is not None:
        shown["teacher"] = {
            "momentum": method.teacher.momentum,
            "final_momentum": method.teacher.final_momentum,
        }
    return plain(shown)


def _describe_component(entry: Entry) -> dict[str, Any]:
    assert isinstance(entry.record, Component)
    interface = static_interface(entry.build)
    section = _SECTION.get(entry.kind, entry.kind)
    first = next(iter(interface.settings), None)
    return plain(
        {
            "kind": entry.kind,
            **_identity(entry),
            "summary": entry.record.summary,
            "reference": entry.record.reference,
            "needs": [
                name if needed else f"{name} (optional)" for name, needed in interface.needs.items()
            ],
            "provides": list(interface.provides),
            "set with": f"--set {section}.{first}=…" if first else "",
            "settings": [
                {
                    "name": setting.name,
                    "type": setting.type,
                    "required": setting.default is REQUIRED,
                    "default": None if setting.default is REQUIRED else setting.default,
                    "help": setting.help,
                }
                for setting in interface.settings.values()
            ],
        }
    )


def _print_fields(shown: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in shown.items():
        if value in ("", [], {}, None):
            continue
        if isinstance(value, dict):
            lines = []
            for section, items in value.items():
                if isinstance(items, dict):
                    lines += [f"{section}.{key} = {_value(item)}" for key, item in items.items()]
                else:
                    lines.append(f"{section} = {_value(items)}")
            table.add_row(name, "\n".join(lines))
        else:
            table.add_row(name, ", ".join(value) if isinstance(value, list) else _value(value))
    _print(table)


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    return str(value)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(what: Any) -> None:
    # Read by a program or a file: one line per row, however long.
    console = stdout_console() if sys.stdout.isatty() else stdout_console(width=400)
    console.print(what)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
