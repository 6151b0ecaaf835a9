"""`sslcore train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sslcore.cli.allocation import keep_freed_memory
from sslcore.cli.options import device_option
from sslcore.cli.requesting import REQUESTED, request_options, settings_in
from sslcore.cli.words import complete_runs, names_of
from sslcore.compute.torchrun import rank
from sslcore.errors import UsageError, nearest
from sslcore.recipe.request import Assignment, init_settings
from sslcore.registry.registry import default_registry


@click.command(context_settings={"allow_extra_args": True})
@click.pass_context
@request_options
@device_option
@click.option("--compile", is_flag=True, help="Compile encoder and head with torch.compile.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    help="Processes that read images ahead. [default: threads, where needed]",
)
@click.option(
    "--init",
    metavar="RUN|FILE",
    shell_complete=complete_runs,
    help="Begin with the weights of a run or a file: safetensors, or a torch file of weights.",
)
@click.option(
    "--init-from",
    metavar="PART",
    help="With --init: teacher takes the teacher of the run; of a file, PART takes the names "
    "that contain it.",
)
@click.option(
    "--output", "-o", metavar="DIR", help="Folder of the run. [default: runs/METHOD-DATA-TIME]"
)
@click.option(
    "--resume",
    metavar="RUN",
    shell_complete=complete_runs,
    help="Resume a run that was stopped.",
)
@click.option(
    "--extend",
    metavar="RUN",
    shell_complete=complete_runs,
    help="Train a finished run longer, as a new run with its own --epochs and schedule.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0, min_open=True),
    metavar="MINUTES",
    help="Stop and save after so many minutes; --resume continues.",
)
@click.option(
    "--track",
    metavar="NAME",
    multiple=True,
    shell_complete=names_of("tracker"),
    help="Tracker that follows the run, such as tensorboard. Repeatable.",
)
@click.option(
    "--evaluate/--no-evaluate",
    default=True,
    help="Evaluate the encoder after training. [default: evaluate]",
)
@click.option(
    "--report/--no-report",
    default=None,
    help="Write report.html into the folder of the run. [default: report]",
)
@click.option(
    "--seeds", type=click.IntRange(1), metavar="N", help="Train N runs with N seeds; compare them."
)
@click.option(
    "--sweep",
    metavar="SECTION.NAME=VALUE,VALUE",
    multiple=True,
    help="Train a run for each value, and compare them. Several make all combinations. Repeatable.",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    metavar="N",
    help="Draw N of the combinations of --sweep at random.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the resolved recipe, or the runs of a sweep, and exit."
)
def train(
    context: click.Context,
    /,
    dry_run: bool,
    seeds: int | None,
    sweep: tuple[str, ...],
    trials: int | None,
    **options: Any,
) -> int | None:
    """Train a method on images and evaluate it.

    \b
    sslcore train --method simclr
    sslcore train --method simclr --data cifar10 --encoder resnet18 --epochs 200
    sslcore train --method infonce --data ~/photos --set loss.temperature=0.2
    sslcore train --method autoencoder --augmentation cutout --dry-run
    sslcore train --method simclr --seeds 3 --sweep loss.temperature=0.1,0.2,0.5
    sslcore train --sweep method=simclr,vicreg --seeds 3 --data ~/photos
    sslcore train --resume runs/simclr-digits-…
    torchrun --nproc-per-node=8 -m sslcore train --method simclr --data cifar10
    """
    if context.args:
        raise UsageError(_stray(context.args[0]))
    settings = settings_in(options)
    settings += init_settings(options.pop("init"), options.pop("init_from"))

    from sslcore import api
    from sslcore.evaluation.table import print_table

    if dry_run and not (seeds or sweep):
        _print_plan(settings, options)
        return None
    keep_freed_memory()
    if seeds or sweep:
        from sslcore.cli.many import train_many

        return train_many(
            settings,
            options,
            {name: options[name] for name in REQUESTED},
            sweep=sweep,
            seeds=seeds,
            trials=trials,
            dry_run=dry_run,
        )
    if trials:
        raise UsageError("--trials draws from the combinations of --sweep, and there are none")
    run = api.train(settings=settings, **options)
    if rank() > 0:
        return None
    table = run.read_evaluation()
    if table:
        print_table(table, run.read_details())
    click.echo(f"{run.path}", err=False)
    return None


def _print_plan(settings: list[Assignment], options: dict[str, Any]) -> None:
    """Print the recipe that the same command would train, and refuse the same requests."""
    from sslcore.recipe.request import Request
    from sslcore.training.start import plan
    from sslcore.training.trackers import TRACKER, tracker_parts

    request = Request.of(settings=settings, **{name: options[name] for name in REQUESTED})
    registry = default_registry()
    tracker_parts(options["track"], request.settings_of(TRACKER), registry)
    planned = plan(
        request.without(TRACKER),
        registry,
        output=options["output"],
        resume=options["resume"],
        extend=options["extend"],
    )
    for note in planned.notes:
        click.echo(f"note: {note}", err=True)
    if rank() == 0:
        click.echo(planned.recipe.annotated(), nl=False)


def _stray(word: str) -> str:
    """Return a message about a word that belongs to no option, with the likely option."""
    registry = default_registry()
    for kind, option in (("method", "--method"), ("dataset", "--data")):
        if word in registry.names(kind):
            return f"unexpected {word!r}: did you mean {option} {word}?"
    if Path(word).is_dir():
        return f"unexpected {word!r}: did you mean --data {word}?"
    near = nearest(word, registry.names("method"))
    return f"unexpected {word!r}{near}; a method is named by --method NAME, data by --data"
