"""Pictures of the images nearest to one image, and of groups of near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sslcore.data import Split
from sslcore.evaluation.duplicates import Duplicate
from sslcore.evaluation.neighbours import Neighbour
from sslcore.reports.features import small
from sslcore.reports.figures import RIGHT, style, to_png
from sslcore.reports.pixels import colour_note
from sslcore.reports.sheet import Cell, draw_sheet

#: Images in a row of the nearest ones.
_COLUMNS = 6
#: Groups to draw, and images of each.
_GROUPS, _OF_EACH = 30, 8


def draw_nearest(image: Split, found: Sequence[Neighbour], splits: Mapping[str, Split]) -> bytes:
    """Return a PNG of an image, with a border, and the images nearest to it in order."""
    cells = [Cell(small(image, 0), image.name_of(0), RIGHT)]
    for rank, near in enumerate(found, 1):
        notes = [near.label, "same image" if near.same else "", near.name]
        caption = "\n".join([f"{rank}: {near.similarity:.3f}", *filter(None, notes)])
        cells.append(Cell(small(splits[near.split], near.row), caption))
    return _sheet(
        [cells[start : start + _COLUMNS] for start in range(0, len(cells), _COLUMNS)],
        "The image searched for (with a border) and its nearest images, with cosine similarities.",
        image.channels,
    )


def draw_duplicates(groups: Sequence[Sequence[Duplicate]], splits: Mapping[str, Split]) -> bytes:
    """Return a PNG of the first groups of near-duplicates, a group in each row."""
    shown = groups[:_GROUPS]
    count = f"{len(shown)} of {len(groups)}" if len(shown) < len(groups) else str(len(groups))
    cut = any(len(group) > _OF_EACH for group in shown)
    rows = [
        [
            Cell(
                small(splits[each.split], each.row),
                "\n".join(filter(None, [f"{each.similarity:.3f}", each.label, each.name])),
            )
            for each in group[:_OF_EACH]
        ]
        for group in shown
    ]
    more = f" The first {_OF_EACH} images of each." if cut else ""
    heading = f"Groups of near-duplicates, one in each row: {count}.{more}"
    return _sheet(rows, heading, next(iter(splits.values())).channels)


def _sheet(rows: Sequence[Sequence[Cell]], heading: str, channels: int) -> bytes:
    with style():
        lines = "\n".join(filter(None, [heading, colour_note(channels)]))
        return to_png(draw_sheet(rows, [], lines))
