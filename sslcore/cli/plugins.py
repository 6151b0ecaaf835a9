"""`sslcore plugins`: the installed plugins, and why some of them can't be used."""

from __future__ import annotations

import sys
from typing import Any

import click

from sslcore.cli.options import json_option
from sslcore.cli.tables import new_table, print_json, show
from sslcore.contract.records import KINDS
from sslcore.errors import UsageError
from sslcore.registry.discovery import STRICT
from sslcore.registry.loading import PluginStatus
from sslcore.registry.registry import found_plugins


@click.command()
@json_option
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """List the installed plugins, their status and their records.

    \b
    active        every record can be used
    blocked       left out by -p no:NAME or by SSLCORE_PLUGINS
    broken        failed to load; sslcore --debug plugins shows the traceback
    incompatible  written for another version of sslcore
    """
    debug = bool((context.find_object(dict) or {}).get("debug"))
    registry, problems = found_plugins()
    rows = [_row(plugin, debug=debug) for plugin in registry.plugins]
    if as_json:
        print_json({"interpreter": sys.executable, "plugins": rows})
    else:
        table = new_table("plugin", "from", "status", "offers")
        for row in rows:
            offers = [f"{kind}: {', '.join(names)}" for kind, names in row["offers"].items()]
            origin = f"{row['distribution']} {row['version']}"
            said = row.get("error") or "; ".join(offers)
            table.add_row(row["name"], origin, row["status"], said)
        show(table)
        show(f"\nInstalled for {sys.executable}")
        for row in rows:
            if row.get("traceback"):
                show(f"\n{row['name']} (from {row['distribution']} {row['version']})")
                show(row["traceback"].rstrip())
    if problems:
        raise UsageError("\n".join([*problems, f"({STRICT} is set)"]))


def _row(plugin: PluginStatus, *, debug: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": plugin.name,
        "distribution": plugin.origin.distribution,
        "version": plugin.origin.version,
        "status": plugin.status,
        "offers": {
            kind: names
            for kind in KINDS
            if (names := [entry.name for entry in plugin.entries if entry.kind == kind])
        },
    }
    if plugin.error:
        row["error"] = plugin.error
    if debug and plugin.cause is not None:
        row["traceback"] = plugin.traceback
    return row
