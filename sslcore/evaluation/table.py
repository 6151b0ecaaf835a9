"""The table of an evaluation, as printed, and the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table as RichTable

from sslcore.evaluation.evaluate import ENCODER, PIXELS, RANDOM_INIT, Table
from sslcore.system.printable import printable
from sslcore.system.terminal import stdout_console

if TYPE_CHECKING:
    from rich.console import Console

#: The columns of the table as they are called on the screen.
HEADINGS = {ENCODER: "trained", RANDOM_INIT: "untrained", PIXELS: "pixels"}


def print_table(table: Table, console: Console | None = None) -> None:
    """Print an evaluation: a row per metric, the trained encoder beside its two baselines."""
    console = console if console is not None else stdout_console()
    shown = RichTable(box=None, pad_edge=False, header_style="bold")
    shown.add_column("metric")
    for column in table:
        shown.add_column(HEADINGS.get(column, column), justify="right")
    for name in metrics_of(table):
        shown.add_row(escape(printable(name)), *(cell(table[column], name) for column in table))
    console.print(shown)


def cell(metrics: Mapping[str, float], name: str) -> str:
    """Return a figure as text, with its standard deviation where there is one."""
    if name not in metrics:
        return "–"
    spread = metrics.get(f"{name}_std")
    return f"{metrics[name]:.4f}" + ("" if spread is None else f" ±{spread:.3f}")


def metrics_of(table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the names of the metrics, without those that are the spread of another."""
    every = dict.fromkeys(name for metrics in table.values() for name in metrics)
    return [name for name in every if not (name.endswith("_std") and name[:-4] in every)]


def sign_of(metric: str) -> int:
    """Return 1 where higher is better, and -1 of an error, a metric that ends in `_mse`."""
    return -1 if metric.endswith("_mse") else 1


def verdict(table: Mapping[str, Mapping[str, float]]) -> str:
    """Return a sentence on where the trained encoder is no better than a baseline; else empty.

    An error (a metric that ends in `_mse`) is better when it is lower, everything else when it
    is higher.
    """
    worse: dict[str, list[str]] = {RANDOM_INIT: [], PIXELS: []}
    for name in metrics_of(table):
        if name not in table.get(ENCODER, {}):
            continue
        sign = sign_of(name)
        for column in (RANDOM_INIT, PIXELS):
            value = table.get(column, {}).get(name)
            if value is not None and sign * (table[ENCODER][name] - value) <= 0:
                worse[column].append(name)
    labels = {RANDOM_INIT: "the same encoder untrained", PIXELS: "raw pixels"}
    said = [
        f"no better than {labels[column]} on {', '.join(names)}"
        for column, names in worse.items()
        if names
    ]
    return f"the trained encoder is {'; and '.join(said)}" if said else ""
