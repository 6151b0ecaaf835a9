"""`sslcore train`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sslcore.cli.allocation import keep_freed_memory
from sslcore.cli.options import assignments, device_option, evaluator_option, settings_option
from sslcore.cli.words import complete_data, complete_runs, names_of
from sslcore.compute.torchrun import rank
from sslcore.errors import UsageError, nearest
from sslcore.recipe.request import Assignment
from sslcore.registry.registry import default_registry

#: Options that say what to train; the others say where and how.
_REQUESTED = (
    "method",
    "data",
    "augmentation",
    "encoder",
    "head",
    "loss",
    "evaluators",
    "config",
)


def _part_option(kind: str, more: str = "") -> Callable[[Any], Any]:
    return click.option(
        f"--{kind}",
        metavar="NAME",
        shell_complete=names_of(kind),
        help=f"Instead of the method's own{more}.",
    )


@click.command(context_settings={"allow_extra_args": True})
@click.pass_context
@click.option(
    "--method",
    "-m",
    metavar="NAME",
    shell_complete=names_of("method"),
    help="The recipe to train; see: sslcore methods.",
)
@click.option(
    "--data",
    "-d",
    metavar="NAME|PATH",
    shell_complete=complete_data,
    help="A data set, or a folder of images. [default: digits]",
)
@_part_option("augmentation")
@_part_option("encoder")
@_part_option("head", "; none for none")
@_part_option("loss")
@evaluator_option
@settings_option
@click.option("--config", metavar="FILE", help="Settings in TOML; a run's recipe.toml is one.")
@click.option("--epochs", type=int, metavar="N", help="Short for --set training.epochs=N.")
@click.option("--batch-size", type=int, metavar="N", help="Short for --set training.batch_size=N.")
@click.option(
    "--micro-batch",
    type=int,
    metavar="N",
    help="Images (over all devices) at a time where a batch does not fit; training.micro_batch.",
)
@click.option("--seed", type=int, metavar="N", help="Short for --set training.seed=N.")
@click.option("--lr", type=float, metavar="X", help="Short for --set optimizer.lr=X.")
@click.option(
    "--precision", metavar="P", help="auto, fp32, bf16 or fp16; short for training.precision."
)
@device_option
@click.option("--compile", is_flag=True, help="Compile encoder and head (torch.compile).")
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    help="Processes that read ahead; threads by default.",
)
@click.option("--output", "-o", metavar="DIR", help="The run's folder. [default: runs/…]")
@click.option(
    "--resume",
    metavar="RUN",
    shell_complete=complete_runs,
    help="Go on with a run that was stopped.",
)
@click.option("--evaluate/--no-evaluate", default=True, help="Evaluate at the end. [default: yes]")
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe and stop.")
def train(context: click.Context, dry_run: bool, **options: Any) -> None:
    """Train a method on images, then evaluate it.

    \b
    sslcore train --method simclr
    sslcore train --method simclr --data cifar10 --encoder resnet18 --epochs 200
    sslcore train --method infonce --data ~/photos --set loss.temperature=0.2
    sslcore train --method autoencoder --augmentation cutout --dry-run
    sslcore train --resume runs/simclr-digits-…
    torchrun --nproc-per-node=8 -m sslcore train --method simclr --data cifar10
    """
    if context.args:
        raise UsageError(_stray(context.args[0]))
    settings = assignments(options.pop("set"))
    for name in ("epochs", "batch_size", "micro_batch", "seed", "precision"):
        settings += [("training", name, value)] if (value := options.pop(name)) is not None else []
    rate = options.pop("lr")
    settings += [("optimizer", "lr", rate)] if rate is not None else []

    from sslcore import api
    from sslcore.evaluation.table import print_table

    if dry_run:
        _print_plan(settings, options)
        return
    keep_freed_memory()
    run = api.train(settings=settings, **options)
    if rank() > 0:
        return
    table = run.read_evaluation()
    if table:
        print_table(table)
    click.echo(f"{run.path}", err=False)


def _print_plan(settings: list[Assignment], options: dict[str, Any]) -> None:
    """Print the recipe that the same command would train, and refuse the same requests."""
    from sslcore.recipe.request import Request
    from sslcore.training.start import plan

    request = Request.of(settings=settings, **{name: options[name] for name in _REQUESTED})
    planned = plan(request, default_registry(), output=options["output"], resume=options["resume"])
    for note in planned.notes:
        click.echo(f"note: {note}", err=True)
    if rank() == 0:
        click.echo(planned.recipe.annotated(), nl=False)


def _stray(word: str) -> str:
    """Say what a word that belongs to no option was probably meant to be."""
    registry = default_registry()
    for kind, option in (("method", "--method"), ("dataset", "--data")):
        if word in registry.names(kind):
            return f"unexpected {word!r}: did you mean {option} {word}?"
    if Path(word).is_dir():
        return f"unexpected {word!r}: did you mean --data {word}?"
    near = nearest(word, registry.names("method"))
    return f"unexpected {word!r}{near}; a method is named by --method NAME, data by --data"
