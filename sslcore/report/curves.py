"""Numbers over the steps of training, of one run or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sslcore.contract.interface import ENGINE_KEYS
from sslcore.report.figures import COLOURS, charts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The engine's numbers with their titles, in the order in which they are drawn.
TITLES = {
    "loss": "loss",
    "lr": "learning rate",
    "images_per_s": "images per second",
    "effective_rank": "effective rank of the projections",
    "std": "spread of the projections",
}
#: Charts of numbers that parts log, at the most.
_OWN = 6
#: Runs in a line of the legend.
_LEGEND = 3

Lines = Sequence[Mapping[str, Any]]


def draw_curves(runs: Mapping[str, Lines]) -> Figure | None:
    """Draw each number over the steps, the runs in one chart; None where nothing is logged.

    Args:
        runs: the lines of metrics.jsonl, by the name of the run.
    """
    keys = [key for key in TITLES if _any(runs, key)]
    own = {key: None for lines in runs.values() for line in lines for key in line}
    keys += [key for key in own if key not in ENGINE_KEYS and _any(runs, key)][:_OWN]
    if not keys:
        return None
    legend_lines = -(-len(runs) // _LEGEND) if len(runs) > 1 else 0
    figure, axes = charts(len(keys), footer=20 * legend_lines + 10 * bool(legend_lines))
    for key, axis in zip(keys, axes, strict=True):
        for number, (name, lines) in enumerate(runs.items()):
            points = [(line["step"], line[key]) for line in lines if _is_number(line.get(key))]
            if points:
                axis.plot(
                    *zip(*points, strict=True),
                    color=COLOURS[number % len(COLOURS)],
                    linestyle=("-", "--", ":", "-.")[number // len(COLOURS) % 4],
                    marker="o" if len(points) == 1 else "",
                    label=name,
                )
        axis.set_title(_title(runs, key), loc="left")
        axis.set_xlabel("step")
        if key in ("images_per_s", "effective_rank"):
            axis.set_ylim(bottom=0)
    if len(runs) > 1:
        legend = axes[0].get_legend_handles_labels()
        figure.legend(*legend, loc="lower center", ncols=min(_LEGEND, len(runs)))
    return figure


def _title(runs: Mapping[str, Lines], key: str) -> str:
    read = {str(line["read"]) for lines in runs.values() for line in lines if line.get("read")}
    title = TITLES.get(key, key)
    return title.replace("projections", read.pop()) if len(read) == 1 else title


def _any(runs: Mapping[str, Lines], key: str) -> bool:
    return any(_is_number(line.get(key)) for lines in runs.values() for line in lines)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
