"""Pictures of the features: a map, nearest neighbours, and the spectrum of their covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sslcore.data.labels import class_of
from sslcore.evaluation.collapse import read_collapse
from sslcore.reports.figures import COLOURS, MARKERS, RIGHT, WRONG, charts
from sslcore.reports.maps import FEWEST, MAPS
from sslcore.reports.pixels import to_pixels
from sslcore.reports.sheet import Cell, draw_sheet, enlarged, strip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sslcore.data import Split
    from sslcore.reports.material import Material
    from sslcore.reports.sheet import Pixels

#: Test images that are shown beside their neighbours.
_QUERIES = 10
#: Classes that a legend names, and those in a line of it, which has this height, px.
_NAMED, _IN_LINE, _LEGEND = 20, 7, 26
#: Side of a small image, px, and frames of a clip in a small image.
_SMALL, _FRAMES = 72, 4


def draw_map(material: Material) -> Figure | None:
    """Draw the test features in two dimensions, trained beside untrained.

    The colour and the marker of a point are its class.
    """
    rows, places = material.mapped
    if len(rows) < FEWEST:
        return None
    named = 0 < len(material.classes) <= _NAMED
    lines = -(-len(material.classes) // _IN_LINE) if named else 0
    figure, axes = charts(
        2, columns=2, width=480, height=430, left=14, bottom=14, footer=_LEGEND * lines
    )
    for axis, (title, each) in zip(axes, places.result().items(), strict=True):
        x, y = each.T
        axis.set_title(f"{title}, {MAPS[material.map].title}", loc="left")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
        if not material.classes:
            axis.scatter(x, y, s=12, color=COLOURS[0], linewidths=0)
            continue
        labels = material.test_labels[rows]
        for label, name in enumerate(material.classes):
            here = labels == label
            axis.scatter(
                x[here],
                y[here],
                s=16,
                linewidths=0,
                label=name,
                color=COLOURS[label % len(COLOURS)],
                # Neighbouring classes differ in both, and 48 classes in one of the two.
                marker=MARKERS[(label // len(COLOURS) + label % len(COLOURS)) % len(MARKERS)],
            )
    if named:
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, map(short, names), loc="lower center", ncols=_IN_LINE)
    return figure


def draw_spectrum(material: Material) -> Figure | None:
    """Draw the eigenvalues of the covariance of the test features, trained and untrained."""
    if len(material.test) < 3:
        return None
    figure, (axis,) = charts(1, width=480, height=300, left=64)
    features = {"trained": material.test_features, material.began: material.untrained_features}
    for number, (title, rows) in enumerate(features.items()):
        centred = rows - rows.mean(0)
        values = np.linalg.svd(centred, compute_uv=False) ** 2 / (len(rows) - 1)
        largest = values[0]
        if largest <= 0:
            continue
        rank = read_collapse("features", torch.from_numpy(rows)).effective_rank
        kept = values > largest * 1e-8
        axis.plot(
            np.arange(1, kept.sum() + 1),
            values[kept] / largest,
            color=COLOURS[number],
            linestyle=("-", "--")[number],
            label=f"{title}: effective rank {rank:.1f} of {rows.shape[1]}",
        )
    axis.set_yscale("log")
    axis.set_xlabel("eigenvalue, from the largest")
    axis.set_ylabel("value relative to the largest")
    axis.legend()
    return figure


def draw_neighbours(material: Material) -> Figure:
    """Draw ten test images with the five training images whose features are nearest."""
    classes, named = material.classes, material.data.classes
    queries = np.linspace(0, len(material.test) - 1, min(_QUERIES, len(material.test)))
    rows: list[list[Cell]] = []
    for query in np.unique(queries.round().astype(int)):
        label = material.test_labels[query] if classes else None
        row = [Cell(small(material.test, query), _named(material.test, query, named))]
        for near in material.neighbours[query]:
            same = label is not None and material.fit_labels[near] == label
            border = "" if label is None else RIGHT if same else WRONG
            text = class_of(material.fit.labels, int(near), named)
            row.append(Cell(small(material.fit, near), text, border))
        rows.append(row)
    count = max(map(len, rows)) - 1
    note = "" if not classes else "Blue border: the same class. Orange-red border: another class."
    first = material.shown.partition(" ")[0]
    return draw_sheet(rows, [first, "nearest", *[""] * (count - 1)], note)


def small(split: Split, row: int) -> Pixels:
    """Return an image as a small picture; of a clip, a few frames."""
    image = split.read(torch.tensor([row]))[0]
    if image.dim() == 3:
        return enlarged(to_pixels(image[None])[0], image.shape[-1], _SMALL)
    some = image[np.linspace(0, len(image) - 1, min(_FRAMES, len(image))).round().astype(int)]
    return strip([enlarged(frame, image.shape[-1], _SMALL // 2) for frame in to_pixels(some)], 2)


def short(name: str) -> str:
    """Return a name cut to the length of a label."""
    return name if len(name) <= 16 else f"{name[:15]}…"


def _named(split: Split, row: int, classes: tuple[str, ...]) -> str:
    label = class_of(split.labels, row, classes) if classes else ""
    return f"{split.name_of(row)}, {label}" if label else split.name_of(row)
