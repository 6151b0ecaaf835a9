"""Numbers over the steps of training, of one run or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sslcore.contract.interface import ENGINE_KEYS
from sslcore.reports.figures import COLOURS, charts
from sslcore.runs.metrics import TRAINED, UNTRAINED, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The engine's numbers with their titles, in the order in which they are drawn.
TITLES = {
    "loss": "loss",
    "learning_rate": "learning rate",
    "images_per_second": "images per second",
    "effective_rank": "effective rank of the projections",
    "spread": "spread of the projections",
}
#: Charts of numbers that parts log, at the most.
_OWN = 6
#: The number of the colour of the untrained encoder.
_GREY = 7
#: Runs in a line of the legend.
_LEGEND = 3

Lines = Sequence[Line]


def draw_curves(groups: Mapping[str, Sequence[Lines]]) -> Figure | None:
    """Draw each number over the steps; None where nothing is logged.

    Args:
        groups: the lines of metrics.jsonl of each run, by the name of its group. The runs of a
            group have one colour.
    """
    every = [line for runs in groups.values() for lines in runs for line in lines]
    logged = {key: None for line in every for key in line if _is_number(line[key])}
    keys = [key for key in TITLES if key in logged]
    measured = [key for key in logged if key.startswith(TRAINED) and not key.endswith("_std")]
    keys += measured
    keys += [
        key for key in logged if key not in ENGINE_KEYS and not key.startswith((TRAINED, UNTRAINED))
    ][:_OWN]
    if not keys:
        return None
    legend_lines = -(-len(groups) // _LEGEND) if len(groups) > 1 else 0
    figure, axes = charts(len(keys), footer=20 * legend_lines + 10 * bool(legend_lines))
    read = {str(line["representation"]) for line in every if line.get("representation")}
    for key, axis in zip(keys, axes, strict=True):
        for number, (name, runs) in enumerate(groups.items()):
            for place, lines in enumerate(runs):
                _draw(axis, key, lines, number, "" if place else name)
                if key in measured:
                    baseline = f"{UNTRAINED}{key.removeprefix(TRAINED)}"
                    _draw(axis, baseline, lines, _GREY, "")
        title = TITLES.get(key, key.removeprefix(TRAINED))
        if key in measured:
            axis.set_xlabel("step (grey: untrained)")
        axis.set_title(
            title.replace("projections", read.copy().pop()) if len(read) == 1 else title, loc="left"
        )
        if key not in measured:
            axis.set_xlabel("step")
        if key in ("images_per_second", "effective_rank"):
            axis.set_ylim(bottom=0)
    if len(groups) > 1:
        legend = axes[0].get_legend_handles_labels()
        figure.legend(*legend, loc="lower center", ncols=min(_LEGEND, len(groups)))
    return figure


def _draw(axis: Axes, key: str, lines: Lines, number: int, label: str) -> None:
    points = [(line["step"], line[key]) for line in lines if _is_number(line.get(key))]
    if not points:
        return
    axis.plot(
        *zip(*points, strict=True),
        color=COLOURS[number % len(COLOURS)],
        linestyle=("-", "--", ":", "-.")[number // len(COLOURS) % 4],
        marker="o" if len(points) == 1 else "",
        label=label or None,
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
