"""The progress of work before training, such as decoding all images: a bar, or a line a minute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds before anything is shown, and between two lines if there is no terminal for a bar.
_SOON, _QUIET_SECONDS = 1.0, 60.0


class Watch(Protocol):
    """Is told how much is done."""

    def __call__(self, done: int, total: int) -> None:
        """Called now and then, with numbers of images."""


def unwatched(done: int, total: int) -> None:
    """Show nothing."""


@contextmanager
def watched(console: Console, what: str) -> Iterator[Watch]:
    """Yield what shows progress on a console, if the work takes longer than a second.

    Args:
        console: where to print.
        what: what is done, such as "preparing images".
    """
    display = _Display(console, what)
    try:
        yield display
    finally:
        display.close()


class _Display:
    def __init__(self, console: Console, what: str) -> None:
        self.console, self.what = console, what
        self.bar = Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._started, self._begin = monotonic(), 0
        self._next_line = self._started + _QUIET_SECONDS
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        now = monotonic()
        if self._task is None or done < self._done:  # the next part of the work
            if self._task is not None:
                self.bar.remove_task(self._task)
            self._started, self._begin = now, done
            self._task = self.bar.add_task("", total=total, completed=done, rate="")
        self._done = done
        seconds = now - self._started
        rate = (done - self._begin) / seconds if seconds else 0.0
        self.bar.update(self._task, completed=done, rate=f"{rate:,.0f} images/s")
        if self.console.is_terminal:
            if seconds > _SOON and not self.bar.live.is_started:
                self.bar.start()
        elif now > self._next_line and rate:
            self._next_line = now + _QUIET_SECONDS
            left = (total - done) / rate / 60
            self.console.print(
                f"{self.what}: {done:,} of {total:,}, {rate:,.0f} images/s, {left:.0f} min left"
            )

    def close(self) -> None:
        """Remove the bar."""
        if self.bar.live.is_started:
            self.bar.stop()
