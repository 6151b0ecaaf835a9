"""How listings are printed: tables, fields and JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click
from rich.table import Table

from sslcore.registry.loading import Entry
from sslcore.system.files import to_json, write_safely
from sslcore.system.printable import printable
from sslcore.system.terminal import stdout_console

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Characters that JSON may contain as they are, and that a terminal would obey.
_ESCAPED = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def identity(entry: Entry) -> dict[str, str]:
    """Return the name of a record and its origin."""
    origin = entry.origin
    return {
        "name": entry.name,
        "plugin": origin.plugin,
        "distribution": origin.distribution,
        "version": origin.version,
    }


class TextTable(Table):
    """A table of text from plugins, without the sequences that a terminal would obey."""

    def add_row(self, *cells: RenderableType | None, **options: object) -> None:
        """Add a row of cells."""
        shown = (printable(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*shown, **options)  # type: ignore[arg-type]


def new_table(*columns: str) -> Table:
    """Return an empty table."""
    table = TextTable(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        # The first column has names, which a user copies.
        table.add_column(column, overflow="fold", no_wrap=position == 0)
    return table


def print_fields(shown: Mapping[str, object]) -> None:
    """Print the fields of a description that have a value, a line for each."""
    table = TextTable(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in shown.items():
        if value in ("", [], {}, None):
            continue
        if isinstance(value, dict):
            value = "\n".join(f"{key} = {as_text(item)}" for key, item in value.items())
        table.add_row(name, as_text(value))
    show(table)


def as_text(value: object) -> str:
    """Return a value as a user would type it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(as_text(item) for item in value)
    return str(value)


def show(what: RenderableType) -> None:
    """Print a table or text."""
    # A program or a file gets one line per row, however long.
    console = stdout_console() if sys.stdout.isatty() else stdout_console(width=400)
    console.print(what)


def print_json(value: object) -> None:
    """Print JSON; control characters and marks that reorder text are escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    click.echo(_ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


class Listed(Protocol):
    """What a command has found, as a list."""

    def records(self) -> list[dict[str, object]]:
        """Return a dict for each entry."""

    def to_csv(self) -> str:
        """Return the list as CSV."""


def write_list(path: Path, found: Listed) -> None:
    """Write what a command has found, as JSON to a file that ends in `.json`, else as CSV.

    Raises:
        RunFolderError: the file can't be written.
    """
    json_file = path.suffix.lower() == ".json"
    write_safely(path, to_json(found.records(), indent=2) if json_file else found.to_csv())
