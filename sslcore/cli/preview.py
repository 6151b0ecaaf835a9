"""`sslcore preview`."""

from __future__ import annotations

from typing import Any

import click

from sslcore.cli.options import device_option
from sslcore.cli.requesting import request_options, settings_in


@click.command()
@request_options
@device_option
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    default="preview.png",
    show_default=True,
    help="The picture to write, a PNG.",
)
def preview(**options: Any) -> None:
    """Draw a few images and the views that training makes of them.

    Takes what `sslcore train` takes, and trains nothing.

    \b
    sslcore preview --method simclr
    sslcore preview --method simclr --data ~/photos --set augmentation.crop_scale=0.4,1
    sslcore preview --method simclr --augmentation mine -p ./my_augmentation.py
    """
    settings = settings_in(options)

    from sslcore import api

    click.echo(api.preview(settings=settings, **options))
