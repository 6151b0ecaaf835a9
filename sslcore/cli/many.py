"""`sslcore train` with `--seeds` or `--sweep`: several runs, then their comparison."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from sslcore.cli.requesting import Options
from sslcore.cli.runs import show
from sslcore.compute.torchrun import process_count
from sslcore.errors import InterruptedRun, TrainingError, UsageError, first_line
from sslcore.recipe.request import Assignment, Request
from sslcore.recipe.sweep import Trial, read_sweeps, trials_of
from sslcore.registry.registry import default_registry
from sslcore.system.printable import printable

#: The comparison, in the folder of the runs.
PAGE = "compare.html"


def train_many(
    settings: Sequence[Assignment],
    options: Options,
    request: Options,
    *,
    sweep: Sequence[str],
    seeds: int | None,
    trials: int | None,
    dry_run: bool = False,
) -> int:
    """Train the runs of a sweep one after the other, and compare them.

    A run that has finished is kept, and one that was stopped goes on, so the same command with
    the same `--output` goes on with a sweep. A run that fails is shown as failed.

    Args:
        settings: the settings that all runs share.
        options: the options of `sslcore train`, as parameters of `sslcore.train`.
        request: those of them that say what to train.
        sweep: the values of `--sweep`.
        seeds: runs of each combination.
        trials: combinations to draw; None takes all.
        dry_run: whether to print the folders of the runs, and to train none.

    Returns:
        The exit code: 1 where a run failed.

    Raises:
        UsageError: a setting is unknown or a value is wrong; nothing is trained then.
    """
    from sslcore.api.repeat import check_same
    from sslcore.reports.compare import Comparison
    from sslcore.runs.summary import summaries
    from sslcore.training.start import plan
    from sslcore.training.trackers import TRACKER, tracker_parts

    if options.get("resume"):
        raise UsageError("--resume is for one run; repeat the command with the same --output")
    if options.get("extend"):
        raise UsageError("--extend is for one run; leave out --seeds and --sweep")
    if process_count() > 1:
        raise UsageError("--seeds and --sweep train in one process; start them without torchrun")
    first = next(
        (
            value
            for section, name, value in reversed(settings)
            if (section, name) == ("training", "seed")
        ),
        0,
    )
    if type(first) is not int:
        raise UsageError(f"training.seed: expected an integer, got {first!r}")
    planned = trials_of(read_sweeps(sweep), seeds=seeds or 1, first_seed=first, draws=trials)
    if request.get("method") and any(trial.method for trial in planned):
        raise UsageError("--sweep method=… names the methods; leave --method out")
    base = Path(options.pop("output") or _default_folder(request))
    shared = Request.of(settings=settings, **request).settings_of(TRACKER)
    tracker_parts(options.get("track") or (), shared, default_registry())
    registry = default_registry()
    for trial in planned:
        # Every run is checked before the first is trained.
        asked = Request.of(
            settings=[*settings, *trial.settings], **(request | _named(trial))
        ).without(TRACKER)
        check_same(base / trial.folder, plan(asked, registry), registry)
    if dry_run:
        for trial in planned:
            click.echo(str(base / trial.folder))
        return 0
    failed = 0
    for number, trial in enumerate(planned, 1):
        click.echo(f"run {number} of {len(planned)}: {trial.folder}", err=True)
        failed += not _train(trial, base / trial.folder, settings, options)
    found, problems = summaries(
        folder for trial in planned if (folder := base / trial.folder).exists()
    )
    for problem in problems:
        click.echo(f"note: {printable(problem)}", err=True)
    if found:
        show(Comparison.of(found), base / PAGE)
    return 1 if failed else 0


def _named(trial: Trial) -> Options:
    return {} if trial.method is None else {"method": trial.method}


def _default_folder(request: Options) -> Path:
    name = str(request.get("method") or "runs").rpartition(":")[2]
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _train(trial: Trial, folder: Path, settings: Sequence[Assignment], options: Options) -> bool:
    """Train one run, or go on with it; return whether it finished."""
    from sslcore.api.repeat import is_done, train_or_go_on

    if is_done(folder):
        click.echo(f"note: {folder} has finished already", err=True)
        return True
    try:
        train_or_go_on(folder, [*settings, *trial.settings], options | _named(trial))
    except InterruptedRun as error:
        raise InterruptedRun(
            f"{str(error).partition(';')[0]}; repeat the command with --output {folder.parent} "
            "to go on with the other runs"
        ) from error
    except TrainingError as error:
        click.echo(f"warning: {folder} failed: {printable(first_line(error))}", err=True)
        return False
    return True
