"""`sslcore embed`."""

from __future__ import annotations

import click

from sslcore.cli.options import assignments, device_option, settings_option
from sslcore.cli.words import complete_data, complete_runs


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    required=True,
    help="File to write: .npy with an index beside it (.csv), or .parquet.",
)
@click.option(
    "--data",
    "-d",
    metavar="NAME|PATH",
    shell_complete=complete_data,
    help="Images to embed; those of the run by default.",
)
@settings_option
@click.option(
    "--split",
    type=click.Choice(["all", "train", "test"]),
    default="all",
    show_default=True,
    help="Which of the images.",
)
@click.option("--teacher", is_flag=True, help="Use the encoder of the run's teacher.")
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
