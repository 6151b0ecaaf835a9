"""`sslcore finetune`."""

from __future__ import annotations

import click

from sslcore.cli.allocation import keep_freed_memory
from sslcore.cli.options import assignments, device_option, settings_option
from sslcore.cli.runs import print_rows
from sslcore.cli.words import complete_data, complete_runs, names_of


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@click.option(
    "--data",
    "-d",
    metavar="NAME|PATH",
    shell_complete=complete_data,
    help="Labelled images, such as a folder with class folders; those of the run by default.",
)
@click.option(
    "--labels-per-class",
    type=click.IntRange(1),
    metavar="N",
    help="Train on N labelled images of each class. [default: all]",
)
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="X",
    help="Train on this fraction of the labelled images of each class, such as 0.1.",
)
@click.option("--freeze", is_flag=True, help="Train the head alone, on frozen features.")
@click.option("--teacher", is_flag=True, help="Begin with the encoder of the run's teacher.")
@click.option(
    "--method",
    "-m",
    metavar="NAME",
    shell_complete=names_of("method"),
    help="Method to fine-tune with, in place of the one that says it is for that.",
)
@settings_option
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    help="Passes over the labelled images. [default: 100, or more for few images]",
)
@click.option("--batch-size", type=int, metavar="N", help="Images in a batch.")
@click.option("--lr", type=float, metavar="X", help="Learning rate; short for optimizer.lr.")
@click.option("--seed", type=int, metavar="N", help="The first seed. [default: 0]")
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    metavar="N",
    help="Repeat each training with N seeds.",
)
@click.option(
    "--compare/--no-compare",
    default=True,
    help="Train from scratch and on frozen features, too, and compare. [default: compare]",
)
@click.option(
    "--output", "-o", metavar="DIR", help="Folder of the run. [default: runs/METHOD-RUN-TIME]"
)
@device_option
@click.option(
    "--workers", type=click.IntRange(0), metavar="N", help="Processes that read images ahead."
)
@click.option(
    "--track",
    metavar="NAME",
    multiple=True,
    shell_complete=names_of("tracker"),
    help="Tracker that follows the fine-tuned run. Repeatable.",
)
@click.option(
    "--report/--no-report", default=None, help="Write report.html into the folder of the run."
)
def finetune(
    run: str,
    data: str | None,
    labels_per_class: int | None,
    fraction: float | None,
    freeze: bool,
    teacher: bool,
    method: str | None,
    set: tuple[str, ...],
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    seed: int | None,
    seeds: int,
    compare: bool,
    output: str | None,
    device: str,
    workers: int | None,
    track: tuple[str, ...],
    report: bool | None,
) -> None:
    """Train a classifier on the encoder of a run, and the encoder with it.

    The table compares it with the same training from scratch, with a linear probe on frozen
    features, and with the weights that the run began with, if these were trained.

    \b
    sslcore finetune runs/simclr-digits-… --labels-per-class 5
    sslcore finetune runs/… --data ~/labelled --output runs/flowers
    sslcore predict runs/flowers ~/photos
    """
    short = {
        ("training", "epochs"): epochs,
        ("training", "batch_size"): batch_size,
        ("training", "seed"): seed,
        ("optimizer", "lr"): lr,
    }
    settings = assignments(set)
    settings += [(*where, value) for where, value in short.items() if value is not None]

    from sslcore import api

    keep_freed_memory()
    made = api.finetune(
        run,
        data=data,
        method=method,
        labels_per_class=labels_per_class,
        fraction=fraction,
        freeze=freeze,
        teacher=teacher,
        seeds=seeds,
        compare=compare,
        settings=settings,
        output=output,
        device=device,
        workers=workers,
        track=track,
        report=report,
    )
    print_rows(*made.scores.rows())
    for sentence in made.scores.warnings():
        click.echo(f"warning: {sentence}", err=True)
    click.echo(str(made.run.path))
