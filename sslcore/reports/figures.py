"""Figures in one style. They are drawn in memory, without a display, and returned as PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that the colour-blind can tell apart (Okabe and Ito 2008), without their yellow, which
#: is faint on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#000000", "#56B4E9", "#999999")
#: Markers, so that no two of 48 classes look the same.
MARKERS = "o^sDvP"
#: Right and wrong: blue and vermilion, which differ in brightness too.
RIGHT, WRONG = COLOURS[0], COLOURS[4]

#: Pixels per inch of every picture.
DPI = 100
#: Points of the text in charts.
TEXT = 9

_STYLE: dict[Any, Any] = {
    "font.size": TEXT,
    "axes.titlesize": TEXT + 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the reports; the settings of the caller's own figures are kept."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def blank(width: float, height: float) -> Figure:
    """Return an empty white figure of so many pixels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def charts(
    count: int,
    *,
    columns: int = 3,
    width: int = 330,
    height: int = 240,
    left: int = 54,
    bottom: int = 42,
    footer: int = 0,
) -> Charts:
    """Return a figure with a grid of charts, and the charts in a row.

    Args:
        count: how many charts.
        columns: charts beside each other, at the most.
        width: of a chart with its margins, px.
        height: of a chart with its margins, px.
        left: the left margin of each chart, for numbers and labels, px.
        bottom: its margin below, px.
        footer: room below all charts, for a legend, px.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    whole_width, whole_height = columns * width, rows * height + footer
    figure = blank(whole_width, whole_height)
    # Margins in pixels: matplotlib's own layout measures every text twice, which takes longer than
    # drawing them.
    axes = [
        figure.add_axes(
            (
                (place % columns * width + left) / whole_width,
                1 - ((place // columns + 1) * height - bottom) / whole_height,
                (width - left - 14) / whole_width,
                (height - bottom - 28) / whole_height,
            )
        )
        for place in range(count)
    ]
    return figure, axes


Charts = tuple["Figure", "list[Axes]"]


def to_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    file = io.BytesIO()
    # No date in the file, so that the same picture has the same bytes.
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": "sslcore"})
    return file.getvalue()
