"""What a person sees while a run trains: a progress bar, log lines and warnings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sslcore.runs.metrics import TRAINED, UNTRAINED, LogLine, Metrics, now
from sslcore.training.trackers import Trackers

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

#: Seconds between two printed lines if there is no terminal for a progress bar.
_QUIET_SECONDS = 10.0


class Observer(Protocol):
    """Is notified of the progress of training."""

    def advanced(self, step: int) -> None:
        """Called after each step, with the number of steps done."""

    def logged(self, line: LogLine) -> None:
        """Called after each log step, with its numbers."""


class Silence:
    """Prints and writes nothing; the observer of every process but the main one."""

    def advanced(self, step: int) -> None:
        """Do nothing."""

    def logged(self, line: LogLine) -> None:
        """Do nothing."""


class ProgressDisplay:
    """Shows the progress of training and writes metrics.jsonl.

    Args:
        console: where to print.
        metrics: the metrics file of the run.
        step: steps done before.
        total: steps of the run.
        epochs: epochs of the run.
        trackers: are told what is written to metrics.jsonl.
    """

    def __init__(
        self,
        console: Console,
        metrics: Metrics,
        *,
        step: int,
        total: int,
        epochs: int,
        trackers: Trackers | None = None,
    ) -> None:
        self.console, self.metrics = console, metrics
        self.trackers = trackers or Trackers()
        self.total, self.epochs = total, epochs
        self._warned = False
        self._printed = time.monotonic()
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
        """Show and write the numbers of a log step; print one warning for each collapse."""
        self._write(line.to_dict())
        numbers = describe(line)
        epoch = f"{line.epoch:.0f}/{self.epochs}"
        self._bar.update(self._task, epoch=epoch, numbers=numbers)
        last = line.step == self.total
        if not self.console.is_terminal and (
            last or time.monotonic() - self._printed > _QUIET_SECONDS
        ):
            self._printed = time.monotonic()
            self.console.print(f"epoch {epoch}, step {line.step}/{self.total}: {numbers}")
        warning = line.reading.warning() if line.reading is not None else ""
        if warning and not self._warned:
            self.console.print(f"warning: step {line.step}: {warning}", style="bold red")
        self._warned = bool(warning)

    def evaluated(self, step: int, figures: Mapping[str, float]) -> None:
        """Show and write figures measured during training, by name with their prefix."""
        self._write({"time": now(), "step": step, **figures})
        self._printed = time.monotonic()
        self.console.print(f"step {step}/{self.total}: {describe_figures(figures)}")

    def _write(self, line: Mapping[str, object]) -> None:
        self.metrics.write(line)
        self.trackers.logged(line)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.console.print(f"warning: {text}", style="bold yellow")


def describe_figures(figures: Mapping[str, float]) -> str:
    """Return the figures measured during training on one line, each with its baseline."""
    return " · ".join(
        f"{name} {value:.4f}{_beside(figures.get(f'{UNTRAINED}{name}'))}"
        for key, value in figures.items()
        if key.startswith(TRAINED) and not (name := key.removeprefix(TRAINED)).endswith("_std")
    )


def _beside(untrained: float | None) -> str:
    return "" if untrained is None else f" (untrained {untrained:.4f})"


def describe(line: LogLine) -> str:
    """Return the numbers of a log step on one short line."""
    numbers = [f"loss {line.loss:.4g}", f"{line.images_per_second:,.0f} images/s"]
    if line.reading is not None:
        numbers.append(f"rank {line.reading.effective_rank:.1f}/{line.reading.dim}")
        numbers.append(f"spread {line.reading.spread:.2f}")
    return " · ".join(numbers)
