"""`sslcore report`."""

from __future__ import annotations

import click

from sslcore.cli.options import device_option
from sslcore.cli.words import complete_runs


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@click.option(
    "--map",
    type=click.Choice(["t-sne", "pca", "umap"]),
    default="t-sne",
    show_default=True,
    help="How to place the features on their map; umap needs sslcore[umap].",
)
@device_option
def report(run: str, map: str, device: str) -> None:
    """Write the report of a run anew: report.html, and its pictures in figures/.

    \b
    sslcore report runs/simclr-digits-…
    sslcore report runs/simclr-digits-… --map pca
    """
    from sslcore import api

    click.echo(api.report(run, map=map, device=device))
