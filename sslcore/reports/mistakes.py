"""What a linear classifier on the features gets wrong: by class, and image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sslcore.reports.features import short, small
from sslcore.reports.figures import COLOURS, WRONG, charts
from sslcore.reports.sheet import Cell, draw_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sslcore.reports.maps import Array
    from sslcore.reports.material import Material

#: More classes than this are not named, and only the worst of them have a bar.
_NAMED = 25
#: Images that are shown, and how many in a row.
_SHOWN, _IN_ROW = 12, 6


def draw_confusion(material: Material) -> Figure:
    """Draw the confusion matrix, and the accuracy by class."""
    labels, count = material.test_labels, len(material.classes)
    guesses = material.probabilities.argmax(1)
    matrix = np.zeros((count, count))
    np.add.at(matrix, (labels, guesses), 1)
    totals = matrix.sum(1)
    share = matrix / np.maximum(totals, 1)[:, None]
    figure, (left, right) = charts(
        2, columns=2, width=500, height=max(420, 18 * min(count, 25)), left=130, bottom=110
    )
    left.imshow(share, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
    left.grid(visible=False)
    left.set_xlabel("predicted")
    left.set_ylabel("true")
    left.set_title(f"{len(labels)} test images: {(guesses == labels).mean():.1%} right", loc="left")
    if count <= _NAMED:
        left.set_xticks(range(count), map(short, material.classes), rotation=90)
        left.set_yticks(range(count), map(short, material.classes))
        if count <= 12:
            _write_counts(left, matrix, share)
    accuracy = np.diag(share)
    order = [each for each in np.argsort(accuracy, kind="stable") if totals[each]][:_NAMED]
    right.barh(range(len(order)), accuracy[order], color=COLOURS[0])
    names = [f"{short(material.classes[each])} ({int(totals[each])})" for each in order]
    right.set_yticks(range(len(order)), names)
    right.invert_yaxis()
    right.set_xlim(0, 1)
    worst = f", the {len(order)} worst of {count}" if len(order) < count else ""
    right.set_title(f"accuracy by class (test images){worst}", loc="left")
    return figure


def _write_counts(axis: object, matrix: Array, share: Array) -> None:
    for row, column in zip(*np.nonzero(matrix), strict=True):
        axis.text(  # type: ignore[attr-defined]
            column,
            row,
            int(matrix[row, column]),
            ha="center",
            va="center",
            fontsize=7,
            color="black" if share[row, column] > 0.5 else "white",
        )


def draw_mistakes(material: Material) -> Figure | None:
    """Draw the test images whose true class the classifier thinks least likely."""
    labels, guesses = material.test_labels, material.probabilities.argmax(1)
    wrong = np.nonzero(labels != guesses)[0]
    if not len(wrong):
        return None
    true = material.probabilities[wrong, labels[wrong]]
    worst = wrong[np.argsort(true, kind="stable")][:_SHOWN]
    cells = [
        Cell(
            small(material.test, row),
            f"{material.test.name_of(row)}\nis {material.classes[labels[row]]} "
            f"({material.probabilities[row, labels[row]]:.1%}), taken for "
            f"{material.classes[guesses[row]]} ({material.probabilities[row, guesses[row]]:.0%})",
            WRONG,
        )
        for row in worst
    ]
    rows = [cells[start : start + _IN_ROW] for start in range(0, len(cells), _IN_ROW)]
    return draw_sheet(rows, [], f"{len(wrong)} of {len(labels)} test images are wrong.")
