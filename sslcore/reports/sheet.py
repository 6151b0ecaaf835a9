"""A sheet of images: rows of cells with captions below them and titles above the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sslcore.reports.figures import DPI, blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

#: The side, px, near which a cell is shown. The factor is whole, so that pixels stay squares.
_SIDE = 128
#: Space between cells, px, and around the sheet.
_GAP, _MARGIN = 8, 12
#: Points and line height (px) of captions and of titles.
_CAPTION, _LINE = 6.5, 10
_TITLE, _HEADING, _HEADING_LINE = 9.0, 20, 16
#: Space between the heading and the sheet, px.
_BELOW_HEADING = 6
#: The least width of a sheet without its margins, px, for its heading.
_NARROWEST = 400
#: Pixels that a letter of a caption takes, on average.
_LETTER = 4.6
#: Width of a border, px.
_BORDER = 3


@dataclass(frozen=True)
class Cell:
    """An image in a sheet.

    Attributes:
        pixels: uint8, (h, w, 3).
        caption: the text below it; it is broken into lines.
        border: the colour of a border, such as "#0072B2"; empty for none.
    """

    pixels: Pixels
    caption: str = ""
    border: str = ""


def enlarged(pixels: Pixels, side: int, shown: int = _SIDE) -> Pixels:
    """Return an image enlarged, or reduced, by the whole factor that brings `side` near `shown`."""
    factor = max(1, round(shown / max(1, side)))
    if factor > 1 or side < 2 * shown:
        return pixels.repeat(factor, 0).repeat(factor, 1)
    step = side // shown
    height, width = (length // step for length in pixels.shape[:2])
    blocks = pixels[: height * step, : width * step].reshape(height, step, width, step, 3)
    reduced: Pixels = blocks.mean((1, 3)).round().astype(np.uint8)
    return reduced


def strip(images: Sequence[Pixels], columns: int, gap: int = 2) -> Pixels:
    """Return equally large images in rows of `columns`, with white lines between them."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    sheet = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=np.uint8
    )
    for place, image in enumerate(images):
        top, left = (place // columns) * (height + gap), (place % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def draw_sheet(rows: Sequence[Sequence[Cell]], titles: Sequence[str], heading: str = "") -> Figure:
    """Draw cells in rows, each column as wide as its widest cell.

    Args:
        rows: the cells; a row may be shorter than others.
        titles: a title for each column, or none at all.
        heading: a line above all.
    """
    count = max(map(len, rows))
    widths = [
        max(
            [row[column].pixels.shape[1] for row in rows if column < len(row)]
            + [round(len(title) * 6.2) for title in titles[column : column + 1]]
        )
        for column in range(count)
    ]
    lines = [
        [_lines(cell.caption, width) for cell, width in zip(row, widths, strict=False)]
        for row in rows
    ]
    heights = [
        max(cell.pixels.shape[0] + len(text) * _LINE for cell, text in zip(row, texts, strict=True))
        for row, texts in zip(rows, lines, strict=True)
    ]
    width = 2 * _MARGIN + max(_NARROWEST, sum(widths) + _GAP * (count - 1))
    headings = _lines(heading, width - 2 * _MARGIN, letter=6.6)
    above = _HEADING_LINE * len(headings) + _BELOW_HEADING * bool(headings)
    top = _MARGIN + _HEADING * bool(titles) + above
    height = top + sum(heights) + _GAP * len(rows) + _MARGIN
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    figure = blank(width, height)
    for number, line in enumerate(headings):
        _write(figure, _MARGIN, _MARGIN + number * _HEADING_LINE, line, _TITLE)
    lefts = [_MARGIN + sum(widths[:column]) + _GAP * column for column in range(count)]
    for left, title in zip(lefts, titles, strict=False):
        _write(figure, left, top - _HEADING, title, _TITLE, weight="bold")
    for row, texts, tall in zip(rows, lines, heights, strict=True):
        for cell, text, left in zip(row, texts, lefts, strict=False):
            _place(canvas, cell, top, left)
            below = top + cell.pixels.shape[0] + 1
            for number, line in enumerate(text):
                _write(figure, left, below + number * _LINE, line, _CAPTION)
        top += tall + _GAP
    figure.figimage(canvas, zorder=-1)
    return figure


def _place(canvas: Pixels, cell: Cell, top: int, left: int) -> None:
    height, width = cell.pixels.shape[:2]
    area = canvas[top : top + height, left : left + width]
    area[:] = cell.pixels
    if cell.border:
        colour = [int(cell.border[start : start + 2], 16) for start in (1, 3, 5)]
        area[:_BORDER] = area[-_BORDER:] = colour
        area[:, :_BORDER] = area[:, -_BORDER:] = colour


def _write(
    figure: Figure, left: float, top: float, text: str, points: float, weight: str = "normal"
) -> None:
    width, height = (side * DPI for side in figure.get_size_inches())
    figure.text(
        left / width,
        1 - top / height,
        text,
        fontsize=points,
        fontweight=weight,
        va="top",
        ha="left",
        # A name of a file may hold a dollar sign, which begins a formula.
        parse_math=False,
    )


def _lines(caption: str, width: int, letter: float = _LETTER) -> list[str]:
    """Break a caption into lines of a width in px, between words where that is possible."""
    most = max(6, int(width / letter))
    found: list[str] = []
    for line in caption.splitlines():
        now = ""
        for word in line.split(" "):
            if now and len(now) + 1 + len(word) > most:
                found.append(now)
                now = ""
            now = f"{now} {word}".strip()
            while len(now) > most:
                # A path is broken after a slash, so that the names in it stay whole.
                cut = now.rfind("/", 0, most) + 1 or most
                found.append(now[:cut])
                now = now[cut:]
        found.append(now)
    return found
