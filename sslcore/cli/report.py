"""`sslcore report`."""

from __future__ import annotations

import click

from sslcore.cli.options import device_option
from sslcore.cli.words import complete_runs


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@device_option
def report(run: str, device: str) -> None:
    """Write the report of a run anew: report.html, and its pictures in figures/.

    \b
    sslcore report runs/simclr-digits-…
    """
    from sslcore import api

    click.echo(api.report(run, device=device))
