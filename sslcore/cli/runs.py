"""`sslcore runs` and `sslcore compare`: tables of runs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from sslcore.cli.options import json_option
from sslcore.cli.words import complete_runs
from sslcore.errors import RunFolderError, UsageError
from sslcore.system.files import user_path, write_safely
from sslcore.system.printable import printable
from sslcore.system.terminal import stdout_console

if TYPE_CHECKING:
    from sslcore.reports.compare import Comparison
    from sslcore.runs.summary import RunSummary


#: Columns of the list of runs that a narrow screen does without, first those that go first, and
#: those that it always has.
_LEAST = ("seconds", "encoder", "data", "seed")
_KEPT = ("run", "state", "method")


@click.command()
@click.argument("directory", metavar="[DIR]", default="runs")
@json_option
def runs(directory: str, as_json: bool) -> None:
    """List the runs in a folder, oldest first.

    Without a folder, lists the runs in runs/.

    \b
    sslcore runs
    sslcore runs ~/experiments
    """
    from sslcore.evaluation.evaluate import ENCODER
    from sslcore.evaluation.table import cell, metrics_of, test_images
    from sslcore.runs.summary import runs_below

    found, problems = runs_below(user_path(directory, "DIR"))
    for problem in problems:
        click.echo(f"note: {printable(problem)}", err=True)
    if as_json:
        click.echo(json.dumps([_record(run) for run in found], indent=2))
        return
    if not found:
        click.echo(f"note: there are no runs in {directory}", err=True)
        return
    metrics = metrics_of({run.name: run.table.get(ENCODER, {}) for run in found})
    heads = ["run", "method", "data", "encoder", "seed", *metrics, "seconds", "state"]
    rows = [
        [
            run.name,
            str(run.settings.get("method")),
            run.data,
            str(run.settings.get("encoder")),
            str(run.seed),
            *(
                cell(run.table.get(ENCODER, {}), metric, test_images(run.details, metric))
                for metric in metrics
            ),
            f"{run.status.seconds:.1f}",
            run.state,
        ]
        for run in found
    ]
    _print_runs(heads, rows)


def _print_runs(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print runs; on a narrow screen, without the columns that matter least.

    No word is broken, so that the folder of a run can be copied.
    """
    console = stdout_console()
    room = console.width if console.is_terminal else math.inf
    columns = list(range(len(heads)))
    widths = [
        max(len(printable(text)) for text in (head, *(row[column] for row in rows)))
        for column, head in enumerate(heads)
    ]
    left_out = [heads.index(name) for name in _LEAST if name in heads]
    # Scores go last, from the right.
    left_out += [column for column in reversed(columns) if heads[column] not in _KEPT]
    left_out += [heads.index("method")]
    dropped = []
    for column in dict.fromkeys(left_out):
        if sum(widths[each] + 2 for each in columns) - 2 <= room:
            break
        columns.remove(column)
        dropped.append(heads[column])
    print_rows(
        [heads[column] for column in columns], [[row[column] for column in columns] for row in rows]
    )
    if dropped:
        click.echo(f"note: no room for {', '.join(dropped)}; --json prints all", err=True)


def _record(run: RunSummary) -> dict[str, object]:
    return {
        "run": run.name,
        "state": run.status.state,
        "reason": run.status.reason,
        "step": run.step,
        "seconds": run.status.seconds,
        "settings": dict(run.settings),
        "evaluation": run.table,
    }


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, shell_complete=complete_runs)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    default="compare.html",
    show_default=True,
    help="The page to write.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a line for each run.")
@json_option
def compare(folders: tuple[str, ...], output: str, as_csv: bool, as_json: bool) -> None:
    """Compare runs: the settings that differ, the scores, and the curves on a page.

    Runs that differ only by their seed are repetitions: their scores are shown as mean and
    standard deviation.

    A folder that holds runs stands for all of them.

    \b
    sslcore compare runs/simclr-digits-… runs/vicreg-digits-…
    sslcore compare 'runs/simclr-*'
    """
    from sslcore.reports.compare import Comparison
    from sslcore.reports.compare_page import records_of

    comparison = Comparison.of(_named(folders))
    records = records_of(comparison)
    if as_json:
        click.echo(json.dumps(records, indent=2))
    elif as_csv:
        click.echo(_csv(records), nl=False)
    else:
        show(comparison, output)


def show(comparison: Comparison, output: str | Path) -> None:
    """Print a comparison, write its page and print the path."""
    from sslcore.reports.compare_page import LEGEND, compare_page, rows_of, settings_of

    path = user_path(output, "--output")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--output {output}: it must be a file in a folder that exists")
    print_rows(*rows_of(comparison))
    if comparison.metrics and len(comparison.groups) > 1:
        click.echo(LEGEND)
    if comparison.differing:
        click.echo()
        print_rows(*settings_of(comparison))
    click.echo()
    for said in comparison.sentences():
        click.echo(printable(said))
    write_safely(path, compare_page(comparison))
    click.echo(str(path))


def _named(folders: Sequence[str]) -> list[RunSummary]:
    """Return the runs that folders and patterns name, each once."""
    from sslcore.runs.summary import summaries

    paths: dict[str, None] = {}
    for folder in folders:
        matches = _runs_at(folder)
        if not matches:
            raise RunFolderError(f"{folder}: there is no such run")
        paths |= dict.fromkeys(matches)
    if not paths:
        raise UsageError("no runs are given: sslcore compare RUN RUN; list them with: sslcore runs")
    found, problems = summaries(paths)
    if problems and (len(problems) == len(paths) or len(paths) == len(folders)):
        raise RunFolderError("\n".join(problems))
    # A pattern may match more than runs.
    for problem in problems:
        click.echo(f"note: {printable(problem)}", err=True)
    return found


def _runs_at(folder: str) -> list[str]:
    """Return the run that a path names, the runs in a folder of runs, or those of a pattern."""
    from sslcore.runs.folder import RECIPE

    path = Path(folder)
    if not path.exists():
        return sorted(map(str, _matching(folder)))
    if path.is_dir() and not (path / RECIPE).exists():
        below = sorted(str(each.parent) for each in path.glob(f"*/{RECIPE}"))
        return below or [folder]
    return [folder]


def _matching(pattern: str) -> Iterator[Path]:
    path = Path(pattern)
    found = Path(path.anchor or ".").glob(str(path.relative_to(path.anchor)))
    # A page of an earlier comparison may lie beside the runs.
    return (each for each in found if each.is_dir())


def _csv(records: Sequence[dict[str, object]]) -> str:
    names = dict.fromkeys(name for record in records for name in record)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def print_rows(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    bold: Container[tuple[int, int]] = (),
) -> None:
    """Print a table whose cells may be broken into lines on a narrow screen.

    Args:
        heads: the heads of the columns.
        rows: the cells.
        bold: the cells that stand out, (row, column).
    """
    console = stdout_console()
    if not console.is_terminal:
        console = stdout_console(width=240)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, head in enumerate(heads):
        # The first column has names, which a user copies.
        table.add_column(head, overflow="fold", no_wrap=number == 0)
    for number, row in enumerate(rows):
        table.add_row(
            *(
                Text(printable(cell), style="bold" if (number, column) in bold else "")
                for column, cell in enumerate(row)
            )
        )
    console.print(table)
