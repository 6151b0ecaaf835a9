"""The figures of an evaluation as bars, the trained encoder beside its two baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslcore.evaluation.evaluate import ENCODER, PIXELS, RANDOM_INIT, Table
from sslcore.evaluation.spread import spread
from sslcore.evaluation.table import Details, cell, heading, metrics_of, sign_of, test_images
from sslcore.reports.figures import COLOURS, charts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {ENCODER: COLOURS[0], RANDOM_INIT: COLOURS[1], PIXELS: COLOURS[7]}


def draw_scores(table: Table, details: Details) -> Figure | None:
    """Draw a chart for each metric; None where there are none.

    A line on a bar is the standard error of the score, where it is known.
    """
    names = metrics_of(table)
    if not names:
        return None
    figure, axes = charts(len(names), height=210)
    for name, axis in zip(names, axes, strict=True):
        images = test_images(details, name)
        shown = [(column, metrics) for column, metrics in table.items() if name in metrics]
        for place, (column, metrics) in enumerate(shown):
            value = metrics[name]
            # The line is as long as the label says.
            error = metrics.get(f"{name}_std", spread(metrics, name, images))
            axis.bar(
                place,
                value,
                0.7,
                color=_COLOURS.get(column, COLOURS[3]),
                yerr=error,
                ecolor="black",
                capsize=4,
            )
            axis.annotate(
                cell(metrics, name, images).replace(" ", "\n"),
                (place, value + (error or 0)),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
            )
        axis.set_xticks(range(len(shown)), [heading(column, details) for column, _ in shown])
        axis.set_title(name, loc="left")
        axis.grid(visible=False, axis="x")
        axis.margins(y=0.3)
        if sign_of(name) < 0:
            axis.set_xlabel("lower is better")
    return figure
