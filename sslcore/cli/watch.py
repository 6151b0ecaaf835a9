"""`sslcore watch`: the curves of a run in the terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sslcore.cli.words import complete_runs
from sslcore.system.printable import printable
from sslcore.system.terminal import stdout_console

if TYPE_CHECKING:
    from sslcore.runs.metrics import Line
    from sslcore.runs.summary import RunSummary

_LEVELS = "▁▂▃▄▅▆▇█"
#: Characters of a curve, at the most and at the least.
_WIDEST, _NARROWEST = 60, 10
#: Keys of a line that are no curve.
_NO_CURVE = ("step", "epoch", "time", "representation")
#: Significant digits of the numbers beside a curve.
_DIGITS = 4


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@click.option(
    "--every",
    type=click.FloatRange(0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks at the run.",
)
@click.option("--once", is_flag=True, help="Print the curves once.")
def watch(run: str, every: float, once: bool) -> None:
    """Show the curves of a run in the terminal until the run ends.

    \b
    sslcore watch runs/simclr-digits-…
    """
    from rich.live import Live
    from rich.text import Text

    from sslcore.runs.status import TRAINING
    from sslcore.runs.summary import RunSummary

    console = stdout_console()
    summary = RunSummary.of(run)
    if once or not console.is_terminal:
        click.echo(screen(summary, console.width))
        return
    with Live(Text(screen(summary, console.width)), console=console, auto_refresh=False) as live:
        while summary.status.state == TRAINING:
            time.sleep(every)
            summary = RunSummary.of(run)
            live.update(Text(screen(summary, console.width)), refresh=True)


def screen(summary: RunSummary, width: int) -> str:
    """Return the state of a run and a curve for each number, as lines of text."""
    lines = summary.metrics()
    head = f"{printable(summary.name)}: {printable(summary.state)}"
    if summary.status.seconds:
        head += f", {summary.status.seconds:.0f} s"
    names = [
        name
        for name in dict.fromkeys(name for line in lines for name in line)
        if name not in _NO_CURVE and not name.startswith("untrained.")
    ]
    longest = max(map(len, names), default=0)
    # Three numbers with their signs and exponents stand beside a curve.
    room = max(_NARROWEST, min(_WIDEST, width - longest - 40))
    rows = [head]
    for name in names:
        values = _numbers(lines, name)
        if values:
            low, high, last = (_short(each) for each in (min(values), max(values), values[-1]))
            rows.append(
                f"{printable(name):<{longest}}  {curve(values, room):<{room}}  "
                f"{last:>9}  ({low} to {high})"
            )
    return "\n".join(rows if len(rows) > 1 else [*rows, "nothing is logged yet"])


def curve(values: Sequence[float], width: int) -> str:
    """Return numbers as a line of blocks, at most `width` of them: the higher, the larger."""
    count = min(width, len(values))
    means = []
    for place in range(count):
        start, stop = place * len(values) // count, (place + 1) * len(values) // count
        part = values[start : max(stop, start + 1)]
        means.append(sum(part) / len(part))
    low, high = min(means), max(means)
    scale = (len(_LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(_LEVELS[round((mean - low) * scale)] for mean in means)


def _numbers(lines: Sequence[Line], name: str) -> list[float]:
    found = (line.get(name) for line in lines)
    return [float(each) for each in found if isinstance(each, (int, float))]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10**_DIGITS else f"{value:.{_DIGITS}g}"
