"""What a person sees of a run: progress on stderr, warnings in words, the table at the end."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table as RichTable

from sslcore.console import stdout_console
from sslcore.evaluation import ENCODER, PIXELS, RANDOM_INIT, Table
from sslcore.metrics import LogLine, Metrics
from sslcore.printable import printable

#: Seconds between two lines where there is no terminal to draw a bar in.
_QUIET_SECONDS = 10.0

_HEADINGS = {ENCODER: "trained", RANDOM_INIT: "untrained", PIXELS: "pixels"}


class Silence:
    """Shows and writes nothing: what a process sees of a run that another one speaks for."""

    def advanced(self, step: int) -> None:
        """Do nothing."""

    def logged(self, line: LogLine) -> None:
        """Do nothing."""


class ProgressDisplay:
    """Shows training as it goes and writes metrics.jsonl.

    Args:
        console: where to draw.
        metrics: the run's metrics.
        step: steps done before.
        total: steps in all.
        epochs: epochs in all.
    """

    def __init__(
        self, console: Console, metrics: Metrics, *, step: int, total: int, epochs: int
    ) -> None:
        self.console, self.metrics = console, metrics
        self.total, self.epochs = total, epochs
        self._warned = False
        self._told = time.monotonic()
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self._task = self._bar.add_task(
            "", total=total, completed=step, epoch=f"–/{epochs}", numbers=""
        )

    def __enter__(self) -> ProgressDisplay:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self._bar.stop()

    def advanced(self, step: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=step)

    def logged(self, line: LogLine) -> None:
        """Show and keep the numbers of a log step; warn of a collapse once until it is over."""
        self.metrics.write(line.to_dict())
        numbers = describe(line)
        epoch = f"{line.epoch:.0f}/{self.epochs}"
        self._bar.update(self._task, epoch=epoch, numbers=numbers)
        last = line.step == self.total
        if not self.console.is_terminal and (
            last or time.monotonic() - self._told > _QUIET_SECONDS
        ):
            self._told = time.monotonic()
            self.console.print(f"epoch {epoch}, step {line.step}/{self.total}: {numbers}")
        warning = line.reading.warning() if line.reading is not None else ""
        if warning and not self._warned:
            self.console.print(f"warning: step {line.step}: {warning}", style="bold red")
        self._warned = bool(warning)


def describe(line: LogLine) -> str:
    """Return the numbers of a log step in one short line."""
    said = [f"loss {line.loss:.4g}", f"{line.images_per_second:,.0f} images/s"]
    if line.reading is not None:
        said.append(f"rank {line.reading.effective_rank:.1f}/{line.reading.dim}")
        said.append(f"spread {line.reading.spread:.2f}")
    return " · ".join(said)


def print_table(table: Table, console: Console | None = None) -> None:
    """Print an evaluation: a row per metric, the trained encoder beside its two baselines."""
    console = console if console is not None else stdout_console()
    shown = RichTable(box=None, pad_edge=False, header_style="bold")
    shown.add_column("metric")
    for column in table:
        shown.add_column(_HEADINGS.get(column, column), justify="right")
    spreads = {f"{name}_std" for name in _metrics(table)}
    for name in _metrics(table):
        if name in spreads:
            continue
        shown.add_row(escape(printable(name)), *(_cell(table[column], name) for column in table))
    console.print(shown)


def _cell(metrics: dict[str, float], name: str) -> str:
    if name not in metrics:
        return "–"
    spread = metrics.get(f"{name}_std")
    return f"{metrics[name]:.4f}" + ("" if spread is None else f" ±{spread:.3f}")


def _metrics(table: Table) -> list[str]:
    return list(dict.fromkeys(name for metrics in table.values() for name in metrics))


def verdict(table: Table) -> str:
    """Say in words where the trained encoder is no better than a baseline; empty where it is.

    An error (a metric that ends in `_mse`) is better when it is lower, everything else when it
    is higher.
    """
    worse: dict[str, list[str]] = {RANDOM_INIT: [], PIXELS: []}
    for name in _metrics(table):
        if name.endswith("_std") or name not in table[ENCODER]:
            continue
        sign = -1 if name.endswith("_mse") else 1
        for column in (RANDOM_INIT, PIXELS):
            value = table[column].get(name)
            if value is not None and sign * (table[ENCODER][name] - value) <= 0:
                worse[column].append(name)
    labels = {RANDOM_INIT: "the same encoder untrained", PIXELS: "raw pixels"}
    said = [
        f"no better than {labels[column]} on {', '.join(names)}"
        for column, names in worse.items()
        if names
    ]
    return f"the trained encoder is {'; and '.join(said)}" if said else ""
