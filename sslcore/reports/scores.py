"""The figures of an evaluation as bars, the trained encoder beside its two baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslcore.evaluation.evaluate import ENCODER, PIXELS, RANDOM_INIT, Table
from sslcore.evaluation.table import HEADINGS, metrics_of, sign_of
from sslcore.reports.figures import COLOURS, charts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {ENCODER: COLOURS[0], RANDOM_INIT: COLOURS[1], PIXELS: COLOURS[7]}


def draw_scores(table: Table) -> Figure | None:
    """Draw a chart for each metric; None where there are none.

    A metric with a standard deviation has it as a line on its bar.
    """
    names = metrics_of(table)
    if not names:
        return None
    figure, axes = charts(len(names), height=210)
    for name, axis in zip(names, axes, strict=True):
        shown = [(column, metrics) for column, metrics in table.items() if name in metrics]
        for place, (column, metrics) in enumerate(shown):
            value, spread = metrics[name], metrics.get(f"{name}_std")
            axis.bar(
                place,
                value,
                0.7,
                color=_COLOURS.get(column, COLOURS[3]),
                yerr=spread,
                ecolor="black",
                capsize=4,
            )
            text = f"{value:.3f}" + ("" if spread is None else f"\n±{spread:.3f}")
            axis.annotate(
                text,
                (place, value + (spread or 0)),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
            )
        axis.set_xticks(range(len(shown)), [HEADINGS.get(column, column) for column, _ in shown])
        axis.set_title(name, loc="left")
        axis.grid(visible=False, axis="x")
        axis.margins(y=0.3)
        if sign_of(name) < 0:
            axis.set_xlabel("lower is better")
    return figure
