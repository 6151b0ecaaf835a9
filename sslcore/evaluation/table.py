"""The table of an evaluation, as printed, and the verdict on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from sslcore.evaluation.evaluate import ENCODER, PIXELS, RANDOM_INIT, Table
from sslcore.evaluation.spread import rounded, signed, spread
from sslcore.system.printable import printable
from sslcore.system.terminal import stdout_console

if TYPE_CHECKING:
    from rich.console import Console

#: By metric: how it was measured.
Details = Mapping[str, Mapping[str, object]]

#: The columns of the table as they are called on the screen.
HEADINGS = {ENCODER: "trained", RANDOM_INIT: "untrained", PIXELS: "pixels"}


def print_table(table: Table, details: Details, console: Console | None = None) -> None:
    """Print an evaluation: a row per metric, the trained encoder beside its two baselines.

    A score is bold if it is better than both baselines by more than the spread.
    """
    console = console if console is not None else stdout_console()
    shown = RichTable(box=None, pad_edge=False, header_style="bold")
    (first, *columns), rows = cells_of(table, details)
    shown.add_column(first)
    for head in columns:
        shown.add_column(head, justify="right")
    for name, *cells in rows:
        best = is_best(table, name, test_images(details, name))
        styles = ["bold" if best and column == ENCODER else "" for column in table]
        texts = (Text(text, style=style) for text, style in zip(cells, styles, strict=True))
        shown.add_row(escape(printable(name)), *texts)
    console.print(shown)


def cells_of(
    table: Mapping[str, Mapping[str, float]], details: Details
) -> tuple[list[str], list[list[str]]]:
    """Return an evaluation as text: the heads, and a row for each metric that begins with it."""
    heads = ["metric", *(heading(column, details) for column in table)]
    rows = []
    for name in metrics_of(table):
        images = test_images(details, name)
        rows.append([name, *(cell(table[column], name, images) for column in table)])
    return heads, rows


def heading(column: str, details: Details) -> str:
    """Return the name of a column; an encoder that began with trained weights is not untrained."""
    if column == RANDOM_INIT:
        return beginning(pretrained=_began_trained(details))
    return HEADINGS.get(column, column)


def beginning(*, pretrained: bool) -> str:
    """Return what an encoder is called with its initial weights."""
    return "as it began" if pretrained else HEADINGS[RANDOM_INIT]


def _began_trained(details: Details) -> bool:
    return any(each.get("pretrained") for each in details.values())


def test_images(details: Details, name: str) -> object:
    """Return the number of test images of a metric; None if it was not recorded."""
    return details.get(name, {}).get("test_images")


def cell(metrics: Mapping[str, float], name: str, images: object = None) -> str:
    """Return a score with the digits that its spread leaves, and its standard deviation if any.

    Args:
        metrics: the scores of a column.
        name: of the metric.
        images: number of test images, if it is known.
    """
    if name not in metrics:
        return "–"
    deviation = metrics.get(f"{name}_std")
    if deviation is None:
        return rounded(metrics[name], spread(metrics, name, images))
    return f"{rounded(metrics[name], deviation)} ±{rounded(deviation, deviation)}"


def metrics_of(table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the names of the metrics, without those that are the spread of another."""
    every = dict.fromkeys(name for metrics in table.values() for name in metrics)
    return [name for name in every if not (name.endswith("_std") and name[:-4] in every)]


def sign_of(metric: str) -> int:
    """Return 1 where higher is better, and -1 of an error, a metric that ends in `_mse`."""
    return -1 if metric.endswith("_mse") else 1


def is_best(table: Mapping[str, Mapping[str, float]], name: str, images: object = None) -> bool:
    """Whether the trained encoder is better than each baseline by more than the spread."""
    baselines = [column for column in (RANDOM_INIT, PIXELS) if name in table.get(column, {})]
    return bool(baselines) and all(
        (found := gap(table, name, column, images)) is not None and found[0] > found[1]
        for column in baselines
    )


def gap(
    table: Mapping[str, Mapping[str, float]], name: str, column: str, images: object
) -> tuple[float, float] | None:
    """Return how much better than a baseline the encoder is, and the spread of that difference."""
    ours, theirs = table.get(ENCODER, {}), table.get(column, {})
    if name not in ours or name not in theirs:
        return None
    spreads = (spread(each, name, images) or 0.0 for each in (ours, theirs))
    return sign_of(name) * (ours[name] - theirs[name]), math.hypot(*spreads)


def lead(table: Mapping[str, Mapping[str, float]], name: str, column: str, images: object) -> str:
    """Return by how much the encoder is better than a baseline, as text: "+0.03 ±0.02".

    Args:
        table: the scores.
        name: of the metric.
        column: the baseline.
        images: number of test images, if it is known.
    """
    found = gap(table, name, column, images)
    return "–" if found is None else signed(*found)


def verdict(table: Mapping[str, Mapping[str, float]], details: Details) -> str:
    """Return a sentence on where the trained encoder does not beat a baseline; else empty.

    An error (a metric that ends in `_mse`) is better when it is lower, everything else when it
    is higher.
    """
    began = "the encoder as it began" if _began_trained(details) else "the untrained encoder"
    labels = {RANDOM_INIT: began, PIXELS: "raw pixels"}
    said: list[str] = []
    unclear = ""
    for column, label in labels.items():
        worse, within = [], []
        for name in metrics_of(table):
            found = gap(table, name, column, test_images(details, name))
            if found is not None and not found[0] > 0:
                worse.append(name)
            elif found is not None and found[0] <= found[1]:
                within.append(name)
        if worse:
            said.append(f"not better than {label}: {', '.join(worse)}")
        if within:
            said.append(f"not clearly better than {label}: {', '.join(within)}")
            unclear = " (not clearly: within the spread)"
    return f"the trained encoder is {'; '.join(said)}{unclear}" if said else ""
