"""A run as Python and notebooks see it: its numbers, its scores and its curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sslcore.errors import UsageError, nearest
from sslcore.evaluation.table import cells_of
from sslcore.reports import page
from sslcore.reports.curves import draw_curves
from sslcore.reports.figures import style, to_png
from sslcore.runs.folder import METRICS
from sslcore.runs.folder import Run as RunFolder
from sslcore.runs.metrics import Line, read_metrics
from sslcore.runs.summary import RunSummary

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run(RunFolder):
    """The folder of a run, with what is in it.

    In a notebook, a run shows its scores and its curves.

    Args:
        path: the folder.

    Raises:
        UsageError: the path is not valid.
    """

    @property
    def metrics(self) -> list[Line]:
        """The lines of metrics.jsonl; `pandas.DataFrame(run.metrics)` makes a table of them."""
        return read_metrics(self.path / METRICS)

    @property
    def evaluation(self) -> dict[str, dict[str, float]]:
        """The scores, `{column: {metric: value}}`; empty before the run is evaluated."""
        return self.read_evaluation()

    def figure(self, *names: str) -> Figure:
        """Draw numbers of metrics.jsonl over the steps, each in a chart of its own.

        Args:
            names: the numbers, such as "loss" and "effective_rank"; all by default.

        Raises:
            UsageError: the run has no such number, or none at all.
        """
        lines = self.metrics
        kept = {"step", "representation", *names}
        known = {name: None for line in lines for name in line}
        for name in names:
            if name not in known:
                raise UsageError(
                    f"{self.path} has logged no {name!r}{nearest(name, known)}; it has "
                    f"{', '.join(known) or 'nothing'}"
                )
        chosen = [
            {name: value for name, value in line.items() if not names or name in kept}
            for line in lines
        ]
        with style():
            figure = draw_curves({self.path.name: [chosen]})
        if figure is None:
            raise UsageError(f"{self.path} has logged no numbers yet")
        return figure

    def _repr_html_(self) -> str:
        summary, table = RunSummary.of(self.path), self.evaluation
        parts = [page.paragraph(f"{self.path}: {summary.state}")]
        if table:
            parts.append(page.table(*cells_of(table, self.read_details())))
        if self.metrics:
            with style():
                parts.append(page.picture(to_png(self.figure()), "Curves"))
        return "\n".join(parts)


def open_run(path: str | Path) -> Run:
    """Open the folder of a run.

    Raises:
        RunFolderError: the folder does not exist or is not a run.
    """
    return Run(RunFolder.open(path).path)
