"""What a person sees while a run trains: a progress bar, log lines and warnings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sslcore.runs.metrics import LogLine, Metrics

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

#: Seconds between two lines where there is no terminal to draw a bar in.
_QUIET_SECONDS = 10.0


class Observer(Protocol):
    """Observes training, in the process that runs it."""

    def advanced(self, step: int) -> None:
        """Called after each step, with the steps done."""

    def logged(self, line: LogLine) -> None:
        """Called after each log step."""


class Silence:
    """Prints and writes nothing: the observer in all processes but the main one."""

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
