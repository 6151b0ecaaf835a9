"""`sslcore check`: the conformance kit from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from sslcore.cli.options import json_option
from sslcore.cli.words import complete_checked, complete_checks
from sslcore.contract.records import KINDS
from sslcore.errors import UsageError, nearest
from sslcore.registry.loading import Entry
from sslcore.registry.registry import default_registry
from sslcore.system.terminal import stdout_console

if TYPE_CHECKING:
    from sslcore.testing import Report

_PLUGIN, _FAMILY = "plugin", "family"
_WHAT = (*KINDS, _PLUGIN, _FAMILY)
#: The exit code where no property failed, and nothing certified a component.
UNCERTIFIED = 3
_STYLES = {"pass": "green", "n/a": "dim", "expected failure": "yellow"}


@click.command()
@click.argument("kind", metavar="KIND", shell_complete=complete_checks)
@click.argument("name", required=False, shell_complete=complete_checked)
@json_option
@click.option("--verbose", "-v", is_flag=True, help="Show every property, passed or not.")
@click.option(
    "--mutation/--no-mutation",
    default=True,
    help="Count the broken variants of the loss that the checks catch. [default: mutation]",
)
def check(kind: str, name: str | None, as_json: bool, verbose: bool, mutation: bool) -> int:
    """Check a component against the properties of its kind.

    The exit code is 0 if all properties hold, 1 if one fails, and 3 if none fails but nothing
    certified the component: a loss without a family, a formula or known points, or a component
    that could not be checked.

    \b
    sslcore check loss nt-xent             one component
    sslcore check plugin sslcore_simclr    every component of a plugin
    sslcore check method simclr --json
    sslcore check family                   the families of losses
    sslcore check family nt-xent           their properties, with formulas

    KIND is augmentation, encoder, head, loss, evaluator, dataset, method, plugin or family.
    """
    singular = next((each for each in _WHAT if kind in (each, f"{each}s", f"{each}es")), None)
    if singular is None:
        raise UsageError(
            f"{kind!r} is nothing that can be checked{nearest(kind, _WHAT)}; say one of "
            f"{', '.join(_WHAT)}"
        )
    if singular == _FAMILY:
        _families(name, as_json)
        return 0
    if name is None:
        raise UsageError(f"say which {singular} to check: sslcore check {singular} NAME")
    entries = _entries(singular, name)
    try:
        from sslcore import testing
    except ImportError as error:
        raise UsageError(str(error)) from error
    from sslcore.testing.parts.entries import specs_of

    reports: list[Report] = []
    unchecked: list[str] = []
    for entry in entries:
        specs = specs_of(entry)
        if not specs:
            unchecked.append(f"{entry.kind} {entry.name} ({_why_unchecked(entry)})")
        for spec in specs:
            report = testing.check(spec, mutation=mutation)
            if not as_json:
                _print_report(entry, report, brief=len(entries) > 1 and not verbose)
            if report.checked:
                reports.append(report)
            else:
                unchecked.append(f"{report.subject} ({report.rows[0].reason})")
    if as_json:
        click.echo(json.dumps([report.to_dict() for report in reports], indent=2))
    elif len(reports) > 1:
        bad = [report.subject for report in reports if not report.passed]
        click.echo(
            f"\n{len(reports) - len(bad)} of {len(reports)} passed"
            + (f"; not: {', '.join(bad)}" if bad else "")
            + (f"; {len(unchecked)} could not be checked" if unchecked else "")
        )
    for what in unchecked:
        click.echo(f"not checked: {what}", err=True)
    if not all(report.passed for report in reports):
        return 1
    certified = reports and not unchecked and all(report.certified for report in reports)
    return 0 if certified else UNCERTIFIED


def _why_unchecked(entry: Entry) -> str:
    if entry.kind != "loss":
        return f"there are no checks for a {entry.kind}"
    from sslcore.contract.interface import load_reference
    from sslcore.testing.parts.loss_entries import unknown_signals

    unknown = ", ".join(unknown_signals(load_reference(entry.build)))
    return (
        f"it takes {unknown}, of unknown shape. Annotate the shape, as in "
        'Annotated[Tensor, sslcore.signals.Shape("B", "L")], or give known points in its record: '
        "Loss(points=…)"
    )


def _entries(kind: str, name: str) -> list[Entry]:
    registry = default_registry()
    if kind != _PLUGIN:
        return [registry.resolve(kind, name)]
    found = [
        plugin for plugin in registry.plugins if name in (plugin.name, plugin.origin.distribution)
    ]
    if not found:
        known = [plugin.name for plugin in registry.plugins]
        raise UsageError(
            f"no plugin is called {name!r}{nearest(name, known)}; see: sslcore plugins"
        )
    broken = [plugin for plugin in found if plugin.error]
    if broken:
        raise UsageError(f"plugin {broken[0].name} could not be loaded: {broken[0].error}")
    return [entry for plugin in found for entry in plugin.entries]


def _print_report(entry: Entry, report: Report, *, brief: bool) -> None:
    console = stdout_console()
    if not console.is_terminal:
        console = stdout_console(width=200)
    console.print(f"\n{report.subject} ({entry.origin})", style="bold")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("property", "status", "examples", "error/tolerance", ""):
        table.add_column(column, overflow="fold")
    for row in report.rows:
        if brief and row.status in ("pass", "n/a"):
            continue
        table.add_row(
            row.property,
            row.status,
            str(row.examples or ""),
            "" if row.error is None else f"{row.error:.2g}",
            row.reason,
            style=_STYLES.get(row.status, "bold red"),
        )
    if table.row_count:
        console.print(table)
    for row in report.failures:
        if row.counterexample:
            console.print(f"\n{row.property}: {row.formula}", style="bold")
            console.print(row.counterexample)
    console.print(report.summary(), style="" if report.passed else "bold red")


def _families(name: str | None, as_json: bool) -> None:
    from sslcore.testing.losses.catalogue import catalogue, summaries

    shown: Any = summaries() if name is None else catalogue(name)
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    if name is None:
        for family, summary in shown.items():
            click.echo(f"{family:<24}{summary}")
        return
    for item in shown:
        click.echo(f"{item['code']}  {item['name']}")
        for key in ("formula", "precondition", "kills"):
            if item[key]:
                click.echo(f"    {key:<13}{item[key]}")
