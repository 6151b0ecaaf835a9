"""The table of an evaluation, as printed, and the verdict on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table as RichTable

from sslcore.evaluation.evaluate import ENCODER, PIXELS, RANDOM_INIT, Table
from sslcore.system.printable import printable
from sslcore.system.terminal import stdout_console

if TYPE_CHECKING:
    from rich.console import Console

_HEADINGS = {ENCODER: "trained", RANDOM_INIT: "untrained", PIXELS: "pixels"}


def print_table(table: Table, console: Console | None = None) -> None:
    """Print an evaluation: a row per metric, the trained encoder beside its two baselines."""
    console = console if console is not None else stdout_console()
    shown = RichTable(box=None, pad_edge=False, header_style="bold")
    shown.add_column("metric")
    for column in table:
        shown.add_column(_HEADINGS.get(column, column), justify="right")
    spreads = {f"{name}_std" for name in _metrics(table)}
    for name in _metrics(table):
        if name in spreads:
            continue
        shown.add_row(escape(printable(name)), *(_cell(table[column], name) for column in table))
    console.print(shown)


def _cell(metrics: dict[str, float], name: str) -> str:
    if name not in metrics:
        return "–"
    spread = metrics.get(f"{name}_std")
    return f"{metrics[name]:.4f}" + ("" if spread is None else f" ±{spread:.3f}")


def _metrics(table: Table) -> list[str]:
    return list(dict.fromkeys(name for metrics in table.values() for name in metrics))


def verdict(table: Table) -> str:
    """Return a sentence on where the trained encoder is no better than a baseline; else empty.

    An error (a metric that ends in `_mse`) is better when it is lower, everything else when it
    is higher.
    """
    worse: dict[str, list[str]] = {RANDOM_INIT: [], PIXELS: []}
    for name in _metrics(table):
        if name.endswith("_std") or name not in table[ENCODER]:
            continue
        sign = -1 if name.endswith("_mse") else 1
        for column in (RANDOM_INIT, PIXELS):
            value = table[column].get(name)
            if value is not None and sign * (table[ENCODER][name] - value) <= 0:
                worse[column].append(name)
    labels = {RANDOM_INIT: "the same encoder untrained", PIXELS: "raw pixels"}
    said = [
        f"no better than {labels[column]} on {', '.join(names)}"
        for column, names in worse.items()
        if names
    ]
    return f"the trained encoder is {'; and '.join(said)}" if said else ""
