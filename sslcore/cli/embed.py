"""`sslcore embed`."""

from __future__ import annotations

import click

from sslcore.cli.options import (
    assignments,
    data_option,
    device_option,
    settings_option,
    split_option,
    teacher_option,
)
from sslcore.cli.words import complete_runs


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    required=True,
    help="File to write: .npy with an index beside it (.csv), or .parquet.",
)
@data_option
@settings_option
@split_option
@teacher_option
@device_option
def embed(
    run: str,
    output: str,
    data: str | None,
    set: tuple[str, ...],
    split: str,
    teacher: bool,
    device: str,
) -> None:
    """Write the features of images to a file.

    \b
    sslcore embed runs/simclr-digits-… --output features.npy
    sslcore embed runs/… --data ~/photos --output features.parquet
    """
    from sslcore import api

    path = api.embed(
        run,
        output=output,
        data=data,
        settings=assignments(set),
        split=split,  # type: ignore[arg-type]
        teacher=teacher,
        device=device,
    )
    click.echo(str(path))
