"""How listings are printed: tables, fields and JSON, safe for a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.table import Table

from sslcore.registry.registry import Entry
from sslcore.system.printable import printable
from sslcore.system.terminal import stdout_console

#: Characters that JSON may hold as they are, and a terminal should not get.
_ESCAPED = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

#: Names in one cell of a table; the rest is counted.
_NAMES_SHOWN = 12


def identity(entry: Entry) -> dict[str, Any]:
    """Return what tells a record from all others."""
    return {
        "name": entry.name,
        "plugin": entry.plugin,
        "distribution": entry.distribution,
        "version": entry.version,
    }


class SafeTable(Table):
    """A table whose cells can't command the terminal: they hold what plugins say."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(
            *(printable(cell) if isinstance(cell, str) else cell for cell in cells), **options
        )


def new_table(*columns: str) -> Table:
    """Return an empty table."""
    table = SafeTable(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_fields(shown: Mapping[str, Any]) -> None:
    """Print what is there of a description, a line for each field."""
    table = SafeTable(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in shown.items():
        if value in ("", [], {}, None):
            continue
        if isinstance(value, dict):
            lines = [f"{key} = {as_text(item)}" for key, item in value.items()]
            table.add_row(name, "\n".join(lines))
        else:
            table.add_row(name, as_text(value))
    show(table)


def as_text(value: Any) -> str:
    """Return a value as a user would type it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(as_text(item) for item in value)
    return str(value)


def shortened(names: Sequence[str]) -> str:
    """Return names in a row, the first of them where there are many."""
    more = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def show(what: Any) -> None:
    """Print a table or text."""
    # Read by a program or a file: one line per row, however long.
    console = stdout_console() if sys.stdout.isatty() else stdout_console(width=400)
    console.print(what)


def print_json(value: Any) -> None:
    """Print JSON; control characters are escaped, those above ASCII and marks of order too."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    click.echo(_ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
